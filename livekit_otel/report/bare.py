"""A substitute report, for sessions whose report cannot be built."""

from __future__ import annotations

from .._display import mistake
from ..spans import SpanRecord
from .missing import loss
from .model import PIPELINE, SessionReport

__all__ = ["bare_report"]


def bare_report(
    session_id: str,
    conversation_id: str,
    start_ns: int,
    end_ns: int,
    error: Exception,
    *,
    spans: list[SpanRecord],
    provenance: str = PIPELINE,
) -> SessionReport:
    """A report that contains only the spans and the error. Times are Unix nanoseconds."""
    return SessionReport(
        session_id=session_id,
        conversation_id=conversation_id,
        started_at=start_ns / 1e9,
        ended_at=end_ns / 1e9,
        job_id="",
        room_id="",
        room="",
        agent_name="",
        close_reason=None,
        redacted=False,
        redacted_in_part=False,
        findings=[loss(f"the report could not be made: {mistake(error)}")],
        events=[],
        history=[],
        usage=[],
        spans=spans,
        head={},
        provenance=provenance,
    )
