"""JSON documents as messages, and what can be wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from .repair import concatenated, without_lone_surrogates

__all__ = ["FAULTS", "SHAPE", "Malformed", "NotAMessage", "parse"]

T = TypeVar("T")
#: What decoding JSON raises.
FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
SHAPE = "JSON of another shape: no resourceSpans in it"


class NotAMessage(Exception):
    """JSON that is no message of spans."""


class Malformed(Exception):
    """No JSON at all, or only a part of a message."""


def parse(decode: Callable[[bytes], T], data: bytes) -> list[T]:
    """Decode one JSON document, or several in a row, with halves of surrogate pairs replaced.

    Raises:
        Malformed: it is no JSON.
        NotAMessage: ``decode`` raises that, or msgspec.ValidationError.
    """
    try:
        try:
            return [decode(data)]
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError as error:
            readable = without_lone_surrogates(data)
            pieces = concatenated(readable) if "trailing characters" in str(error) else [readable]
            if pieces == [data]:
                raise
            return [decode(piece) for piece in pieces]
    except msgspec.ValidationError as error:
        raise NotAMessage(str(error)) from None
    except FAULTS as error:
        raise Malformed(str(error)) from None
