"""What is derived from spans: one turn's latency and silence, a session's percentiles and totals. Plain frozen data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from .model_usage import ModelUsage

__all__ = [
    "Flag",
    "Gap",
    "Incident",
    "Latencies",
    "Percentiles",
    "Segment",
    "SessionDerivation",
    "TurnDerivation",
    "TurnLatency",
    "by_stage",
]


class TurnLatency(msgspec.Struct, frozen=True, kw_only=True):
    """The latencies of one turn: by LiveKit's ``MetricsReport`` and three more names; None where one does not apply.

    Attributes:
        started_speaking_at, stopped_speaking_at: when the user did, unix seconds.
        transcription_delay: user stopped speaking to final transcript, seconds.
        end_of_turn_delay: user stopped speaking to turn committed, seconds.
        on_user_turn_completed_delay: how long the hook took after that, seconds.
        llm_node_ttft: request to first token, of the request whose text was spoken first, seconds.
        llm_node_tps: its output tokens per second of streaming.
        llm_node_ttfs: its start to the moment its first sentence reached the TTS provider, seconds.
        tts_node_ttfb: that moment to the first audio, seconds.
        playback_latency: first audio that may be played to audio that is heard, seconds.
        e2e_latency: user stopped speaking to agent's audio heard, seconds.
        answer_latency: user stopped speaking to the answer heard, which is later than the first audio where a preamble
            or a filler came before it, seconds.
        dead_air: silence after the agent's first words while it still owed speech, seconds; where nothing was heard,
            the silence since the user stopped.
        wait: ``e2e_latency`` and ``dead_air`` together, seconds.
    """

    started_speaking_at: float | None = None
    stopped_speaking_at: float | None = None
    transcription_delay: float | None = None
    end_of_turn_delay: float | None = None
    on_user_turn_completed_delay: float | None = None
    llm_node_ttft: float | None = None
    llm_node_tps: float | None = None
    llm_node_ttfs: float | None = None
    tts_node_ttfb: float | None = None
    playback_latency: float | None = None
    e2e_latency: float | None = None
    answer_latency: float | None = None
    dead_air: float | None = None
    wait: float | None = None


class Segment(msgspec.Struct, frozen=True, gc=False):
    """One interval of the critical path: in it the answer waited for ``stage``. Unix nanoseconds."""

    stage: str
    start_ns: int
    end_ns: int


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A silence after the agent's first words in which it still owed speech. Unix nanoseconds.

    Attributes:
        start_ns, end_ns: when it was silent; noise that was no speech to the agent is not part of it.
        path: which stage was waited for, interval by interval; together they are the whole of it.
    """

    start_ns: int
    end_ns: int
    path: tuple[Segment, ...] = ()

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def stages(self) -> dict[str, float]:
        """Seconds by stage, of those that were waited for."""
        return by_stage(self.path)


def by_stage(path: Iterable[Segment]) -> dict[str, float]:
    """Seconds by stage, of those that were waited for."""
    sums: dict[str, int] = {}
    for one in path:
        sums[one.stage] = sums.get(one.stage, 0) + one.end_ns - one.start_ns
    return {stage: ns / 1e9 for stage, ns in sums.items()}


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """Why a turn deserves a look.

    Attributes:
        name: ``slow``, ``dead_air``, ``never_answered``, ``failed``, ``false_cutoff`` or ``interrupted``.
        value: what led to it, in ``unit``; None where nobody knows.
        threshold: from which value on there is the flag (for ``false_cutoff`` up to which); None where that it happened
            is enough.
        unit: ``s``, ``{failure}`` or ``{interruption}``.
        turn: index of the turn.
        stage: the stage that took most of the wait, or that failed; None where there is none.
        at: where in the call it is, unix seconds: the beginning of the wait, the failure (of a hook, its
            beginning), the commit that came too early, the interruption; None where nobody knows.
    """

    name: str
    value: float | None
    threshold: float | None
    unit: str
    turn: int
    stage: str | None
    at: float | None


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """What a flag says of something that happened. ``at`` is unix seconds; None where nobody knows."""

    value: float | None = None
    stage: str | None = None
    at: float | None = None


