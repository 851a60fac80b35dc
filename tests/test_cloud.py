"""LiveKit Cloud's own trace is the same with us as without, whatever the mode and the way in.

LiveKit's real set-up of Cloud's tracer runs where LiveKit runs it, inside ``AgentSession.start()``; only its network
exporter is replaced.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from livekit.agents import get_job_context
from livekit.agents.telemetry import traces
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import livekit_otel
from livekit_otel import attributes as attr
from tests.kit.run import run_scenario
from tests.kit.trace import names, switch_off

pytestmark = pytest.mark.skipif(
    not hasattr(traces, "_CloudTelemetry"), reason="this LiveKit sets Cloud's tracer up in another way"
)

#: points in time, numbers with a fraction, ids
_MEASURED = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+|(?<![0-9a-f])[0-9a-f]{12}(?![0-9a-f])|\d+\.\d+(e-?\d+)?|\d+e-?\d+|[0-9a-f]{8,}"
)
SwitchOn = Callable[[TracerProvider], None]
WAYS: dict[str, SwitchOn] = {
    "both layers": lambda provider: livekit_otel.set_tracer_provider(provider),
    "pipeline only": lambda provider: livekit_otel.set_tracer_provider(provider, native_spans=False),
    "instrument": lambda provider: livekit_otel.LiveKitInstrumentor().instrument(tracer_provider=provider),
}


@pytest.fixture(autouse=True)
def _off() -> Iterator[None]:
    switch_off()
    yield
    switch_off()


def played(name: str, switch_on: SwitchOn | None) -> tuple[list[ReadableSpan], list[ReadableSpan]]:
    """Plays a scripted session with recording on; returns what Cloud got, and what our provider got."""
    cloud, ours = InMemorySpanExporter(), InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(ours))
    telemetry = traces._CloudTelemetry()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traces, "_cloud", telemetry)
        patch.setattr(traces, "OTLPSpanExporter", lambda **_: cloud)
        patch.setattr(traces._CloudTelemetry, "_ensure_meter_provider", lambda *_: None)
        patch.setitem(os.environ, "LIVEKIT_API_KEY", "key")
        patch.setitem(os.environ, "LIVEKIT_API_SECRET", "secret" * 8)

        def before() -> None:
            ctx = get_job_context()
            ctx.init_recording = lambda _: record(ctx)  # type: ignore[method-assign, assignment]
            if switch_on is not None:
                switch_on(provider)

        run_scenario(name, before=before)
        for processor in telemetry._span_batch_processors:
            processor.force_flush()
            processor.shutdown()
        switch_off()
    return list(cloud.get_finished_spans()), list(ours.get_finished_spans())


def record(ctx: Any) -> None:
    """What ``JobContext.init_recording`` does where the server asks for a recording of traces."""
    ctx._telemetry_state = traces._setup_cloud_tracer(
        room_id=ctx.job.room.sid,
        job_id=ctx.job.id,
        agent_name="agent",
        observability_url="http://127.0.0.1:9",
        enable_traces=True,
        enable_logs=False,
    )


def tree(spans: list[ReadableSpan], *, from_session: bool) -> Counter[tuple[Any, ...]]:
    """LiveKit's spans with the names of all above them and their attributes; a parent that never came is named so.

    ``from_session``: without what is above ``agent_session``.
    """
    by_id = {span.context.span_id: span for span in spans if span.context is not None}

    def above(span: ReadableSpan) -> tuple[str, ...]:
        if span.parent is None:
            return ()
        parent = by_id.get(span.parent.span_id)
        if from_session and span.name == "agent_session":
            return () if parent is None or parent.name in ("session", "agent_session") else (parent.name,)
        return ("missing",) if parent is None else (*above(parent), parent.name)

    return Counter(
        (span.name, above(span), span.status.status_code, *sorted(map(plain, (span.attributes or {}).items())))
        for span in spans
        if span.instrumentation_scope is not None and span.instrumentation_scope.name == attr.NATIVE_SCOPE
    )


def plain(item: tuple[str, Any]) -> tuple[str, str]:
    """An attribute without what differs from run to run: ids, measured times, and the lines of a traceback."""
    key, value = item
    if key == "exception.stacktrace":
        value = str(value).splitlines()[-1]
    return key, _MEASURED.sub("#", str(value))


@cache
def without(name: str) -> list[ReadableSpan]:
    """What Cloud gets without us. LiveKit leaves the span of a session that is over current for the next one."""
    return played(name, None)[0]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", names())
def test_cloud_gets_the_same_spans(name: str, way: str) -> None:
    """Cloud gets LiveKit's own spans with the parents and attributes that they have without us, and a whole trace."""
    spans, ours = played(name, WAYS[way])
    shared = way == "both layers"
    expected, found = tree(without(name), from_session=shared), tree(spans, from_session=shared)
    assert found == expected, {"missing": expected - found, "extra": found - expected}
    got = {span.context.span_id for span in spans if span.context is not None}
    assert all(span.parent is None or span.parent.span_id in got for span in spans)
    if way != "both layers":
        assert {span.instrumentation_scope.name for span in spans} == {attr.NATIVE_SCOPE}  # type: ignore[union-attr]
        assert {span.instrumentation_scope.name for span in ours} == {attr.SCOPE}  # type: ignore[union-attr]
    sent = {span.context.span_id for span in ours if span.context is not None}
    assert all(span.parent is None or span.parent.span_id in sent for span in ours)


