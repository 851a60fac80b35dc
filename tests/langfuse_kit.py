"""Live sessions whose spans go through the Langfuse preset to the double."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import livekit_otel
from livekit_otel.exporters import langfuse

from .json_server import JsonServer
from .kit.run import SCENARIOS, Call, Scenario, run_scenario
from .kit.trace import switch_off
from .langfuse_double import PUBLIC, SECRET, Langfuse

Script = Callable[[Call, TracerProvider], Awaitable[None]]
Observations = list[dict[str, Any]]


@contextmanager
def server() -> Iterator[tuple[Langfuse, str]]:
    """A double and its address."""
    double = Langfuse()
    running = JsonServer(double)
    try:
        yield double, running.url
    finally:
        running.close()


def preset(url: str, **options: Any) -> SpanProcessor:
    return langfuse(**{"public_key": PUBLIC, "secret_key": SECRET, "host": url, **options})


def bare(url: str) -> SpanProcessor:
    """What a user has who sends spans to Langfuse without the preset."""
    import base64

    token = base64.b64encode(f"{PUBLIC}:{SECRET}".encode()).decode()
    headers = {"Authorization": f"Basic {token}", "x-langfuse-ingestion-version": "4"}
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/api/public/otel/v1/traces", headers=headers))


def observed(
    monkeypatch: pytest.MonkeyPatch,
    script: Script,
    *,
    native_spans: bool = True,
    setup: Callable[[str], SpanProcessor] = preset,
    **options: Any,
) -> Observations:
    """What Langfuse has after a scripted session; ``options`` are the preset's."""
    provider = TracerProvider(shutdown_on_exit=False)

    async def play(call: Call) -> None:
        await script(call, provider)

    monkeypatch.setitem(SCENARIOS, "live", Scenario("live", "", play))
    switch_off()
    with server() as (double, url):
        provider.add_span_processor(setup(url, **options))
        try:
            run_scenario("live", lambda: livekit_otel.set_tracer_provider(provider, native_spans=native_spans))
        finally:
            switch_off()
            provider.shutdown()
        return double.observations


def named(found: Observations, name: str) -> dict[str, Any]:
    (one,) = (one for one in found if one["name"] == name)
    return one


def total(found: Observations) -> int:
    """Tokens as Langfuse sums them over its observations."""
    return sum(one["usageDetails"].get("total", 0) for one in found)


def cost(found: Observations) -> float:
    """Dollars as Langfuse sums them over its observations."""
    return sum(one["costDetails"].get("total", 0) for one in found)
