"""Who traces beside us: how each is set up with its own real package. ``docs/alongside.md`` has a row for each."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any, TypeVar

from . import call
from .bench import ORDERS, Bench, Sent, from_datadog, from_memory, from_receiver
from .snippet import callback


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        name: as docs/alongside.md has it.
        packages: distributions that have to be installed.
        set_up: sets theirs and ours up in the order of the bench; returns what gives the spans that the backend got.
        orders: of :data:`ORDERS`, those that exist: who makes the provider itself comes first.
        foreign: scopes of the spans that this one makes about the language model, by a part of their name.
        make_llm: the language model of the call.
    """

    name: str
    packages: tuple[str, ...]
    set_up: Callable[[Bench], Sent]
    orders: tuple[str, ...] = ORDERS
    foreign: str = ""
    make_llm: call.MakeLLM = call.openai_llm

    @property
    def missing(self) -> list[str]:
        """Packages that are not installed."""
        return [name for name in ("livekit-plugins-openai", *self.packages) if not _installed(name)]


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


ROWS: dict[str, Row] = {}
F = TypeVar("F", bound=Callable[..., Sent])


def row(
    name: str, *packages: str, orders: tuple[str, ...] = ORDERS, foreign: str = "", llm: call.MakeLLM = call.openai_llm
) -> Callable[[F], F]:
    """Register a set-up."""

    def register(set_up: F) -> F:
        ROWS[name] = Row(name, packages, set_up, orders, foreign, llm)
        return set_up

    return register


# --- tracing products, each with the provider that it makes or joins ---


@row("Langfuse SDK", "langfuse")
def langfuse_sdk(bench: Bench) -> Sent:
    """Langfuse's own client joins the global provider, or makes it; its filter is opened, as docs/alongside.md says."""
    from langfuse import Langfuse

    memory = bench.memory()
    provider = bench.provider(bench.memory(), is_global=True)

    def theirs() -> None:
        Langfuse(
            public_key="pk-lf-1",
            secret_key="sk-lf-1",
            base_url="http://127.0.0.1:9",
            span_exporter=memory,
            should_export_span=lambda span: True,
        )

    bench.in_order(theirs, lambda: bench.ours(provider))
    return lambda: from_memory(memory)


@row("Phoenix register()", "arize-phoenix-otel", orders=("after", "twice"))
def phoenix(bench: Bench) -> Sent:
    """Phoenix's ``register()`` makes the provider, with a default exporter that must stay."""
    from phoenix.otel import register

    receiver = bench.receiver()
    made: list[Any] = []

    def theirs() -> None:
        if not made:
            made.append(register(endpoint=f"{receiver.url}/v1/traces", protocol="http/protobuf", verbose=False))

    bench.in_order(theirs, lambda: bench.ours(made[0]))
    return lambda: from_receiver(receiver)


@row("Logfire", "logfire", orders=("after", "twice"))
def logfire(bench: Bench, *, keep: bool = True) -> Sent:
    """Logfire makes the provider and the global one, and scrubs; the callback is that of docs/redaction.md."""
    import logfire
    from opentelemetry import trace
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    memories: list[Any] = []

    def theirs() -> None:
        memories.append(bench.memory())  # a second configure() shuts the first one's exporters down
        logfire.configure(
            send_to_logfire=False,
            console=False,
            scrubbing=logfire.ScrubbingOptions(callback=callback()) if keep else None,
            additional_span_processors=[SimpleSpanProcessor(memories[-1])],
        )

    bench.in_order(theirs, lambda: bench.ours(trace.get_tracer_provider()))
    return lambda: from_memory(memories[-1])


@row("Traceloop", "traceloop-sdk")
def traceloop(bench: Bench) -> Sent:
    """Traceloop joins the global provider; its instrumentation of ``openai`` is left out, as docs/alongside.md says."""
    from traceloop.sdk import Traceloop
    from traceloop.sdk.instruments import Instruments

    os.environ.update(TRACELOOP_METRICS_ENABLED="false", TRACELOOP_TELEMETRY="false")
    memory = bench.memory()
    provider = bench.provider(bench.memory(), is_global=True)

    def theirs() -> None:
        Traceloop.init(
            app_name="shop",
            exporter=memory,
            disable_batch=True,
            telemetry_enabled=False,
            block_instruments={Instruments.OPENAI},
        )

    bench.in_order(theirs, lambda: bench.ours(provider))
    return lambda: from_memory(memory)