@pytest.mark.parametrize("way", WAYS)
def test_usage_is_on_one_layer_of_what_a_provider_gets(way: str) -> None:
    """Each provider gets the tokens once: Cloud on LiveKit's spans, ours on our spans unless it gets LiveKit's, too."""
    spans, ours = played("several_turns", WAYS[way])
    theirs = tokens(spans, attr.NATIVE_SCOPE)
    assert theirs > 0
    assert (tokens(ours, attr.NATIVE_SCOPE), tokens(ours, attr.SCOPE)) == (
        (theirs, 0) if way == "both layers" else (0, theirs)
    )


def tokens(spans: list[ReadableSpan], scope: str) -> int:
    return sum(
        int((span.attributes or {}).get(attr.USAGE_INPUT_TOKENS, 0))  # type: ignore[arg-type]
        for span in spans
        if span.instrumentation_scope is not None
        and span.instrumentation_scope.name == scope
        and span.name in ("llm", "llm_request")
    )


@pytest.mark.parametrize("job_span", [True, False])
def test_a_job_span_that_cloud_alone_gets_is_linked(job_span: bool) -> None:
    """Where LiveKit's root span goes to Cloud, our session is a root in the same trace, with a link to it."""
    cloud, ours = InMemorySpanExporter(), InMemorySpanExporter()
    theirs, provider = (TracerProvider(shutdown_on_exit=False) for _ in range(2))
    theirs.add_span_processor(SimpleSpanProcessor(cloud))
    provider.add_span_processor(SimpleSpanProcessor(ours))
    traces.tracer.set_provider(theirs)
    livekit_otel.set_tracer_provider(provider, native_spans=False)
    assert traces.tracer._tracer_provider is theirs

    if job_span:
        with traces.tracer.start_as_current_span("job_entrypoint"):
            run_scenario("question_and_answer")
    else:
        run_scenario("question_and_answer")
    (session,) = (span for span in ours.get_finished_spans() if span.name == "session")
    assert session.parent is None
    assert session.context is not None
    entry = [span for span in cloud.get_finished_spans() if span.name == "job_entrypoint"]
    assert [link.context.span_id for link in session.links] == [one.context.span_id for one in entry if one.context]
    same_trace = {span.context.trace_id for span in entry if span.context} == {session.context.trace_id}
    assert same_trace is job_span
    assert trace.get_current_span() is trace.INVALID_SPAN
