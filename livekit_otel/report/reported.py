"""Reports of sessions of which LiveKit's own report is all there is: what it says, and nothing derived."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .. import attributes as attr
from ..dialects import REPORT, ReportedCall, read_report
from ..spans import SpanRecord, number, text
from ..thresholds import Thresholds, over
from ..turns import SessionDerivation, TurnDerivation, TurnLatency, TurnSpans, turns_of
from ..turns.derive import Totals, summary
from ..turns.model_usage import usage_from
from ..turns.stats import LatencyStats
from .bare import bare_report
from .head import KEYS, close_reason, error_counts
from .missing import loss, note
from .model import SessionReport
from .values import plain

__all__ = ["OpenReported", "ReportedSession"]

_LACKS = (
    "LiveKit's own report, without a trace: what each wait was for, dead air, requests and their retries, tool times, "
    "discarded answers, false interruptions and participants are unknown; the spans of the call have them"
)


def _count_errors(_: object, events: list[dict[str, Any]] | None) -> dict[str, int] | None:
    return None if events is None else error_counts(events)


def _close_reason(_: object, events: list[dict[str, Any]] | None) -> str | None:
    return close_reason(events or [])


def _count_users(items: list[dict[str, Any]], _: object) -> int:
    return sum(one.get("type") == "message" and one.get("role") == "user" for one in items)


_WORKED_OUT = {"user_turns": _count_users, "errors": _count_errors, "close_reason": _close_reason}


@dataclass
class ReportedSession(SessionReport):
    """A session of LiveKit's own report: its latencies are LiveKit's, its turns are made of the chat history.

    Attributes:
        known: keys of the document that the file says, or whose values follow from what it says.
    """

    known: frozenset[str] = frozenset()

    @property
    def ended_for_unknown_reason(self) -> bool:
        """Whether the report says no reason."""
        return self.close_reason is None

    def to_dict(self) -> dict[str, Any]:
        """The report as LiveKit wrote it, keys in its order; what the file lacks is null."""
        return dict(self.head)

    @cached_property
    def derivation(self) -> SessionDerivation:
        """The numbers that the report says."""
        stats = LatencyStats(self.thresholds)
        turns = tuple(_numbers(one) for one in turns_of(self.spans))
        for turn in turns:
            stats.add(turn)
        known = [one for usage in self.usage if (one := usage_from(usage)) is not None]
        cut = sum(turn.interruptions for turn in turns)
        return _replaced(summary(stats, Totals(), turns), usage=tuple(known), interruptions=cut)


def _replaced(derived: SessionDerivation, **changes: Any) -> SessionDerivation:
    fields = {name: getattr(derived, name) for name in derived.__struct_fields__}
    return SessionDerivation(**{**fields, **changes})


def _numbers(one: TurnSpans) -> TurnDerivation:
    """The numbers of a turn, none of them derived."""
    values = one.turn.attributes if one.turn is not None else {}
    said = {name: number(values, attr.reported(name)) for name in attr.REPORTED_METRICS}
    reported = {name: value for name, value in said.items() if value is not None}
    heard = min((stage.start_ns for stage in one.stages), default=None)
    ended = text(values, attr.END_REASON)
    return TurnDerivation(
        index=one.index,
        span_id=one.span_id,
        agent=text(values, attr.AGENT_NAME),
        answered_ns=heard,
        latency=TurnLatency(**reported),
        path=(),
        silence={},
        # without words of the agent's nobody knows whether the user was owed any
        answered=text(values, attr.TURN_ANSWERED) or None,
        usage=(),
        discarded=(),
        reported=reported,
        interruptions=int(ended == attr.END_INTERRUPTED),
        false_interruptions=0,
        backchannels=0,
        end_reason=ended,
        llm_model=None,
        tts_model=None,
    )


class OpenReported:
    """A session report, until what it says is asked for."""

    def __init__(self, span: SpanRecord, thresholds: Thresholds | None = None) -> None:
        self._span = span
        self._thresholds = thresholds or {}
        self._call: ReportedCall | None = None
        self.session_id = span.trace_id

    @property
    def call(self) -> ReportedCall:
        """The report, read once."""
        if self._call is None:
            self._call = read_report(self._span, KEYS, _WORKED_OUT)
        return self._call

    @property
    def conversation_id(self) -> str:
        """The room's sid."""
        return plain(self.call.document.get("room_id"))

    @property
    def start_ns(self) -> int:
        """When the session began, unix nanoseconds; 0 where nobody knows."""
        return round((self.call.started_at or 0.0) * 1e9)

    def report(self, problems: Iterable[object] = ()) -> SessionReport:
        """The report of what is there."""
        call = self.call
        head, reason = call.document, plain(call.document.get("close_reason")) or None
        usage = head.get("usage")
        listed = head.get("tags")
        tags = [name for one in (listed if isinstance(listed, list) else ()) if (name := plain(one))]
        return ReportedSession(
            session_id=call.session_id,
            conversation_id=self.conversation_id,
            started_at=call.started_at,
            ended_at=call.ended_at,
            job_id=plain(head.get("job_id")),
            room_id=plain(head.get("room_id")),
            room=plain(head.get("room")),
            agent_name=plain(head.get("agent_name")),
            close_reason=reason,
            redacted=False,
            redacted_in_part=False,
            findings=[loss(_LACKS), *(note(str(one)) for one in problems)],
            events=call.known_events,
            history=call.history,
            usage=[_usage(one) for one in usage if isinstance(one, dict)] if isinstance(usage, list) else [],
            spans=call.spans,
            head=head,
            provenance=REPORT,
            basis=dict.fromkeys(attr.REPORTED_METRICS, "reported"),
            thresholds=over(self._thresholds),
            tags={name: {} for name in tags},
            known=call.known,
            outcome=next((attr.OUTCOME_TAGS[name] for name in tags if name in attr.OUTCOME_TAGS), None),
        )

    def bare_report(self, error: Exception) -> SessionReport:
        """A report that says why there is no more in it."""
        return bare_report(self.session_id, "", 0, 0, error, spans=[], provenance=REPORT)


def _usage(said: dict[str, Any]) -> dict[str, Any]:
    known = usage_from(said)
    return said if known is None else {**said, **known.to_dict()}