class TurnDerivation(msgspec.Struct, frozen=True, kw_only=True):
    """All that is derived of one turn.

    Attributes:
        index: number of the turn in its session, from 0.
        span_id: id of the turn's span, also when that span itself is missing.
        agent: id of the agent in charge.
        answered_ns: when audio of the agent was first heard (after the user stopped, if there is a user side), unix
            nanoseconds; None without audio.
        latency: see :class:`TurnLatency`.
        path: the critical path from the user's silence to the agent's voice, without gaps; empty where there is no
            ``e2e_latency``.
        silence: seconds by stage, all stages present, summing to ``latency.e2e_latency``; empty without one.
        answered: ``yes``, ``text`` (in writing only) or ``no``; None where the user had said nothing, or where the turn
            is not over.
        why_not: for ``no``: ``failed``, ``interrupted``, ``session_closed`` or ``no_reply``; else empty.
        acknowledged: the agent said something (a preamble, a filler) before its answer.
        gaps: the silences after its first words while it still owed speech; of a turn in which nothing was heard, the
            silence since the user stopped.
        usage: use of each model in this turn, discarded preemptive generations included.
        discarded: the part of it that was spent on those.
        reported: LiveKit's own values, by name.
        notes: where reported and derived values differ by more than 5 ms, one line each.
        interruptions, false_interruptions, backchannels: how often.
        false_cutoff: the user had only paused, and spoke on: what looks like an interruption of theirs is none.
        replaced: interruptions that are not counted because of it.
        end_reason: why the turn ended, as its span says; empty where it has not.
        incidents: what flags say of failures, cutoffs and interruptions, by the name of the flag.
        llm_model, tts_model: (provider, model) of what was spoken first, or None.
    """

    index: int
    span_id: str
    agent: str = ""
    answered_ns: int | None
    latency: TurnLatency
    path: tuple[Segment, ...]
    silence: Mapping[str, float]
    answered: str | None = None
    why_not: str = ""
    acknowledged: bool = False
    gaps: tuple[Gap, ...] = ()
    usage: tuple[ModelUsage, ...]
    discarded: tuple[ModelUsage, ...]
    reported: Mapping[str, float] = {}
    notes: tuple[str, ...] = ()
    interruptions: int
    false_interruptions: int
    backchannels: int
    false_cutoff: bool = False
    replaced: int = 0
    end_reason: str = ""
    incidents: Mapping[str, Incident] = {}
    llm_model: tuple[str, str] | None
    tts_model: tuple[str, str] | None

    @property
    def gap_stages(self) -> dict[str, float]:
        """Seconds by stage over all gaps, of those that were waited for; they sum to ``latency.dead_air``."""
        return by_stage(segment for gap in self.gaps for segment in gap.path)


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Of one latency over the turns of a session, in seconds: values that occurred (nearest rank).

    Above 512 turns, all but ``max`` are exact to 1 %.
    """

    count: int
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


Latencies = Mapping[str, Percentiles]


class SessionDerivation(msgspec.Struct, frozen=True, kw_only=True):
    """All that is derived of one session.

    Attributes:
        turns: the turns by index.
        turn_count: how many there are.
        latency: percentiles by the names of ``MetricsReport``; without those that no turn has.
        silence: seconds by stage, summed over the turns.
        gap_stages: seconds by stage of all gaps, of those stages that were waited for.
        usage: use of each model, in LiveKit's order; stages outside of turns included.
        discarded: the part of it that went to preemptive generations which were thrown away.
        interruptions, false_interruptions, backchannels: how often.
        false_cutoffs: turns in which the user had only paused, and spoke on.
        flags: of each flag that a turn has, the worst, by name.
        flagged: how many turns have each of them.
        interruption_rate: share of the turns with agent speech in which it was interrupted; None without any.
    """

    turns: tuple[TurnDerivation, ...]
    turn_count: int
    latency: Latencies
    silence: Mapping[str, float]
    gap_stages: Mapping[str, float] = {}
    usage: tuple[ModelUsage, ...]
    discarded: tuple[ModelUsage, ...]
    interruptions: int
    false_interruptions: int
    backchannels: int
    false_cutoffs: int = 0
    flags: tuple[Flag, ...] = ()
    flagged: Mapping[str, int] = {}
    interruption_rate: float | None
