"""A call of two hours keeps every limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

import livekit_otel
from livekit_otel import attributes as attr
from livekit_otel.spans import from_sdk
from tests.kit.run import SCENARIOS, Call, Outcome, Scenario, run_scenario
from tests.kit.trace import switch_off
from tests.scenarios.tools import Clerk, calls

TURNS = 1_500


class Checking(SpanExporter):
    """Holds every pipeline span against the limits as it goes out, and keeps it for a report."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.turns = 0
        self.most_attributes = 0
        self.longest = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            found = span.attributes or {}
            self.turns += span.name == attr.KIND_TURN
            self.most_attributes = max(self.most_attributes, len(found))
            for key, value in found.items():
                if isinstance(value, str) and key not in attr.GENAI_CONTENT:
                    self.longest = max(self.longest, len(value.encode()))
            self.records.append(from_sdk(span))
        return SpanExportResult.SUCCESS


class Sizes(SpanExporter):
    """Counts the bytes of OTLP."""

    def __init__(self) -> None:
        self.bytes = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.bytes += len(encode_spans(spans).SerializeToString())
        return SpanExportResult.SUCCESS


def long_call(turns: int, exporter: SpanExporter, every: float = 4.8) -> list[Outcome]:
    """A spoken call of ``turns`` questions, one in ``every`` seconds, every fifth with a tool."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    async def script(call: Call) -> None:
        for number in range(turns):
            word = "weather" if number % 5 == 4 else "question"
            call.caller.says(f"{word} number {number}", 1.0 + every * number, interim_after=None)
        session = call.session(calls(("weather", "weather", '{"city": "Oslo"}')))
        await call.start(session, Clerk())
        await call.until(every * turns + 0.5)
        await call.close(session)

    SCENARIOS["long"] = Scenario("long", "", script)
    switch_off()
    try:
        return run_scenario("long", lambda: livekit_otel.set_tracer_provider(provider, native_spans=False))
    finally:
        switch_off()
        del SCENARIOS["long"]


@pytest.mark.slow
def test_two_hours_stay_within_the_limits() -> None:
    """1,500 turns: every turn has its span, no span has too many attributes or too long values, the report is equal."""
    exporter = Checking()
    outcome = long_call(TURNS, exporter)[0]
    assert exporter.turns == TURNS
    assert exporter.most_attributes <= 128
    assert exporter.longest <= attr.MAX_VALUE_BYTES
    report = livekit_otel.build_report(exporter.records)
    assert report.complete
    assert report.warnings == []
    ours = report.to_dict()
    assert ours["events"] == outcome.report["events"]
    assert ours["chat_history"] == outcome.report["chat_history"]
    assert ours["usage"] == outcome.report["usage"]


@pytest.mark.slow
def test_an_hour_is_small() -> None:
    """An hour in which the user asks four times a minute is less than 5 MB of OTLP, each span with its resource."""
    sizes = Sizes()
    long_call(240, sizes, every=15.0)
    print(f"{sizes.bytes / 1e6:.2f} MB")
    assert sizes.bytes < 5e6
