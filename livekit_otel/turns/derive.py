"""Derives the numbers of a turn or a session from span records, in any order, with pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from .. import attributes as attr
from ..spans import SpanRecord, flag, number, text, whole
from ..thresholds import DEFAULTS, Thresholds
from .around import Around, arounds
from .attribution import TurnSpans, turns_of
from .cutoff import is_false_cutoff
from .gaps import whole_wait
from .incidents import incidents_of
from .latency import latency_of, notes_of, spoken_of
from .model import Segment, SessionDerivation, TurnDerivation, by_stage
from .recorded import read_corrections, says_more, with_recorded
from .silence import critical_path
from .stages import Stages
from .stats import LatencyStats
from .usage import UsageTally, Use, use_of
from .wait import Wait, wait_of

__all__ = ["Totals", "derive_session", "derive_turn", "summary", "with_turn"]

_REPORTED = tuple((name, attr.reported(name)) for name in attr.REPORTED_METRICS)
_VERDICTS = (attr.VERDICT_INTERRUPTION, attr.VERDICT_FALSE_INTERRUPTION, attr.VERDICT_BACKCHANNEL)


class Totals:
    """Totals of a turn or a session that are counted span by span: usage, and the verdicts on interruptions."""

    __slots__ = ("discarded", "usage", "verdicts")

    def __init__(self) -> None:
        self.usage = UsageTally()
        self.discarded = UsageTally()
        self.verdicts = [0, 0, 0]

    def add(self, record: SpanRecord) -> None:
        """Count a stage span."""
        self.count(record, use_of(record))

    def count(self, record: SpanRecord, use: Use | None) -> None:
        """Count a stage span whose usage is already read."""
        attributes = record.attributes
        if use is not None:
            self.usage.add(use)
            if attributes.get(attr.OUTCOME) == attr.OUTCOME_DISCARDED:
                self.discarded.add(use)
        verdict = attributes.get(attr.INTERRUPTION_VERDICT)
        if verdict is not None and verdict in _VERDICTS:
            self.verdicts[_VERDICTS.index(verdict)] += 1


def derive_turn(
    stages: Sequence[SpanRecord],
    turn: SpanRecord | None = None,
    *,
    index: int | None = None,
    span_id: str = "",
    totals: Totals | None = None,
    around: Around | None = None,
) -> TurnDerivation:
    """The numbers of one turn.

    Args:
        stages: its stage spans, in any order, each once.
        turn: its own span; if it is missing (the call broke off), ``index`` and ``span_id`` identify the turn.
        index: number of the turn if its span does not contain it.
        span_id: id of its span if that is missing.
        totals: the totals of ``stages``, if the caller has already counted them.
        around: data about the time around the turn.
    """
    around = around or Around()
    sorted_out = Stages(stages, around.tools)
    has_user, wait = _wait(sorted_out, stages, turn)
    if turn is not None:
        own = whole(turn.attributes, attr.TURN_INDEX)
        index, span_id = index if own is None else own, turn.span_id
    spoken = spoken_of(sorted_out, wait)
    beyond = whole_wait(sorted_out, wait, turn, has_user=has_user, around=around)
    latency = latency_of(sorted_out, wait, spoken, beyond)
    path = critical_path(sorted_out, wait)
    totals = totals or _totals(stages)
    cutoff = is_false_cutoff(wait, around)
    replaced = int(cutoff and totals.verdicts[0] > 0)
    derived = TurnDerivation(
        index=index or 0,
        span_id=span_id,
        answered_ns=wait.answered_ns,
        latency=latency,
        path=path,
        silence=_silence(path) if wait.e2e_ns is not None else {},
        answered=beyond.answered,
        why_not=beyond.why_not,
        acknowledged=beyond.acknowledged,
        gaps=beyond.gaps,
        usage=totals.usage.result(),
        discarded=totals.discarded.result(),
        interruptions=totals.verdicts[0] - replaced,
        false_interruptions=totals.verdicts[1],
        backchannels=totals.verdicts[2],
        false_cutoff=cutoff,
        replaced=replaced,
        incidents=incidents_of(stages, wait, around, cutoff=cutoff),
        llm_model=_model(spoken.request),
        tts_model=_model(spoken.tts),
    )
    return derived if turn is None else with_turn(derived, turn)


def _wait(sorted_out: Stages, stages: Sequence[SpanRecord], turn: SpanRecord | None) -> tuple[bool, Wait]:
    """Whether the user is part of the turn, and its first wait."""
    if turn is None:
        has_user = bool(sorted_out.eou or sorted_out.transcripts or sorted_out.vad)
        opened = min((one.start_ns for one in stages), default=0)
        return has_user, wait_of(sorted_out, has_user=has_user, opened_ns=opened)
    has_user = flag(turn.attributes, attr.TURN_HAS_USER)
    typed = turn.attributes.get(attr.TURN_SPEECH_END_SOURCE) == attr.SPEECH_END_TYPED
    return has_user, wait_of(sorted_out, has_user=has_user, opened_ns=turn.start_ns, typed=typed)


def _totals(stages: Iterable[SpanRecord]) -> Totals:
    totals = Totals()
    for one in stages:
        totals.add(one)
    return totals


def _silence(path: Iterable[Segment]) -> dict[str, float]:
    return dict.fromkeys(attr.SILENCE_STAGES, 0.0) | by_stage(path)


def with_turn(derived: TurnDerivation, turn: SpanRecord) -> TurnDerivation:
    """Add the values from the turn's ended span: the agent, the reason for its end, and LiveKit's own values."""
    attributes = turn.attributes
    reported: dict[str, float] = {}
    for name, key in _REPORTED:
        if key in attributes and (value := number(attributes, key)) is not None:
            reported[name] = value
    agent = text(attributes, attr.AGENT_NAME)
    reason = text(attributes, attr.END_REASON)
    if not reported and not agent and not reason:
        return derived
    notes = notes_of(derived.latency, reported)
    return msgspec.structs.replace(derived, agent=agent, reported=reported, notes=notes, end_reason=reason)


def _model(stage: SpanRecord | None) -> tuple[str, str] | None:
    if stage is None or attr.REQUEST_MODEL not in stage.attributes:
        return None
    return text(stage.attributes, attr.PROVIDER_NAME), text(stage.attributes, attr.REQUEST_MODEL)


def derive_session(spans: Iterable[SpanRecord], thresholds: Thresholds = DEFAULTS) -> SessionDerivation:
    """The numbers of one session.

    Args:
        spans: its span records, in any order; duplicates are dropped, spans of other instrumentations are ignored.
        thresholds: seconds from which waits are flagged, by name.
    """
    unique: dict[str, SpanRecord] = {}
    totals = Totals()
    for span in spans:
        if span.span_id not in unique:
            unique[span.span_id] = span
            if span.kind in attr.STAGE_KINDS:
                totals.add(span)
    turns = turns_of(unique.values())
    lacking = _lacks_spans(unique.values())
    corrections = read_corrections(unique.values()) if lacking else {}
    derived = []
    for one, around in zip(turns, arounds(turns, unique.values()), strict=True):
        derived.append(_derive(one, corrections.get(one.index, {}), around, lacking=lacking))
    stats = LatencyStats(thresholds)
    for turn in derived:
        stats.add(turn)
    return summary(stats, totals, tuple(derived))


def _lacks_spans(spans: Collection[SpanRecord]) -> bool:
    """Whether spans of the session are known to be missing, or its end, which counts the spans, is missing."""
    end = next((one for one in spans if one.kind == attr.KIND_SESSION_END), None)
    count = whole(end.attributes, attr.SESSION_SPAN_COUNT) if end is not None else None
    # session.end does not count the reports that are made after it
    return count is None or count > sum(one.kind != attr.KIND_SESSION_REPORT for one in spans)


def _derive(one: TurnSpans, corrections: Mapping[str, Any], around: Around, *, lacking: bool) -> TurnDerivation:
    """Derive a turn from its stages, or from its span if stages may be missing and the span has more data."""
    derived = derive_turn(one.stages, one.turn, index=one.index, span_id=one.span_id, around=around)
    if lacking and one.turn is not None and says_more(derived, one.turn, corrections):
        return with_recorded(derived, one.turn, corrections)
    return derived


def summary(stats: LatencyStats, totals: Totals, turns: tuple[TurnDerivation, ...] = ()) -> SessionDerivation:
    """A session's numbers from its statistics and totals."""
    return SessionDerivation(
        turns=turns,
        turn_count=stats.turns,
        latency=stats.latency(),
        silence=stats.silence(),
        gap_stages=stats.gap_stages(),
        usage=totals.usage.result(),
        discarded=totals.discarded.result(),
        interruptions=totals.verdicts[0] - stats.replaced,
        false_interruptions=totals.verdicts[1],
        backchannels=totals.verdicts[2],
        false_cutoffs=stats.false_cutoffs,
        flags=stats.flags.flags(),
        flagged=stats.flags.sums(),
        interruption_rate=stats.interruption_rate,
    )
