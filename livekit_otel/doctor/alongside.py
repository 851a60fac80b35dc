"""Other tracing packages in this environment and their effects; docs/alongside.md has the details."""

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
        distribution: the distribution that provides it.
        text: its effect on traces.
        advice: the setup that it needs; empty if none.
        level: ``ok`` if it works without changes, ``note`` if the user must know about its effect.
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
        "its client joins OpenTelemetry's global provider and drops spans that are not about a model",
        "pass it should_export_span=lambda span: True, or send with livekit_otel.exporters.langfuse instead",
    ),
    TracingPackage(
        "Phoenix register()",
        "arize-phoenix-otel",
        "its register() creates a provider with an exporter, which stays when you pass the provider on",
        level="ok",
    ),
    TracingPackage(
        "Logfire",
        "logfire",
        "its scrubbing masks attribute names of livekit_otel (the word session), which damages reports",
        "pass the scrubbing callback from docs/redaction.md to logfire.configure()",
    ),
    TracingPackage(
        "Traceloop",
        "traceloop-sdk",
        "it instruments the openai client, so that tokens are counted twice",
        "call Traceloop.init(…, block_instruments={Instruments.OPENAI})",
    ),
    TracingPackage(
        "Sentry",
        "sentry-sdk",
        "its OTLPIntegration adds an exporter to OpenTelemetry's global provider; use that provider",
        level="ok",
    ),
    TracingPackage(
        "ddtrace",
        "ddtrace",
        "its TracerProvider does not support span processors; reports cannot be read back from Datadog",
        "if you need reports, send to a provider of OpenTelemetry's SDK as well or instead",
    ),
    TracingPackage(
        "zero-code",
        "opentelemetry-distro",
        "opentelemetry-instrument sets the global provider, which also receives LiveKit's own spans",
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
        "if it is enabled, a backend that sums all spans counts tokens twice",
        "send with livekit_otel.exporters.langfuse, which counts them once, or disable it",
    ),
    TracingPackage(
        "OpenLLMetry openai",
        "opentelemetry-instrumentation-openai",
        "if it is enabled, a backend that sums all spans counts tokens twice",
        "send with livekit_otel.exporters.langfuse, which counts them once, or disable it",
    ),
    TracingPackage(
        "httpx",
        "opentelemetry-instrumentation-httpx",
        "requests nest below the stage or the tool that makes them (httpx and httpx2 are enabled separately)",
        level="ok",
    ),
    TracingPackage("MCP", "mcp", "calls of MCP tools are ordinary tool spans", level="ok"),
)


def check() -> Iterator[Check]:
    """One check for each installed package that is known to trace in the same process."""
    for one in TRACING_PACKAGES:
        try:
            version = metadata.version(one.distribution)
        except metadata.PackageNotFoundError:
            continue
        yield Check(_AREA, one.level, f"{one.distribution} {version}: {one.text}", one.advice)
