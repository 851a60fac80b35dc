"""LiveKit's own spans as records of the pipeline: reports of calls that ran without livekit_otel.

``names`` reads a span's attributes into the fields of a :class:`~.names.NativeSpan`, whichever release wrote them;
``collect`` finds the sessions among spans in any order; ``session`` makes records of them, with ``exchanges`` (which
turns there were), ``stages`` (what each span becomes) and ``history`` (what was said). What native spans do not carry
is left out, never made up. ``session_report`` does the same for LiveKit's own session report (``report_turns``: the
turns that its chat history shows).
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
