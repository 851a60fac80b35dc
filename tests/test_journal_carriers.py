"""The journal travels on spans that end anyway, but on none that people leave out or that is not recorded."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

import livekit_otel
from livekit_otel import SpanRecord
from livekit_otel import attributes as attr
from livekit_otel.spans import from_sdk
from tests.kit.run import Outcome, assert_same_report, run_scenario
from tests.kit.trace import open_names, record, switch_off

FILTERED = frozenset({attr.KIND_VAD, attr.KIND_PLAYBACK, attr.KIND_INTERRUPTION})


def assert_whole(spans: Sequence[SpanRecord], outcomes: Sequence[Outcome]) -> None:
    """The report of these spans is LiveKit's own; it may say that spans are missing."""
    reports = list(livekit_otel.build_reports(spans))
    assert len(reports) == len(outcomes)
    for report, outcome in zip(reports, outcomes, strict=True):
        assert not any("journal" in warning for warning in report.warnings)
        assert_same_report(report.to_dict(), outcome.report)


@pytest.mark.parametrize("name", open_names())
def test_spans_that_are_filtered_out_carry_nothing(name: str) -> None:
    """Without VAD's, playback's and interruptions' spans, as where each span is paid for, the report is still whole."""
    trace = record(name)
    assert_whole([span for span in trace.pipeline if span.kind not in FILTERED], trace.outcomes)


class _Leaves(Sampler):
    """Records everything but some kinds of spans."""

    def __init__(self, *kinds: str) -> None:
        self._kinds = kinds

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        decision = Decision.DROP if name in self._kinds else Decision.RECORD_AND_SAMPLE
        return SamplingResult(decision, attributes)

    def get_description(self) -> str:
        return "some kinds"


@pytest.mark.parametrize("kinds", [(attr.KIND_LLM, attr.KIND_EOU), (attr.KIND_TURN,), tuple(attr.STAGE_KINDS)])
def test_spans_that_are_not_sampled_carry_nothing(kinds: tuple[str, ...]) -> None:
    """A span that a sampler leaves out takes nothing along: the next one that is recorded does."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(sampler=_Leaves(*kinds), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    switch_off()
    try:
        outcomes = run_scenario(
            "one_tool_after_the_other", lambda: livekit_otel.set_tracer_provider(provider, native_spans=False)
        )
    finally:
        switch_off()
    spans = [from_sdk(span) for span in memory.get_finished_spans()]
    assert not any(span.kind in kinds for span in spans)
    assert_whole(spans, outcomes)


def test_few_checkpoints() -> None:
    """A spoken exchange needs no more checkpoints than stages: two, where its events are half a second apart."""
    trace = record("one_tool")
    assert len(trace.of(attr.KIND_SESSION_CHECKPOINT)) <= 2 * len(trace.of(attr.KIND_TURN)) + 1
