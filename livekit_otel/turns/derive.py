"""The derivation: from the span records of a turn, or of a session, to its numbers. Pure; any order will do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from .. import attributes as attr
from ..spans import SpanRecord, flag, number, seconds, text, texts, whole
from .bounds import wait_of
from .latency import latency_of, notes_of, spoken_of
from .model import SessionDerivation, TurnDerivation
from .silence import critical_path
from .stages import Stages
from .stats import LatencyStats
from .usage import UsageTally, Use, use_of

__all__ = ["Totals", "derive_session", "derive_turn", "owner"]

_REPORTED = tuple((name, attr.reported(name)) for name in attr.REPORTED_METRICS)
_VERDICTS = (attr.VERDICT_INTERRUPTION, attr.VERDICT_FALSE_INTERRUPTION, attr.VERDICT_BACKCHANNEL)


class Totals:
    """What can be counted span by span, for a turn as for a session: usage, and what became of interruptions."""

    __slots__ = ("discarded", "usage", "verdicts")

    def __init__(self) -> None:
        self.usage = UsageTally()
        self.discarded = UsageTally()
        self.verdicts = [0, 0, 0]

    def add(self, record: SpanRecord, use: Use | None = None) -> None:
        """Count a stage span; ``use`` is its usage, for a caller who has read it already."""
        use = use or use_of(record)
        attributes = record.attributes
        if use is not None:
            self.usage.add(use)
            if attributes.get(attr.OUTCOME) == attr.OUTCOME_DISCARDED:
                self.discarded.add(use)
        verdict = attributes.get(attr.INTERRUPTION_VERDICT)
        if verdict in _VERDICTS:
            self.verdicts[_VERDICTS.index(verdict)] += 1


def derive_turn(
    stages: Sequence[SpanRecord],
    turn: SpanRecord | None = None,
    *,
    index: int | None = None,
    span_id: str = "",
    totals: Totals | None = None,
) -> TurnDerivation:
    """The numbers of one turn.

    Args:
        stages: its stage spans, in any order, each once.
        turn: its own span; without it (the call broke off) ``index`` and ``span_id`` say which turn it is.
        index: number of the turn where its span does not say it.
        span_id: id of its span where that is missing.
        totals: what counting ``stages`` gives, for a caller who has it already.
    """
    sorted_out = Stages(stages)
    if turn is not None:
        has_user, opened = flag(turn.attributes, attr.TURN_USER_INITIATED), turn.start_ns
        own = whole(turn.attributes, attr.TURN_INDEX)
        index, span_id = index if own is None else own, turn.span_id
    else:
        has_user = bool(sorted_out.eou or sorted_out.transcripts or sorted_out.vad)
        opened = min((one.start_ns for one in stages), default=0)
    wait = wait_of(sorted_out, has_user=has_user, opened_ns=opened)
    spoken = spoken_of(sorted_out, wait)
    latency = latency_of(sorted_out, wait, spoken)
    path = critical_path(sorted_out, wait)
    silence_ns = dict.fromkeys(attr.SILENCE_STAGES, 0) if wait.e2e_ns is not None else {}
    for segment in path:
        silence_ns[segment.stage] += segment.end_ns - segment.start_ns
    if totals is None:
        totals = Totals()
        for one in stages:
            totals.add(one)
    derived = TurnDerivation(
        index=index or 0,
        span_id=span_id,
        answered_ns=wait.answered_ns,
        latency=latency,
        path=path,
        silence={stage: seconds(ns) for stage, ns in silence_ns.items()},
        usage=totals.usage.result(),
        discarded=totals.discarded.result(),
        interruptions=totals.verdicts[0],
        false_interruptions=totals.verdicts[1],
        backchannels=totals.verdicts[2],
        llm_model=_model(spoken.request),
        tts_model=_model(spoken.tts),
    )
    return derived if turn is None else with_turn(derived, turn)


def with_turn(derived: TurnDerivation, turn: SpanRecord) -> TurnDerivation:
    """The same with what the turn's span itself says when it has ended: the agent, and LiveKit's own values."""
    attributes = turn.attributes
    reported: dict[str, float] = {}
    for name, key in _REPORTED:
        if key in attributes and (value := number(attributes, key)) is not None:
            reported[name] = value
    agent = text(attributes, attr.AGENT_NAME)
    if not reported and not agent:
        return derived
    notes = notes_of(derived.latency, reported)
    return msgspec.structs.replace(derived, agent=agent, reported=reported, notes=notes)


def _model(stage: SpanRecord | None) -> tuple[str, str] | None:
    if stage is None or attr.REQUEST_MODEL not in stage.attributes:
        return None
    return text(stage.attributes, attr.PROVIDER_NAME), text(stage.attributes, attr.REQUEST_MODEL)


def derive_session(spans: Iterable[SpanRecord]) -> SessionDerivation:
    """The numbers of one session.

    Args:
        spans: its span records, in any order; duplicates are dropped, spans that are not ours are ignored.
    """
    turns: list[SpanRecord] = []
    stages: defaultdict[str, list[SpanRecord]] = defaultdict(list)
    session_ids: set[str] = set()
    seen: set[str] = set()
    totals = Totals()
    for span in spans:
        if span.span_id in seen:
            continue
        seen.add(span.span_id)
        kind = span.kind
        if kind == attr.KIND_TURN:
            turns.append(span)
        if kind in attr.STAGE_KINDS:
            stages[span.parent_id or ""].append(span)
            totals.add(span)
        elif kind == attr.KIND_SESSION:
            session_ids.add(span.span_id)
        elif kind and span.parent_id:
            # the session's own span is exported last, or never: these are its children for sure
            session_ids.add(span.parent_id)
    turns.sort(key=lambda one: (_index(one), one.start_ns, one.span_id))
    loose = [one for parent in ({"", *session_ids} & stages.keys()) for one in stages.pop(parent)]
    for one in loose:
        home = owner(one, turns)
        if home is not None:
            stages[home.span_id].append(one)
    derived = [derive_turn(stages.pop(turn.span_id, ()), turn) for turn in turns]
    following = derived[-1].index + 1 if derived else 0
    # turns whose own span is missing: the call broke off within them
    broken = sorted(stages.items(), key=lambda item: (min(one.start_ns for one in item[1]), item[0]))
    derived += [derive_turn(own, index=following + n, span_id=parent) for n, (parent, own) in enumerate(broken)]
    stats = LatencyStats()
    for turn in derived:
        stats.add(turn)
    return summary(stats, totals, tuple(derived))


def summary(stats: LatencyStats, totals: Totals, turns: tuple[TurnDerivation, ...] = ()) -> SessionDerivation:
    """A session's numbers from what was counted."""
    return SessionDerivation(
        turns=turns,
        turn_count=stats.turns,
        latency=stats.latency(),
        silence=stats.silence(),
        usage=totals.usage.result(),
        discarded=totals.discarded.result(),
        interruptions=totals.verdicts[0],
        false_interruptions=totals.verdicts[1],
        backchannels=totals.verdicts[2],
        interruption_rate=stats.interruption_rate,
    )


def _index(turn: SpanRecord) -> int:
    return whole(turn.attributes, attr.TURN_INDEX) or 0


def owner(stage: SpanRecord, turns: Iterable[SpanRecord]) -> SpanRecord | None:
    """The turn of a stage that hangs below the session: the latest one before it that names its speech."""
    speech = stage.attributes.get(attr.SPEECH_ID)
    if not speech:
        return None
    named = [turn for turn in turns if speech in texts(turn.attributes, attr.TURN_SPEECH_IDS)]
    before = [turn for turn in named if turn.start_ns <= stage.start_ns]
    if before:
        return max(before, key=lambda turn: (turn.start_ns, turn.span_id))
    return min(named, key=lambda turn: (turn.start_ns, turn.span_id), default=None)
