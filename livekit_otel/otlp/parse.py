"""Parses JSON documents into messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from .._json import NOT_JSON
from .repair import concatenated, without_lone_surrogates

__all__ = ["SHAPE", "Malformed", "NotAMessage", "parse"]

T = TypeVar("T")
SHAPE = "JSON without resourceSpans"


class NotAMessage(Exception):
    """The JSON is not a message with spans."""


class Malformed(Exception):
    """The data is not JSON, or only part of a message."""


def parse(decode: Callable[[bytes], T], data: bytes) -> list[T]:
    """Decode a JSON document, or several in sequence; lone surrogates are replaced.

    Raises:
        Malformed: the data is not valid JSON.
        NotAMessage: ``decode`` raises NotAMessage or msgspec.ValidationError.
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
    except NOT_JSON as error:
        raise Malformed(str(error)) from None
