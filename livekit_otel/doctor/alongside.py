"""Who else traces in this environment, and what to know of it; docs/alongside.md says more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from .model import Check, Level

__all__ = ["TRACING_PACKAGES", "TracingPackage", "check"]

_AREA = "alongside"


@dataclass(frozen=True)
class TracingPackage:
    """A package that traces in the same process.

    Attributes:
        row: its row in the table of docs/alongside.md.
        distribution: what has to be installed for it.
        text: what to know of it.
        advice: what to set up; empty where nothing needs to be.
        level: ``ok`` where it works as it is, ``note`` where something has to be known.
    """

    row: str
    distribution: str
    text: str
    advice: str = ""
    level: Level = "note"


TRACING_PACKAGES = (
    TracingPackage(
        "Langfuse SDK",
        "langfuse",
        "its client joins OpenTelemetry's global provider and leaves out spans that are not about a model",
        "give it should_export_span=lambda span: True, or send with livekit_otel.exporters.langfuse instead",
    ),
    TracingPackage(
        "Phoenix register()",
        "arize-phoenix-otel",
        "its register() makes a provider with an exporter, which stays when you hand the provider over",
        level="ok",
    ),
    TracingPackage(
        "Logfire",
        "logfire",
        "its scrubbing masks names of ours (the word session), which damages reports",
        "give logfire.configure() the scrubbing callback of docs/redaction.md",
    ),
    TracingPackage(
        "Traceloop",
        "traceloop-sdk",
        "it instruments the openai client, whose tokens then count again",
        "call Traceloop.init(…, block_instruments={Instruments.OPENAI})",
    ),
    TracingPackage(
        "Sentry",
        "sentry-sdk",
        "its OTLPIntegration adds an exporter to OpenTelemetry's global provider; hand that provider over",
        level="ok",
    ),
    TracingPackage(
        "ddtrace",
        "ddtrace",
        "its TracerProvider takes no span processors; reports cannot be read back from Datadog",
        "send to a provider of OpenTelemetry's SDK, beside or instead, where you need reports",
    ),
    TracingPackage(
        "zero-code",
        "opentelemetry-distro",
        "opentelemetry-instrument sets the global provider, to which LiveKit's own spans go, too",
        level="ok",
    ),
    TracingPackage(
        "OpenInference openai",
        "openinference-instrumentation-openai",
        "its spans nest below ours or LiveKit's and count tokens under names of their own (llm.token_count.*)",
        level="ok",
    ),
    TracingPackage(
        "OpenInference langchain",
        "openinference-instrumentation-langchain",
        "its spans nest below ours or LiveKit's and count tokens under names of their own (llm.token_count.*)",
        level="ok",
    ),
    TracingPackage(
        "openai-v2",
        "opentelemetry-instrumentation-openai-v2",
        "where it is switched on, a backend that adds up all spans counts tokens twice",
        "send with livekit_otel.exporters.langfuse, which counts once, or leave it off",
    ),
    TracingPackage(
        "OpenLLMetry openai",
        "opentelemetry-instrumentation-openai",
        "where it is switched on, a backend that adds up all spans counts tokens twice",
        "send with livekit_otel.exporters.langfuse, which counts once, or leave it off",
    ),
    TracingPackage(
        "httpx",
        "opentelemetry-instrumentation-httpx",
        "requests nest below the stage or the tool that makes them (httpx and httpx2 are switched on apart)",
        level="ok",
    ),
    TracingPackage("MCP", "mcp", "calls of MCP tools are tool spans like any other", level="ok"),
)


def check() -> Iterator[Check]:
    """One check for each package that is installed and known to trace beside us."""
    for one in TRACING_PACKAGES:
        try:
            version = metadata.version(one.distribution)
        except metadata.PackageNotFoundError:
            continue
        yield Check(_AREA, one.level, f"{one.distribution} {version}: {one.text}", one.advice)
