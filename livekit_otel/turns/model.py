"""The derived data: a turn's latency and silence, a session's percentiles and totals. Plain frozen structures."""

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
    """The latencies of one turn: those of LiveKit's ``MetricsReport`` and three more; None if one does not apply.

    Attributes:
        started_speaking_at, stopped_speaking_at: when the user did so, unix seconds.
        transcription_delay: from the end of the user's speech to the final transcript, seconds.
        end_of_turn_delay: from the end of the user's speech to the commit of the turn, seconds.
        on_user_turn_completed_delay: duration of the hook after that, seconds.
        llm_node_ttft: from request to first token, of the request whose text was spoken first, seconds.
        llm_node_tps: its output tokens per second of streaming.
        llm_node_ttfs: from its start to the arrival of its first sentence at the TTS provider, seconds.
        tts_node_ttfb: from that arrival to the first audio, seconds.
        playback_latency: from the first audio that may be played to audio that is heard, seconds.
        e2e_latency: from the end of the user's speech to audio of the agent that is heard, seconds.
        answer_latency: from the end of the user's speech to the answer that is heard, seconds; later than the first
            audio if a preamble or a filler preceded the answer.
        dead_air: silence after the agent's first words while it still owed speech, seconds; without any audio, the
            silence since the user stopped.
        wait: sum of ``e2e_latency`` and ``dead_air``, seconds.
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
    """One interval of the critical path, in which the answer waited for ``stage``. Unix nanoseconds."""

    stage: str
    start_ns: int
    end_ns: int


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A silence after the agent's first words in which it still owed speech. Unix nanoseconds.

    Attributes:
        start_ns, end_ns: the silence, without noise that the agent did not take for speech.
        path: the stages that were waited for, as intervals that cover the whole silence.
    """

    start_ns: int
    end_ns: int
    path: tuple[Segment, ...] = ()

    @property
    def seconds(self) -> float:
        """The length of the silence."""
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def stages(self) -> dict[str, float]:
        """Seconds by stage, for the stages that were waited for."""
        return by_stage(self.path)


def by_stage(path: Iterable[Segment]) -> dict[str, float]:
    """Seconds by stage, for the stages that were waited for."""
    sums: dict[str, int] = {}
    for one in path:
        sums[one.stage] = sums.get(one.stage, 0) + one.end_ns - one.start_ns
    return {stage: ns / 1e9 for stage, ns in sums.items()}


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """Why a turn deserves attention.

    Attributes:
        name: ``slow``, ``dead_air``, ``never_answered``, ``failed``, ``false_cutoff`` or ``interrupted``.
        value: the value that led to the flag, in ``unit``; None if unknown.
        threshold: the value from which the flag is set (for ``false_cutoff`` up to which); None if the event alone sets
            the flag.
        unit: ``s``, ``{failure}`` or ``{interruption}``.
        turn: index of the turn.
        stage: the stage that took most of the wait, or that failed; None if there is none.
        at: time in the call, unix seconds: the start of the wait, the failure (for a hook, its start), the commit
            that came too early, the interruption; None if unknown.
    """

    name: str
    value: float | None
    threshold: float | None
    unit: str
    turn: int
    stage: str | None
    at: float | None


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """The data of a flag about an event. ``at`` is unix seconds; None if unknown."""

    value: float | None = None
    stage: str | None = None
    at: float | None = None


class TurnDerivation(msgspec.Struct, frozen=True, kw_only=True):
    """All numbers derived from one turn.

    Attributes:
        index: number of the turn in its session, from 0.
        span_id: id of the turn's span, even if that span is missing.
        agent: id of the agent in charge.
        answered_ns: when audio of the agent was first heard (after the user stopped, if the user spoke), unix
            nanoseconds; None without audio.
        latency: see :class:`TurnLatency`.
        path: the critical path from the user's silence to the agent's voice, without gaps; empty without
            ``e2e_latency``.
        silence: seconds by stage, all stages present; their sum is ``latency.e2e_latency``; empty without it.
        answered: ``yes``, ``text`` (only in writing) or ``no``; None if the user said nothing, or if the turn is not
            over.
        why_not: for ``no``: ``failed``, ``interrupted``, ``session_closed`` or ``no_reply``; else empty.
        acknowledged: whether the agent said something (a preamble, a filler) before its answer.
        gaps: the silences after its first words while it still owed speech; in a turn without any audio, the silence
            since the user stopped.
        usage: usage of each model in this turn, including discarded preemptive generations.
        discarded: the part of the usage that was spent on those.
        reported: LiveKit's own values, by name.
        notes: differences of more than 5 ms between reported and derived values, one line each.
        interruptions, false_interruptions, backchannels: their numbers.
        false_cutoff: whether the user had only paused, and continued; their apparent interruption does not count.
        replaced: number of interruptions that do not count for this reason.
        end_reason: the reason for the end of the turn, from its span; empty if it has not ended.
        incidents: data for the flags about failures, cutoffs and interruptions, by the name of the flag.
        llm_model, tts_model: (provider, model) of the first speech, or None.
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
        """Seconds by stage over all gaps, for the stages that were waited for; their sum is ``latency.dead_air``."""
        return by_stage(segment for gap in self.gaps for segment in gap.path)


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles of one latency over the turns of a session, in seconds: values that occurred (nearest rank).

    Above 512 turns, all except ``max`` are accurate to 1 %.
    """

    count: int
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


Latencies = Mapping[str, Percentiles]


class SessionDerivation(msgspec.Struct, frozen=True, kw_only=True):
    """All numbers derived from one session.

    Attributes:
        turns: the turns by index.
        turn_count: number of turns.
        latency: percentiles by the names of ``MetricsReport``, without names that no turn has.
        silence: seconds by stage, summed over the turns.
        gap_stages: seconds by stage over all gaps, for the stages that were waited for.
        usage: usage of each model, in LiveKit's order, including stages outside turns.
        discarded: the part of the usage spent on discarded preemptive generations.
        interruptions, false_interruptions, backchannels: their numbers.
        false_cutoffs: number of turns in which the user had only paused, and continued.
        flags: the worst flag of each name that occurs, by name.
        flagged: number of turns with each of these flags.
        interruption_rate: share of the turns with agent speech in which it was interrupted; None without such turns.
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
