"""Converts LiveKit's own spans into records of the pipeline, for reports of calls without livekit_otel.

``names`` reads the attributes of a span into the fields of a :class:`~.names.NativeSpan`, for all releases;
``collect`` finds the sessions among spans in any order; ``session`` converts them into records, with ``exchanges``
(the turns), ``stages`` (the stage of each span) and ``history`` (the chat history). Information that native spans do
not carry is left out, never invented. ``session_report`` does the same for LiveKit's own session report
(``report_turns``: the turns in its chat history).
"""

from .collect import NativeSpans, Session
from .names import NODE, PYTHON, is_native
from .session import NativeSession, convert
from .session_report import REPORT, ReportedCall, is_report, read_report

__all__ = [
    "NODE",
    "PYTHON",
    "REPORT",
    "NativeSession",
    "NativeSpans",
    "ReportedCall",
    "Session",
    "convert",
    "is_native",
    "is_report",
    "read_report",
]
