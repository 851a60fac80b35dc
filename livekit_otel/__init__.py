"""OpenTelemetry-first tracing for LiveKit Agents: the trace is the source of truth of a voice call.

Put one line into an agent::

    livekit_otel.set_tracer_provider(provider)

and rebuild any session's report from what was exported::

    report = livekit_otel.build_report(livekit_otel.read_spans("trace.jsonl"))

Public are the names that ``livekit_otel`` and :mod:`livekit_otel.exporters` export; docs/api.md lists them. All other
modules are internal, whatever their names: they change without notice.

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
    from .readers import Problem, SpanStream, read_spans
    from .redaction import PatternRedactor
    from .report import Outage, Participant, ReportWarning, Room, SessionReport, Turn, build_report, build_reports
    from .spans import SpanRecord
    from .turns import (
        EOTUsage,
        Flag,
        Gap,
        Incident,
        InterruptionUsage,
        LLMUsage,
        ModelUsage,
        Percentiles,
        Segment,
        SessionDerivation,
        Startup,
        STTUsage,
        TTSUsage,
        TurnDerivation,
        TurnLatency,
    )

__version__ = "0.1.0"

__all__ = [
    "AmbiguousSessionError",
    "EOTUsage",
    "EndpointError",
    "Flag",
    "Gap",
    "Incident",
    "InterruptionUsage",
    "LLMUsage",
    "LiveKitInstrumentor",
    "LiveKitOtelError",
    "MissingDependencyError",
    "ModelUsage",
    "OptionError",
    "Outage",
    "PartialReadError",
    "Participant",
    "PatternRedactor",
    "Percentiles",
    "Problem",
    "ReportWarning",
    "Room",
    "STTUsage",
    "Segment",
    "SessionDerivation",
    "SessionNotFoundError",
    "SessionReport",
    "SessionSpans",
    "SourceError",
    "SpanRecord",
    "SpanStream",
    "Startup",
    "TTSUsage",
    "Turn",
    "TurnDerivation",
    "TurnLatency",
    "TurnSpanProcessor",
    "build_report",
    "build_reports",
    "read_spans",
    "set_tracer_provider",
]

#: module -> what is loaded from it
_EXPORTS = {
    "_setup": ("LiveKitInstrumentor", "set_tracer_provider"),
    "processor": ("SessionSpans", "TurnSpanProcessor"),
    "readers": ("Problem", "SpanStream", "read_spans"),
    "redaction": ("PatternRedactor",),
    "report": (
        *("Outage", "Participant", "ReportWarning", "Room", "SessionReport", "Turn"),
        *("build_report", "build_reports"),
    ),
    "spans": ("SpanRecord",),
    "turns": (
        *("ModelUsage", "LLMUsage", "TTSUsage", "STTUsage", "InterruptionUsage", "EOTUsage"),
        *(
            "Flag",
            "Gap",
            "Incident",
            "Percentiles",
            "Segment",
            "SessionDerivation",
            "Startup",
            "TurnDerivation",
            "TurnLatency",
        ),
    ),
}
_HOMES = {name: module for module, names in _EXPORTS.items() for name in names}


logging.getLogger(__name__).addFilter(InertLogs())


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
