"""LiveKit's own spans as records of the pipeline: reports of calls that ran without livekit_otel.

``names`` reads a span's attributes into the fields of a :class:`~.names.NativeSpan`, whichever release wrote them;
``collect`` finds the sessions among spans in any order; ``session`` makes records of them, with ``exchanges`` (which
turns there were), ``stages`` (what each span becomes) and ``history`` (what was said). What native spans do not carry
is left out, never made up.
"""

from .collect import NativeSpans, Session
from .names import NODE, PYTHON, is_native
from .session import NativeSession, convert

__all__ = ["NODE", "PYTHON", "NativeSession", "NativeSpans", "Session", "convert", "is_native"]
