"""What is derived from spans: one turn's latency and silence, a session's percentiles and totals. Plain frozen data."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from .model_usage import ModelUsage

__all__ = ["Latencies", "Percentiles", "Segment", "SessionDerivation", "TurnDerivation", "TurnLatency"]


class TurnLatency(msgspec.Struct, frozen=True, kw_only=True):
    """The latencies of one turn, by the names of LiveKit's ``MetricsReport``; None where one does not apply.

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


class Segment(msgspec.Struct, frozen=True, gc=False):
    """One interval of the critical path: in it the answer waited for ``stage``. Unix nanoseconds."""

    stage: str
    start_ns: int
    end_ns: int


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
        usage: use of each model in this turn, discarded preemptive generations included.
        discarded: the part of it that was spent on those.
        reported: LiveKit's own values, by name.
        notes: where reported and derived values differ by more than 5 ms, one line each.
        interruptions, false_interruptions, backchannels: how often.
        llm_model, tts_model: (provider, model) of what was spoken first, or None.
    """

    index: int
    span_id: str
    agent: str = ""
    answered_ns: int | None
    latency: TurnLatency
    path: tuple[Segment, ...]
    silence: Mapping[str, float]
    usage: tuple[ModelUsage, ...]
    discarded: tuple[ModelUsage, ...]
    reported: Mapping[str, float] = {}
    notes: tuple[str, ...] = ()
    interruptions: int
    false_interruptions: int
    backchannels: int
    llm_model: tuple[str, str] | None
    tts_model: tuple[str, str] | None


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
        usage: use of each model, in LiveKit's order; stages outside of turns included.
        discarded: the part of it that went to preemptive generations which were thrown away.
        interruptions, false_interruptions, backchannels: how often.
        interruption_rate: share of the turns with agent speech in which it was interrupted; None without any.
    """

    turns: tuple[TurnDerivation, ...]
    turn_count: int
    latency: Latencies
    silence: Mapping[str, float]
    usage: tuple[ModelUsage, ...]
    discarded: tuple[ModelUsage, ...]
    interruptions: int
    false_interruptions: int
    backchannels: int
    interruption_rate: float | None