@row("Sentry", "sentry-sdk")
def sentry(bench: Bench) -> Sent:
    """Sentry's ``OTLPIntegration`` joins the global provider with an exporter."""
    import sentry_sdk
    from sentry_sdk.integrations.otlp import OTLPIntegration

    receiver = bench.receiver()
    provider = bench.provider(bench.memory(), is_global=True)
    done: list[bool] = []

    def theirs() -> None:
        # a second init adds a second exporter, which is Sentry's own affair
        if not done:
            integration = OTLPIntegration(collector_url=f"{receiver.url}/v1/traces")
            sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", integrations=[integration], traces_sample_rate=1.0)
            done.append(True)

    bench.in_order(theirs, lambda: bench.ours(provider))
    return lambda: from_receiver(receiver)


@row("ddtrace", "ddtrace", orders=("after", "twice"))
def ddtrace(bench: Bench) -> Sent:
    """ddtrace's own TracerProvider, which knows no span processors."""
    os.environ.update(DD_TRACE_OTEL_ENABLED="true", DD_INSTRUMENTATION_TELEMETRY_ENABLED="false")
    from ddtrace.opentelemetry import TracerProvider
    from ddtrace.trace import TraceFilter, tracer

    kept: list[Any] = []

    class Keep(TraceFilter):
        def process_trace(self, spans: list[Any]) -> None:
            kept.extend(spans)

    provider = TracerProvider()
    bench.in_order(lambda: tracer.configure(trace_processors=[Keep()]), lambda: bench.ours(provider))
    return lambda: from_datadog(kept)


# --- instrumentations of what an agent uses ---


def _instrumented(bench: Bench, *instrumentors: Any) -> Sent:
    memory = bench.memory()
    provider = bench.provider(memory)

    def theirs() -> None:
        for one in instrumentors:
            if not one.is_instrumented_by_opentelemetry:
                one.instrument(tracer_provider=provider)

    bench.in_order(theirs, lambda: bench.ours(provider))
    return lambda: from_memory(memory)


@row("OpenInference openai", "openinference-instrumentation-openai", foreign="openinference")
def openinference_openai(bench: Bench) -> Sent:
    """OpenInference counts under names of its own, ``llm.token_count.*``."""
    from openinference.instrumentation.openai import OpenAIInstrumentor

    return _instrumented(bench, OpenAIInstrumentor())


@row(
    "OpenInference langchain",
    "openinference-instrumentation-langchain",
    "livekit-plugins-langchain",
    "langchain-openai",
    foreign="openinference",
    llm=call.langgraph_llm,
)
def openinference_langchain(bench: Bench) -> Sent:
    """A graph of LangGraph as the model: LiveKit gets no tokens from it, OpenInference has them."""
    from openinference.instrumentation.langchain import LangChainInstrumentor

    return _instrumented(bench, LangChainInstrumentor())


@row("openai-v2", "opentelemetry-instrumentation-openai-v2", foreign="openai_v2")
def openai_v2(bench: Bench) -> Sent:
    """OpenTelemetry's own instrumentation of the ``openai`` client."""
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

    return _instrumented(bench, OpenAIInstrumentor())


@row("OpenLLMetry openai", "opentelemetry-instrumentation-openai", foreign="instrumentation.openai")
def openllmetry(bench: Bench) -> Sent:
    """OpenLLMetry's instrumentation of the ``openai`` client."""
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    return _instrumented(bench, OpenAIInstrumentor())


@row("httpx", "opentelemetry-instrumentation-httpx", foreign="instrumentation.httpx")
def httpx(bench: Bench) -> Sent:
    """The HTTP client of the tool (httpx), and that of the model: ``openai`` uses httpx2, which has its own."""
    from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor

    return _instrumented(bench, HTTPXClientInstrumentor(), HTTPX2ClientInstrumentor())
