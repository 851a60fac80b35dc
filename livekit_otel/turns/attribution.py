"""Which turn a stage belongs to: its parent, else the turn that names its speech. The one answer to that question."""

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
        span_id: id of the turn's span, also when that span itself is missing.
        turn: the turn's own span; None when it is missing (the call broke off within the turn).
        stages: its stage spans, each once, in no order.
    """

    index: int
    span_id: str
    turn: SpanRecord | None
    stages: list[SpanRecord]


def turns_of(spans: Iterable[SpanRecord]) -> list[TurnSpans]:
    """The turns of one session, by index; those whose own span is missing follow, by the start of their first stage.

    Args:
        spans: the session's span records, in any order, each once; spans that are not ours are ignored.

    A stage below a turn's span, or below another stage of it, is that turn's. One below the session (its work began
    before its turn did, or ended after it) is the turn's that names its speech; without one it belongs to none. Stages
    below a span that is missing are of a turn that broke off.
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
            # the session's own span is exported last, or never: these are its children for sure
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
    """The span above a stage that is no stage itself: a tool's own requests are below the tool.

    ``known`` has what was found for the stages before: a stage below another has the same span above it.
    """
    way: list[str] = []
    at = stage.span_id
    # in a circle the first stage that is met again stands above it
    while at in stages and at not in known:
        known[at] = at
        way.append(at)
        at = stages[at].parent_id or ""
    found = known.get(at, at)
    known.update(dict.fromkeys(way, found))
    return found


def _settle(loose: list[SpanRecord], turns: list[SpanRecord], below: defaultdict[str, list[SpanRecord]]) -> None:
    """Give stages below the session to their turns."""
    by_speech: defaultdict[str, list[SpanRecord]] = defaultdict(list)
    for turn in sorted(turns, key=_begin):
        for speech in set(texts(turn.attributes, attr.TURN_SPEECH_IDS)):
            by_speech[speech].append(turn)
    for stage in loose:
        home = _choose(stage, by_speech.get(str(stage.attributes.get(attr.SPEECH_ID, "")), ()))
        if home is not None:
            below[home.span_id].append(stage)


def owner(stage: SpanRecord, turns: Iterable[SpanRecord]) -> SpanRecord | None:
    """The turn of a stage that hangs below the session: the latest one before it that names its speech."""
    speech = stage.attributes.get(attr.SPEECH_ID)
    if not speech:
        return None
    named = [turn for turn in turns if speech in texts(turn.attributes, attr.TURN_SPEECH_IDS)]
    return _choose(stage, sorted(named, key=_begin))


def _begin(turn: SpanRecord) -> tuple[int, str]:
    return turn.start_ns, turn.span_id


def _choose(stage: SpanRecord, named: Sequence[SpanRecord]) -> SpanRecord | None:
    """Of the turns that name a stage's speech, by start, the latest that began before it, else the first."""
    before = bisect_right(named, stage.start_ns, key=lambda turn: turn.start_ns)
    return named[max(before - 1, 0)] if named else None


def index_of(turn: SpanRecord) -> int:
    """Number of a turn, as its span says it; 0 where it does not."""
    return whole(turn.attributes, attr.TURN_INDEX) or 0
