"""Data about a turn from outside its own stages: who was heard around it, and until when an answer could follow."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec

from .. import attributes as attr
from ..spans import SpanRecord, Values, flag, nanoseconds, numbers
from .attribution import TurnSpans
from .intervals import Interval, by_end, merged, without

__all__ = [
    "AVATAR",
    "Around",
    "arounds",
    "audible",
    "close_ns",
    "heard",
    "is_playout",
    "is_speech",
    "is_spoken",
    "sooner",
]

#: an avatar's report of a playout, possibly on a span of its own
AVATAR = attr.metric("avatar", "timestamp")


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """The time around a turn, in unix nanoseconds.

    Attributes:
        heard: when the user (by VAD, including noise; without VAD by the recognizer) or the agent was heard, within
            the turn and outside it; merged.
        tools: when tools of the session ran, by their end.
        until_ns: when, after the turn, the user's next committed speech began, or the session began to close.
        spoken: whether that was speech.
    """

    heard: Sequence[Interval] = ()
    tools: Sequence[Interval] = ()
    until_ns: int | None = None
    spoken: bool = False


def arounds(turns: Sequence[TurnSpans], spans: Collection[SpanRecord]) -> Iterator[Around]:
    """The :class:`Around` of each turn of a session; ``turns`` must be in order."""
    sounds = merged(part for one in spans for part in heard(one.kind, one.start_ns, one.end_ns, one.attributes))
    tools = sorted(((one.start_ns, one.end_ns) for one in spans if one.kind == attr.KIND_TOOL), key=by_end)
    end = next((one for one in spans if one.kind == attr.KIND_SESSION_END), None)
    until = close_ns(end.attributes, end.start_ns) if end is not None else None
    found: list[Around] = []
    spoken = False
    for one in reversed(turns):
        found.append(Around(heard=sounds, tools=tools, until_ns=until, spoken=spoken))
        if one.turn is not None and flag(one.turn.attributes, attr.TURN_HAS_USER):
            until, spoken = sooner((until, spoken), (one.turn.start_ns, is_spoken(one.turn)))
    yield from reversed(found)


def sooner(known: tuple[int | None, bool], other: tuple[int, bool]) -> tuple[int, bool]:
    """The earlier of two times at which a wait can end, and whether it is a time of speech."""
    at_ns, spoken = known
    if at_ns is None or other[0] < at_ns:
        return other
    return at_ns, spoken or (other[1] and other[0] == at_ns)


def is_spoken(turn: SpanRecord) -> bool:
    """Whether the user's side of a turn was spoken, not typed."""
    return turn.attributes.get(attr.TURN_SPEECH_END_SOURCE) != attr.SPEECH_END_TYPED


def is_speech(vad: Values) -> bool:
    """Whether a ``vad`` span is a segment of speech, and not trailing metrics."""
    return bool(vad.get(attr.VAD_SPEECH, True))


def is_playout(playback: Values) -> bool:
    """Whether a ``playback`` span is a playout, and not an avatar's metrics alone."""
    return AVATAR not in playback or attr.PLAYBACK_INTERRUPTED in playback


def heard(kind: str, start_ns: int, end_ns: int, attributes: Values) -> list[Interval]:
    """The intervals of a span in which somebody was heard: the user, or the agent without its pauses."""
    if kind == attr.KIND_STT and (spoken := nanoseconds(attributes, attr.STT_SPOKEN)) is not None:
        return [(start_ns, start_ns + spoken)]
    if kind == attr.KIND_VAD and is_speech(attributes):
        return [(start_ns, end_ns)]
    if kind == attr.KIND_PLAYBACK and is_playout(attributes):
        return audible(start_ns, end_ns, attributes)
    return []


def audible(start_ns: int, end_ns: int, playback: Values) -> list[Interval]:
    """The audible intervals of a playout, without its pauses."""
    offsets = [round(value * 1e9) for value in numbers(playback, attr.PLAYBACK_PAUSES)]
    if not offsets:
        return [(start_ns, end_ns)]
    moments = [start_ns + offset for offset in offsets]
    if len(moments) % 2:
        moments.append(end_ns)
    pauses = merged(zip(moments[::2], moments[1::2], strict=True))
    return without((start_ns, end_ns), pauses)


def close_ns(end: Values, ended_ns: int) -> int:
    """When the session began to close, according to its ``session.end``, which starts at ``ended_ns``."""
    closing = nanoseconds(end, attr.SESSION_CLOSING)
    return ended_ns - (closing or 0)
