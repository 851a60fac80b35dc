"""Scripted sessions with the instrumentation on, and what was exported of them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from opentelemetry.exporter.otlp.json.file import FileSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import livekit_otel
from livekit_otel import SpanRecord
from livekit_otel import attributes as attr
from livekit_otel.spans import from_sdk

from .run import SCENARIOS, Outcome, Scenario, ScenarioFunction, run_scenario


@dataclass(frozen=True)
class Trace:
    """One scripted session: LiveKit's own reports, the spans, and the file that the official exporter wrote."""

    name: str
    outcomes: list[Outcome]
    exported: Sequence[ReadableSpan]
    text: str

    @property
    def records(self) -> list[SpanRecord]:
        """All spans of both layers."""
        return [from_sdk(span) for span in self.exported]

    @property
    def pipeline(self) -> list[SpanRecord]:
        """The spans of the pipeline layer."""
        return [record for record in self.records if record.scope == attr.SCOPE]

    def of(self, kind: str) -> list[SpanRecord]:
        return [record for record in self.pipeline if record.kind == kind]


_cache: dict[tuple[str, bool | None, Any], Trace] = {}


def record(name: str, *, native_spans: bool | None = False, **options: Any) -> Trace:
    """Run a scenario traced (once for the same arguments), and return what came out."""
    key = (name, native_spans, tuple(sorted(options.items())))
    if key not in _cache:
        _cache[key] = _record(name, native_spans, options)
    return _cache[key]


def _record(name: str, native_spans: bool | None, options: dict[str, Any]) -> Trace:
    return trace_scenario(name, TracerProvider(shutdown_on_exit=False), native_spans=native_spans, options=options)


@cache
def play(script: ScenarioFunction, *, native_spans: bool = False) -> Trace:
    """Run a call that is no scenario of the kit (it has no stored export), traced: once for the same arguments."""
    SCENARIOS["own"] = Scenario("own", "", script)
    try:
        return _record("own", native_spans, {})
    finally:
        del SCENARIOS["own"]


def trace_scenario(name: str, provider: TracerProvider, *, native_spans: bool | None, options: dict[str, Any]) -> Trace:
    """Run a scenario traced to a provider of the caller's."""
    stream, memory = io.StringIO(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    provider.add_span_processor(SimpleSpanProcessor(FileSpanExporter(stream=stream)))
    switch_off()

    def switch_on() -> None:
        livekit_otel.set_tracer_provider(provider, native_spans=native_spans, **options)

    try:
        outcomes = run_scenario(name, before=switch_on)
    finally:
        switch_off()
    return Trace(name, outcomes, memory.get_finished_spans(), stream.getvalue())


def span_bytes(text: str) -> int:
    """Size of the pipeline layer's spans in what the file exporter wrote, as compact OTLP JSON."""
    scopes = (
        scope
        for line in text.splitlines()
        for part in json.loads(line)["resourceSpans"]
        for scope in part["scopeSpans"]
    )
    spans = (span for scope in scopes if scope["scope"].get("name") == attr.SCOPE for span in scope["spans"])
    return sum(len(json.dumps(span, separators=(",", ":"))) for span in spans)


def switch_off() -> None:
    """No instrumentation, and LiveKit's own tracer without a provider."""
    from livekit.agents.telemetry import tracer
    from opentelemetry import trace

    instrumentor = livekit_otel.LiveKitInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()
    tracer.set_provider(trace.NoOpTracerProvider())


#: scenarios in which code asks a model that no session listens to: LiveKit's usage has none of its tokens
OWN_MODELS = (
    "tool_with_a_model_of_its_own",
    "tool_that_thinks_while_the_user_speaks",
    "hook_with_a_model_of_its_own",
    "amd_human",
    "amd_that_hears_for_itself",
    "amd_before_a_realtime_model",
    "amd_machine_goes_on",
    "amd_after_a_handoff",
)


def names() -> list[str]:
    """Scenarios that the installed LiveKit can play, without variants."""
    return [name for name in every_name() if not SCENARIOS[name].variant]


def every_name() -> list[str]:
    """The same with them."""
    import livekit.agents

    import tests.scenarios  # noqa: F401

    version = tuple(int(part) for part in livekit.agents.__version__.split(".")[:3])
    return [name for name, scenario in SCENARIOS.items() if scenario.since <= version]


def open_names() -> list[str]:
    """Scenarios whose content may be recorded; of the others no report can have the words."""
    return [name for name in names() if name != "redacted_session"]
