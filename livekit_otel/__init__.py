"""OpenTelemetry-first tracing for LiveKit Agents: the trace is the source of truth of a voice call.

Put one line into an agent::

    livekit_otel.set_tracer_provider(provider)

and rebuild any session's report from what was exported::

    report = livekit_otel.build_report(livekit_otel.read_spans("trace.jsonl"))

Reading, deriving and reporting work where livekit-agents is not installed; names are loaded when they are first used.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._display import InertLogs

if TYPE_CHECKING:
    from ._setup import LiveKitInstrumentor, set_tracer_provider
    from .errors import (
        AmbiguousSessionError,
        EndpointError,
        LiveKitOtelError,
        MissingDependencyError,
        OptionError,
        PartialReadError,
        SessionNotFoundError,
        SourceError,
    )
    from .processor import SessionSpans, TurnSpanProcessor
    from .readers import read_spans
    from .report import SessionReport, build_report, build_reports
    from .spans import SpanRecord

__version__ = "0.1.0"

__all__ = [
    "AmbiguousSessionError",
    "EndpointError",
    "LiveKitInstrumentor",
    "LiveKitOtelError",
    "MissingDependencyError",
    "OptionError",
    "PartialReadError",
    "SessionNotFoundError",
    "SessionReport",
    "SessionSpans",
    "SourceError",
    "SpanRecord",
    "TurnSpanProcessor",
    "build_report",
    "build_reports",
    "read_spans",
    "set_tracer_provider",
]

_HOMES = {
    "LiveKitInstrumentor": "_setup",
    "SessionReport": "report",
    "SessionSpans": "processor",
    "SpanRecord": "spans",
    "TurnSpanProcessor": "processor",
    "build_report": "report",
    "build_reports": "report",
    "read_spans": "readers",
    "set_tracer_provider": "_setup",
}


logging.getLogger(__name__).addFilter(InertLogs())


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
