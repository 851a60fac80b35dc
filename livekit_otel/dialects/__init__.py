"""Converts LiveKit's own spans into records of the pipeline, for reports of calls without livekit_otel.

``names`` reads the attributes of a span into the fields of a :class:`~.names.NativeSpan`, for all releases;
``collect`` finds the sessions among spans in any order; ``session`` converts them into records, with ``exchanges``
(the turns), ``stages`` (the stage of each span) and ``history`` (the chat history). Information that native spans do
not carry is left out, never invented.
"""

from .collect import NativeSpans, Session
from .names import NODE, PYTHON, is_native
from .session import NativeSession, convert

__all__ = ["NODE", "PYTHON", "NativeSession", "NativeSpans", "Session", "convert", "is_native"]
