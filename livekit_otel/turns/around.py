"""What a turn's own stages do not say: when the user was heard around it, and until when an answer could follow."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec

from .. import attributes as attr
from ..spans import SpanRecord, Values, flag, nanoseconds
from .attribution import TurnSpans
from .intervals import Interval

__all__ = ["Around", "arounds", "close_ns", "heard", "is_spoken"]


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """The time around a turn, in unix nanoseconds.

    Attributes:
        speech: when VAD heard speech, in this turn and outside of it, noise included.
        until_ns: when, after the turn, the user's next committed speech began, or the session's close was called.
        spoken: whether it was speech.
    """

    speech: Collection[Interval] = ()
    until_ns: int | None = None
    spoken: bool = False


def arounds(turns: Sequence[TurnSpans], spans: Collection[SpanRecord]) -> Iterator[Around]:
    """That of each of a session's turns, which are in order."""
    speech = [one for one in map(heard, spans) if one is not None]
    end = next((one for one in spans if one.kind == attr.KIND_SESSION_END), None)
    until = close_ns(end.attributes, end.start_ns) if end is not None else None
    found: list[Around] = []
    spoken = False
    for one in reversed(turns):
        found.append(Around(speech=speech, until_ns=until, spoken=spoken))
        if one.turn is not None and flag(one.turn.attributes, attr.TURN_HAS_USER):
            until, spoken = one.turn.start_ns, is_spoken(one.turn)
    yield from reversed(found)


def is_spoken(turn: SpanRecord) -> bool:
    """Whether the user's side of a turn was said aloud, and not written."""
    return turn.attributes.get(attr.TURN_SPEECH_END_SOURCE) != attr.SPEECH_END_TYPED


def heard(span: SpanRecord) -> Interval | None:
    """When VAD heard speech, for a span that says so."""
    if span.kind != attr.KIND_VAD or not span.attributes.get(attr.VAD_SPEECH, True):
        return None
    return span.start_ns, span.end_ns


def close_ns(end: Values, ended_ns: int) -> int:
    """When the session's close was called, by its ``session.end``, which stands at ``ended_ns``."""
    closing = nanoseconds(end, attr.SESSION_CLOSING)
    return ended_ns - (closing or 0)
