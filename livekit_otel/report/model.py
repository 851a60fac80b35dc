"""SessionReport: one call, as far as the trace tells."""

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

#: live sessions keep so many values of a latency; above that they estimate
_ESTIMATED_ABOVE = 512


@dataclass
class SessionReport:
    """One session, rebuilt from its spans.

    Attributes:
        session_id: unique id of the session (``livekit_otel.session.id``).
        conversation_id: what backends group by (``session.id``): the room's sid where there is a job.
        started_at, ended_at: unix time in seconds; the end is that of the last span when the call broke off.
        job_id, room_id, room, agent_name: as in LiveKit's report; empty where there is no job.
        close_reason: name of LiveKit's reason, like ``CR_USER_INITIATED``; None when the call broke off.
        redacted: content was not recorded, or was removed on the way; texts are empty then.
        redacted_in_part: content went through the user's ``redact`` before it was recorded.
        findings: what is missing or damaged, and what else a reader should know.
        events: the session's events, as in LiveKit's report.
        history: the items of the chat history, as in LiveKit's report.
        usage: the last usage state, one dictionary per model with all its fields.
        spans: the records of the session's spans, by start.
        provenance: what it was made of: spans of ``pipeline`` (livekit_otel), ``native python`` or ``native node``
            (LiveKit's own, where the call was traced without it), or a ``livekit report`` (LiveKit's own, no spans).
        basis: of such a trace, whether each latency was ``derived`` from the times of spans or ``reported`` by LiveKit
            on them; empty for ``pipeline``, where all are derived, and LiveKit's own stand in ``Turn.reported``.
        thresholds: from how many seconds on waits are flagged, by name.
        under_way: a record of the playback that the agent was at when the trace broke off, as the journal says it (its
            span was never exported); mostly empty.
        tags: metadata of each tag of the job's tagger; empty for a tag without any.
        outcome: ``success`` or ``fail``, as the job's tagger had it; None where nobody said.
        outcome_reason: the reason that was given for it.
        evaluations: judges' verdicts, as ``tagger.evaluations`` has them: ``name``, ``tag``, ``verdict``, ``reasoning``
            and ``instructions``.

    Tags, outcome and verdicts are those of the last report that LiveKit made, else of the session's end.

    ``turns`` and all that is derived from the spans (``latency``, ``silence``, ``discarded``, what became of
    interruptions) is computed when it is first read.

    The lists and dictionaries are shared with what :meth:`to_dict` returns: copy before you change them.
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
        """Whether the session is known to have ended, and nothing says why: LiveKit's own spans may not."""
        native = self.provenance != PIPELINE and self.head.get("duration_ms") is not None
        return native and self.close_reason is None

    def to_dict(self) -> dict[str, Any]:
        """The report in the shape of LiveKit's ``SessionReport.to_dict()``, keys in its order."""
        report = dict(self.head)
        # native spans hold none: unknown is null
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
        """Who was in the room, when its connection was lost, and the dispatch that the job came of."""
        return room_of(self.spans)

    @property
    def caller(self) -> Participant | None:
        """The participant that the session listened to; None where there was none."""
        return self.room_info.caller

    @cached_property
    def startup(self) -> Startup | None:
        """How the session came to its first word, by stage; None where its spans do not say."""
        return startup_of(self.spans)

    @cached_property
    def derivation(self) -> SessionDerivation:
        """All that is derived from the spans."""
        return derive_session([*self.spans, *self.under_way], self.thresholds)

    @cached_property
    def _derived(self) -> dict[str, TurnDerivation]:
        return {turn.span_id: turn for turn in self.derivation.turns}

    def _by_turn(self) -> dict[str, TurnDerivation]:
        return self._derived

    @cached_property
    def latency(self) -> Mapping[str, Percentiles]:
        """Percentiles over the turns, by the names of LiveKit's ``MetricsReport``; without those that no turn has.

        They are exact at any length.
        """
        derived = self.derivation
        exact = len(derived.turns) == derived.turn_count and derived.turn_count > _ESTIMATED_ABOVE
        return exact_latency(derived.turns) if exact else derived.latency

    @property
    def silence(self) -> Mapping[str, float]:
        """Seconds by stage, summed over the turns; empty where no turn answered the user by voice."""
        return self.derivation.silence

    @property
    def gap_stages(self) -> Mapping[str, float]:
        """Seconds by stage of the dead air of all turns, of those stages that were waited for."""
        return self.derivation.gap_stages

    @property
    def flags(self) -> tuple[Flag, ...]:
        """Of each flag that a turn has, the worst, by name; ``turn`` says which turn that is."""
        return self.derivation.flags

    @property
    def flagged(self) -> Mapping[str, int]:
        """How many turns have each flag; without flags that no turn has."""
        return self.derivation.flagged

    @property
    def discarded(self) -> tuple[ModelUsage, ...]:
        """The part of ``usage`` that went to preemptive generations which were thrown away."""
        return self.derivation.discarded

    @property
    def interruptions(self) -> int:
        """How often the agent was interrupted."""
        return self.derivation.interruptions

    @property
    def false_interruptions(self) -> int:
        """How often it stopped for what was no interruption."""
        return self.derivation.false_interruptions

    @property
    def false_cutoffs(self) -> int:
        """How many turns were committed while the user only paused, and spoke on."""
        return self.derivation.false_cutoffs

    @property
    def backchannels(self) -> int | None:
        """How often the user only said "mhm" while the agent spoke; None where that was not recorded."""
        return self.derivation.backchannels if self.provenance == PIPELINE else None

    @property
    def interruption_rate(self) -> float | None:
        """Share of the turns with agent speech in which it was interrupted; None without any."""
        return self.derivation.interruption_rate

    @property
    def duration(self) -> float | None:
        """Length in seconds."""
        return None if self.started_at is None or self.ended_at is None else max(0.0, self.ended_at - self.started_at)
