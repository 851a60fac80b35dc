"""Builds reports of sessions that only have LiveKit's own spans."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import attributes as attr
from ..dialects import NODE, PYTHON, NativeSession, Session, convert
from ..spans import SpanRecord
from ..thresholds import Thresholds, over
from ..turns import ModelUsage, derive_session
from .bare import bare_report
from .head import KEYS, name_of_reason
from .missing import ReportWarning, loss, note
from .model import SessionReport
from .said import message_text

__all__ = ["OpenNative"]

_LACKS = (
    "usage of STT, VAD and interruption metrics, backchannels, events, options, tags, errors, the recording, some item "
    "ids and what a realtime model heard are unknown"
)
#: what records them: there is no livekit_otel for Node.js
_PLUGIN = {PYTHON: "set_tracer_provider of livekit_otel in the agent", NODE: "livekit_otel in an agent in Python"}


def _report(session: NativeSession, thresholds: Thresholds, problems: Iterable[object] = ()) -> SessionReport:
    """The report, as far as the spans allow. Unknown values are null, and one warning lists them."""
    derived = derive_session([one for one in session.spans if attr.LLM_OWN not in one.attributes])
    usage = list(derived.usage)
    reason = _close_reason(session)
    return SessionReport(
        session_id=session.session_id,
        conversation_id=session.conversation_id,
        started_at=session.started_ns / 1e9,
        ended_at=session.ended_ns / 1e9,
        job_id=session.job_id,
        room_id=session.room_id,
        room=session.room,
        agent_name=session.agent_name,
        close_reason=reason,
        redacted=_is_redacted(session),
        redacted_in_part=False,
        findings=[*_findings(session), *(note(str(one)) for one in problems)],
        events=[],
        history=session.history,
        usage=[one.to_dict() for one in usage],
        spans=session.spans,
        head=_head(session, usage, reason),
        provenance=session.provenance,
        basis=session.basis,
        thresholds=over(thresholds),
    )


class OpenNative:
    """A session of native spans whose report is not yet built."""

    def __init__(self, session: Session, thresholds: Thresholds | None = None) -> None:
        self._session = session
        self._thresholds = thresholds or {}
        self.session_id = session.session_id
        self.conversation_id = session.room
        self.start_ns = min(span.start_ns for span in (session.root, *session.spans) if span is not None)

    def report(self, problems: Iterable[object] = ()) -> SessionReport:
        """Build the report."""
        return _report(convert(self._session), self._thresholds, problems)

    def bare_report(self, error: Exception) -> SessionReport:
        """A report that contains only the error."""
        end_ns = max((span.end_ns for span in self._session.spans), default=self.start_ns)
        return bare_report(
            self.session_id, self.conversation_id, self.start_ns, end_ns, error, spans=[], provenance=PYTHON
        )


def _close_reason(session: NativeSession) -> str | None:
    if not session.close_reason:
        return None
    return name_of_reason(session.close_reason)


def _head(session: NativeSession, usage: list[ModelUsage], reason: str | None) -> dict[str, Any]:
    """LiveKit's keys in its order; null for values that native spans do not have."""
    head: dict[str, Any] = dict.fromkeys(KEYS)
    head |= {
        "job_id": session.job_id or None,
        "room_id": session.room_id or None,
        "room": session.room or None,
        "usage": [one.to_dict(zeros=False) for one in usage] or None,
        "agent_name": session.agent_name or None,
        "close_reason": reason,
    }
    if session.rooted:
        head["duration_ms"] = (session.ended_ns - session.started_ns) // 1_000_000
        if not any(one.kind == attr.KIND_REALTIME for one in session.spans):
            # no span has the words that a realtime model heard
            head["user_turns"] = sum(one.get("role") == "user" for one in session.history)
    return head


def _turns(spans: Iterable[SpanRecord]) -> list[SpanRecord]:
    return [one for one in spans if one.kind == attr.KIND_TURN]


def _is_redacted(session: NativeSession) -> bool:
    """Whether there are turns, but no words at all."""
    words = (attr.TURN_USER_TEXT, attr.TURN_AGENT_TEXT)
    turns = _turns(session.spans)
    said = any(name in one.attributes for one in turns for name in words)
    return bool(turns) and not said and not any(message_text(one) for one in session.history)


def _findings(session: NativeSession) -> list[ReportWarning]:
    why = "" if session.close_reason else "why it was closed, "
    found = [
        loss(
            f"traced by LiveKit alone ({session.provenance}): {why}{_LACKS}; {_PLUGIN[session.provenance]} records them"
        )
    ]
    if not session.rooted:
        found.append(
            loss(
                "the session's own span is missing: it still runs, its process died, or its provider was set after it "
                "began; what happened before the first span and after the last one is unknown"
            )
        )
    return found
