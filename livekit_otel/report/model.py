"""SessionReport: the data of one call, as far as the trace contains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..spans import SpanRecord
from ..thresholds import DEFAULTS, Thresholds
from ..turns import (
    Flag,
    ModelUsage,
    Percentiles,
    SessionDerivation,
    Startup,
    TurnDerivation,
    derive_session,
    startup_of,
)
from .exact import exact_latency
from .missing import ReportWarning
from .room import Participant, Room, room_of
from .turns import Turn, build_turns

__all__ = ["PIPELINE", "SessionReport"]

PIPELINE = "pipeline"

#: number of values of a latency that live sessions keep; above it, they estimate
_ESTIMATED_ABOVE = 512


@dataclass
class SessionReport:
    """One session, rebuilt from its spans.

    Attributes:
        session_id: unique ID of the session (``livekit_otel.session.id``).
        conversation_id: the ID that backends group by (``session.id``): the room's SID if there is a job.
        started_at, ended_at: Unix time in seconds; the end is that of the last span if the call broke off.
        job_id, room_id, room, agent_name: as in LiveKit's report; empty without a job.
        close_reason: name of LiveKit's reason, such as ``CR_USER_INITIATED``; None if the call broke off.
        redacted: whether content was not recorded, or was removed before storage. Texts are then empty.
        redacted_in_part: whether the user's ``redact`` processed content before it was recorded.
        findings: missing or damaged data, and notes for the reader.
        events: the session's events, as in LiveKit's report.
        history: the items of the chat history, as in LiveKit's report.
        usage: the last usage state, one dictionary per model with all its fields.
        spans: the records of the session's spans, by start.
        provenance: origin of the spans: ``pipeline`` (livekit_otel), or ``native python`` or ``native node``
            (LiveKit's own, if the call was traced without livekit_otel), or ``livekit report`` (LiveKit's own report,
            without spans).
        basis: for native traces, whether each latency was ``derived`` from the times of spans or ``reported`` by
            LiveKit on them. Empty for ``pipeline``: all latencies are derived, and LiveKit's are in ``Turn.reported``.
        thresholds: minimum waits that are flagged, in seconds, by name.
        under_way: a record of the playback that was in progress when the trace broke off, from the journal (its span
            was never exported); usually empty.
        tags: metadata of each tag of the job's tagger; empty for a tag without metadata.
        outcome: ``success`` or ``fail``, as set on the job's tagger; None if it was not set.
        outcome_reason: the reason given for that outcome.
        evaluations: verdicts of judges, as in ``tagger.evaluations``: ``name``, ``tag``, ``verdict``, ``reasoning``
            and ``instructions``.

    Tags, outcome and verdicts come from the last report that LiveKit made, else from the session's end.

    ``turns`` and all values derived from the spans (``latency``, ``silence``, ``discarded``, interruptions) are
    computed when first read.

    :meth:`to_dict` returns the same lists and dictionaries: copy them before you change them.
    """

    session_id: str
    conversation_id: str
    started_at: float | None
    ended_at: float | None
    job_id: str
    room_id: str
    room: str
    agent_name: str
    close_reason: str | None
    redacted: bool
    redacted_in_part: bool
    findings: list[ReportWarning]
    events: list[dict[str, Any]]
    history: list[dict[str, Any]]
    usage: list[dict[str, Any]]
    spans: list[SpanRecord] = field(repr=False)
    head: dict[str, Any] = field(repr=False)
    provenance: str = PIPELINE
    basis: dict[str, str] = field(default_factory=dict)
    thresholds: Thresholds = field(default_factory=lambda: DEFAULTS)
    under_way: list[SpanRecord] = field(default_factory=list, repr=False)
    tags: dict[str, dict[str, Any]] = field(default_factory=dict)
    outcome: str | None = None
    outcome_reason: str = ""
    evaluations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def warnings(self) -> list[str]:
        """The findings, one line each."""
        return [one.message for one in self.findings]

    @property
    def complete(self) -> bool:
        """Whether nothing of the session is known to be missing: no finding is a loss."""
        return not any(one.loss for one in self.findings)

    @property
    def ended_for_unknown_reason(self) -> bool:
        """Whether the session ended for a reason that the trace does not have, as LiveKit's own spans can lack it."""
        native = self.provenance != PIPELINE and self.head.get("duration_ms") is not None
        return native and self.close_reason is None

    def to_dict(self) -> dict[str, Any]:
        """The report in the format of LiveKit's ``SessionReport.to_dict()``, with its keys in the same order."""
        report = dict(self.head)
        # native spans contain none: unknown is null
        report["events"] = self.events if self.provenance == PIPELINE else None
        report["chat_history"] = {"items": self.history}
        return report

    @cached_property
    def turns(self) -> list[Turn]:
        """The exchanges of the call, in order."""
        spans, overlaps = [*self.spans, *self.under_way], self.provenance == PIPELINE
        return build_turns(spans, self.history, self._by_turn, self.thresholds, overlaps=overlaps)

    @cached_property
    def room_info(self) -> Room:
        """The participants of the room, its connection losses, and the dispatch that created the job."""
        return room_of(self.spans)

    @property
    def caller(self) -> Participant | None:
        """The participant that the session listened to; None if there was none."""
        return self.room_info.caller

    @cached_property
    def startup(self) -> Startup | None:
        """The time to the agent's first audio, by stage; None if the spans do not have it."""
        return startup_of(self.spans)

    @cached_property
    def derivation(self) -> SessionDerivation:
        """All values derived from the spans."""
        return derive_session([*self.spans, *self.under_way], self.thresholds)

    @cached_property
    def _derived(self) -> dict[str, TurnDerivation]:
        return {turn.span_id: turn for turn in self.derivation.turns}

    def _by_turn(self) -> dict[str, TurnDerivation]:
        return self._derived

    @cached_property
    def latency(self) -> Mapping[str, Percentiles]:
        """Exact percentiles over the turns, by the names of LiveKit's ``MetricsReport``.

        Names without a value in any turn are absent.
        """
        derived = self.derivation
        exact = len(derived.turns) == derived.turn_count and derived.turn_count > _ESTIMATED_ABOVE
        return exact_latency(derived.turns) if exact else derived.latency

    @property
    def silence(self) -> Mapping[str, float]:
        """Seconds by stage, summed over the turns; empty if no turn answered the user by voice."""
        return self.derivation.silence

    @property
    def gap_stages(self) -> Mapping[str, float]:
        """The dead air of all turns, in seconds by stage, for stages with a value above 0."""
        return self.derivation.gap_stages

    @property
    def flags(self) -> tuple[Flag, ...]:
        """The worst occurrence of each flag, by name. ``turn`` is the index of its turn."""
        return self.derivation.flags

    @property
    def flagged(self) -> Mapping[str, int]:
        """Number of turns with each flag, without flags that no turn has."""
        return self.derivation.flagged

    @property
    def discarded(self) -> tuple[ModelUsage, ...]:
        """The part of ``usage`` that was spent on discarded preemptive generations."""
        return self.derivation.discarded

    @property
    def interruptions(self) -> int:
        """Number of interruptions of the agent."""
        return self.derivation.interruptions

    @property
    def false_interruptions(self) -> int:
        """Number of times the agent stopped for something that was not an interruption."""
        return self.derivation.false_interruptions

    @property
    def false_cutoffs(self) -> int:
        """Number of turns that were committed while the user only paused."""
        return self.derivation.false_cutoffs

    @property
    def backchannels(self) -> int | None:
        """Number of times the user only said "mhm" or similar while the agent spoke; None if not recorded."""
        return self.derivation.backchannels if self.provenance == PIPELINE else None

    @property
    def interruption_rate(self) -> float | None:
        """Share of the turns with agent speech that were interrupted; None without such turns."""
        return self.derivation.interruption_rate

    @property
    def duration(self) -> float | None:
        """Duration in seconds."""
        return None if self.started_at is None or self.ended_at is None else max(0.0, self.ended_at - self.started_at)
