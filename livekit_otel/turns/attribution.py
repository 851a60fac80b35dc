"""Determines the turn of a stage: by its parent, else by the speech that the turn names. No other code does so."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from .. import attributes as attr
from ..spans import SpanRecord, texts, whole

__all__ = ["TurnSpans", "index_of", "owner", "turns_of"]


class TurnSpans(msgspec.Struct, frozen=True):
    """The spans of one turn.

    Attributes:
        index: number of the turn in its session, from 0.
        span_id: id of the turn's span, even if that span is missing.
        turn: the turn's own span; None if it is missing (the call broke off within the turn).
        stages: its stage spans, each once, in no particular order.
    """

    index: int
    span_id: str
    turn: SpanRecord | None
    stages: list[SpanRecord]


def turns_of(spans: Iterable[SpanRecord]) -> list[TurnSpans]:
    """The turns of one session, by index; turns without their own span follow, by the start of their first stage.

    Args:
        spans: the session's span records, in any order, each once; spans of other instrumentations are ignored.

    A stage below a turn's span, or below another stage of the turn, belongs to that turn. A stage below the session
    (its work began before its turn, or ended after it) belongs to the turn that names its speech; a stage without a
    speech belongs to none. Stages below a missing span belong to a turn that broke off.
    """
    turns: list[SpanRecord] = []
    below: defaultdict[str, list[SpanRecord]] = defaultdict(list)
    stages: dict[str, SpanRecord] = {}
    sessions = {""}
    for span in spans:
        kind = span.kind
        if kind in attr.STAGE_KINDS:
            stages[span.span_id] = span
        elif kind == attr.KIND_SESSION:
            sessions.add(span.span_id)
        elif kind and span.parent_id:
            # the session's own span is exported last, or never; the parents of these spans must be sessions
            sessions.add(span.parent_id)
        if kind == attr.KIND_TURN:
            turns.append(span)
    above: dict[str, str] = {}
    for stage in stages.values():
        below[_above(stage, stages, above)].append(stage)
    turns.sort(key=lambda one: (index_of(one), one.start_ns, one.span_id))
    loose = [stage for parent in sessions & below.keys() for stage in below.pop(parent)]
    if loose:
        _settle(loose, turns, below)
    found = [TurnSpans(index_of(one), one.span_id, one, below.pop(one.span_id, [])) for one in turns]
    following = found[-1].index + 1 if found else 0
    broken = sorted(below.items(), key=lambda item: (min(one.start_ns for one in item[1]), item[0]))
    return found + [TurnSpans(following + n, parent, None, own) for n, (parent, own) in enumerate(broken)]


def _above(stage: SpanRecord, stages: dict[str, SpanRecord], known: dict[str, str]) -> str:
    """The nearest ancestor of a stage that is not a stage itself: a tool's own requests are below the tool.

    ``known`` has the results for earlier stages: a stage below another stage has the same ancestor.
    """
    way: list[str] = []
    at = stage.span_id
    # in a cycle, the first stage that is reached again is the result
    while at in stages and at not in known:
        known[at] = at
        way.append(at)
        at = stages[at].parent_id or ""
    found = known.get(at, at)
    known.update(dict.fromkeys(way, found))
    return found


def _settle(loose: list[SpanRecord], turns: list[SpanRecord], below: defaultdict[str, list[SpanRecord]]) -> None:
    """Assign stages below the session to their turns."""
    by_speech: defaultdict[str, list[SpanRecord]] = defaultdict(list)
    for turn in sorted(turns, key=_begin):
        for speech in set(texts(turn.attributes, attr.TURN_SPEECH_IDS)):
            by_speech[speech].append(turn)
    for stage in loose:
        home = _choose(stage, by_speech.get(str(stage.attributes.get(attr.SPEECH_ID, "")), ()))
        if home is not None:
            below[home.span_id].append(stage)


def owner(stage: SpanRecord, turns: Iterable[SpanRecord]) -> SpanRecord | None:
    """The turn of a stage below the session: the latest turn before it that names its speech."""
    speech = stage.attributes.get(attr.SPEECH_ID)
    if not speech:
        return None
    named = [turn for turn in turns if speech in texts(turn.attributes, attr.TURN_SPEECH_IDS)]
    return _choose(stage, sorted(named, key=_begin))


def _begin(turn: SpanRecord) -> tuple[int, str]:
    return turn.start_ns, turn.span_id


def _choose(stage: SpanRecord, named: Sequence[SpanRecord]) -> SpanRecord | None:
    """From the turns that name a stage's speech, by start: the latest that began before it, else the first."""
    before = bisect_right(named, stage.start_ns, key=lambda turn: turn.start_ns)
    return named[max(before - 1, 0)] if named else None


def index_of(turn: SpanRecord) -> int:
    """The number of a turn from its span; 0 if it is missing."""
    return whole(turn.attributes, attr.TURN_INDEX) or 0
