"""Bad endpoints: the call does not notice, memory stays bounded, and what is lost is counted and said."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from livekit.agents import Agent, AgentSession
from livekit.agents.testing import fake_job_context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider, export
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import livekit_otel
from livekit_otel import attributes as attr
from livekit_otel.provider import export_losses, export_watch
from livekit_otel.spans import from_sdk
from tests.bad_servers import hung_server, refusing_address
from tests.kit import clock
from tests.kit.run import SCENARIOS, Call, Outcome, Scenario, plain_reply, quiet, run_scenario
from tests.kit.stalls import Stalls
from tests.kit.trace import switch_off
from tests.kit.voice import FakeLLM
from tests.otlp_receiver import Answer, Receiver

QUEUE, BATCH = 64, 16
#: what the plugin may keep the event loop from its work
ALLOWED = 0.005


class Ended(SpanProcessor):
    """How many spans ended."""

    count = 0

    def on_end(self, span: ReadableSpan) -> None:
        self.count += 1


@pytest.fixture(autouse=True)
def _off() -> Iterator[None]:
    switch_off()
    export_losses.losses.reset()
    yield
    switch_off()
    export_losses.losses.reset()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


@pytest.fixture
def network() -> Iterator[Callable[..., tuple[TracerProvider, Ended]]]:
    """Makes providers as the README sets them up, with a count of what ended."""
    made: list[BatchSpanProcessor] = []

    def make(url: str, *, timeout: float = 10, **options: Any) -> tuple[TracerProvider, Ended]:
        provider, ended = TracerProvider(shutdown_on_exit=False), Ended()
        made.append(BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces", timeout=timeout), **options))
        provider.add_span_processor(ended)
        provider.add_span_processor(made[-1])
        return provider, ended

    yield make
    for processor in made:
        # first the exporter: the processor would wait for its tries
        processor.span_exporter.shutdown()
        processor.shutdown()


def trace_to(provider: TracerProvider) -> None:
    livekit_otel.set_tracer_provider(provider, native_spans=False, flush_timeout=0)


def spoken_call(turns: int, before: Callable[[], None] | None = None, stalls: Stalls | None = None) -> Outcome:
    """A call of a question every six seconds on the virtual clock."""

    async def script(call: Call) -> None:
        if stalls is not None:
            stalls.watch(asyncio.get_running_loop())
        for number in range(turns):
            call.caller.says(f"question number {number}", 1.0 + 6.0 * number)
        session = call.session()
        await call.start(session)
        await call.until(6.0 * turns + 1.0)
        await session.aclose()
        await asyncio.sleep(0.2)
        if stalls is not None:
            stalls.stop()
        await asyncio.sleep(0.3)

    SCENARIOS["spoken"] = Scenario("spoken", "", script)
    try:
        return run_scenario("spoken", before)[0]
    finally:
        del SCENARIOS["spoken"]


def words(outcome: Outcome) -> list[tuple[str, Any]]:
    """What was said and what happened, without ids."""
    items = [(item["type"], item.get("content")) for item in outcome.report["chat_history"]["items"]]
    return items + [(event["type"], event["created_at"]) for event in outcome.report["events"]]


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)


@pytest.mark.slow
def test_ten_minutes_at_a_hung_endpoint(network: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Ten minutes of call while the server never answers: the same call, a free loop, every lost span counted."""
    with hung_server() as url:
        plain, traced = Stalls(), Stalls()
        memory = InMemorySpanExporter()
        without = with_plugin = None
        gaps = []
        for _ in range(3):
            plain.turns.clear(), traced.turns.clear()
            switch_off()
            without = spoken_call(100, stalls=plain)
            export_losses.losses.reset()
            memory.clear()
            provider, ended = network(url, max_queue_size=QUEUE, max_export_batch_size=BATCH)
            provider.add_span_processor(SimpleSpanProcessor(memory))
            with_plugin = spoken_call(100, lambda to=provider: trace_to(to), traced)
            until(lambda count=ended: export_losses.losses.total + export_watch.waiting() == count.count)
            assert export_watch.waiting() <= QUEUE + BATCH
            gaps.append(traced.longest - plain.longest)
        assert words(with_plugin) == words(without)  # type: ignore[arg-type]
        assert min(gaps) < ALLOWED, gaps
    spans = memory.get_finished_spans()
    assert ended.count == len(spans)
    end = next(span for span in spans if span.name == attr.KIND_SESSION_END)
    assert 500 < end.attributes[attr.SESSION_DROPPED] < export_losses.losses.total  # type: ignore[index, operator]
    said = [record for record in caplog.records if "spans were lost" in record.getMessage()]
    assert 3 <= len(said) <= 3 * 11, "at most once per minute, in each of three calls of ten minutes"
    report = livekit_otel.build_report([from_sdk(span) for span in spans])
    assert report.complete
    assert report.warnings == []


async def typed_call(seconds: float, stalls: Stalls) -> int:
    """A call on the real clock, typed as fast as it is answered; returns its number of turns."""
    with fake_job_context():
        session: AgentSession[None] = AgentSession(
            llm=FakeLLM(plain_reply, delay=0.02), vad=None, turn_handling={"turn_detection": None}
        )
        stalls.watch(asyncio.get_running_loop())
        turns, end = 0, time.monotonic() + seconds
        await session.start(Agent(instructions="Be brief."))
        while time.monotonic() < end:
            await session.run(user_input=f"question {turns}")
            await asyncio.sleep(0.02)
            turns += 1
        await session.aclose()
        stalls.stop()
        return turns


@pytest.mark.slow
def test_twenty_seconds_at_a_hung_endpoint(network: Any) -> None:
    """On the real clock, too: while exports hang and time out, the loop is as free as without the plugin."""
    with hung_server() as url, quiet():
        provider, ended = network(url, timeout=1, max_queue_size=16, max_export_batch_size=8)
        longest: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(4):
            for traced in (False, True):
                switch_off()
                if traced:
                    trace_to(provider)
                stalls = Stalls()
                assert asyncio.run(typed_call(5.0, stalls)) >= 5
                longest[traced].append(stalls.longest)
        assert export_losses.losses.total > ended.count / 2 > 0
        assert export_watch.waiting() <= 16 + 8
    # one part in four may have met what has nothing to do with either
    without, with_plugin = (sorted(longest[traced])[2] for traced in (False, True))
    assert with_plugin - without < ALLOWED, longest


@pytest.mark.parametrize("status", [429, 503])
def test_an_endpoint_that_asks_to_wait(
    status: int, receiver: Receiver, network: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that answers 429 or 503 with Retry-After loses what its exporter gives up on, and we say how much."""
    receiver.answer = lambda request: Answer(status=status, headers={"Retry-After": "30"})
    provider, ended = network(receiver.url, timeout=1)
    outcome = spoken_call(3, lambda: trace_to(provider))
    assert outcome.report["events"][-1]["type"] == "close"
    provider.force_flush()
    assert receiver.requests
    assert export_losses.losses.total == ended.count
    assert export_watch.waiting() == 0
    assert f"spans were lost: {ended.count} by OTLPSpanExporter (not accepted)" in caplog.text


def test_nobody_listens(network: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Where the connection is refused, the call goes on, and all of its spans are counted as lost."""
    provider, ended = network(refusing_address(), timeout=1)
    outcome = spoken_call(3, lambda: trace_to(provider))
    assert outcome.report["events"][-1]["type"] == "close"
    provider.force_flush()
    assert export_losses.losses.total == ended.count
    assert "not accepted" in caplog.text


def test_an_endpoint_that_comes_back(receiver: Receiver, network: Any) -> None:
    """What was accepted and what was lost add up to what ended, when a server fails for a while."""
    answers = iter([200, 400, 200, 400])
    receiver.answer = lambda request: Answer(status=next(answers, 200))
    provider, ended = network(receiver.url, max_export_batch_size=16)
    spoken_call(10, lambda: trace_to(provider))
    provider.force_flush()
    assert export_losses.losses.total == 32
    assert len(receiver.ids) + 32 == ended.count


class Broken(SpanExporter):
    """Raises."""

    def export(self, spans: Any) -> SpanExportResult:
        raise ConnectionError("gone")


def test_exporters_that_raise_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    """An exporter that raises is named with its error; a working one beside it gets every span."""
    provider, memory, ended = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter(), Ended()
    for processor in (BatchSpanProcessor(Broken()), SimpleSpanProcessor(memory), ended):
        provider.add_span_processor(processor)
    spoken_call(2, lambda: trace_to(provider))
    provider.force_flush()
    assert len(memory.get_finished_spans()) == ended.count == export_losses.losses.total
    assert f"{ended.count} by Broken (ConnectionError)" in caplog.text


def test_a_count_that_fails_changes_nothing(receiver: Receiver, network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where counting itself is broken, exports and queues go on as if nobody counted."""

    def broken(*args: Any) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(export_losses.Losses, "add", broken)
    refuse = iter([True, False, True])
    receiver.answer = lambda request: Answer(status=400 if next(refuse, False) else 200)
    provider, ended = network(receiver.url, max_queue_size=16, max_export_batch_size=16, schedule_delay_millis=600_000)
    trace_to(provider)
    for _ in range(3):
        for _ in range(16):
            provider.get_tracer("test").start_span("one").end()
        provider.force_flush()
    assert len(receiver.ids) == 16
    assert sum(len(request.ids) for request in receiver.requests) == ended.count == 48


def test_missing_spans_are_explained() -> None:
    """A report that lacks spans says that the exporters had lost some when the session ended."""
    provider, kept = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()

    class Sometimes(SpanExporter):
        """Refuses two batches, which carry some of the journal."""

        calls = 0

        def export(self, spans: Any) -> SpanExportResult:
            self.calls += 1
            return SpanExportResult.FAILURE if self.calls in (3, 13) else kept.export(spans)

    provider.add_span_processor(SimpleSpanProcessor(Sometimes()))
    spoken_call(2, lambda: trace_to(provider))
    report = livekit_otel.build_report([from_sdk(span) for span in kept.get_finished_spans()])
    lost = export_losses.losses.total
    assert not report.complete
    assert any(f"its exporters had lost {lost} spans of the trace" in warning for warning in report.warnings)


def test_two_traces_count_for_themselves() -> None:
    """What is lost of one session's trace is not told of another's."""
    provider = TracerProvider(shutdown_on_exit=False)
    tracer = provider.get_tracer("test")
    spans = [tracer.start_span("one", context=None) for _ in range(3)]
    export_losses.losses.add(spans[:2], "a test")
    counts = [export_losses.losses.of_trace(span.get_span_context().trace_id) for span in spans]
    assert counts == [1, 1, 0]


def test_said_once_per_minute(caplog: pytest.LogCaptureFixture) -> None:
    """The first loss is told at once, the others together when a minute has passed, the rest at the end."""
    losses = export_losses.Losses()

    async def lose() -> None:
        for _ in range(150):
            losses.add([None], "a test")
            await asyncio.sleep(1.0)

    clock.run(lose())
    told = [*(record.getMessage() for record in caplog.records), losses.unsaid() or ""]
    assert [message.split(" by ")[0].rpartition(" ")[2] for message in told] == ["1", "60", "60", "29"]
    assert losses.unsaid() is None


def test_uninstrument_leaves_no_trace_on_the_users_objects() -> None:
    """Exporters and processors have the very attributes that they had; twice over, and below a wrapper of others."""
    memory, broken = InMemorySpanExporter(), Broken()
    broken.export = lambda spans: SpanExportResult.SUCCESS  # type: ignore[method-assign]
    processors = [SimpleSpanProcessor(memory), BatchSpanProcessor(broken)]
    provider = TracerProvider(shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    objects = [memory, broken, *processors, processors[1]._batch_processor]  # type: ignore[attr-defined]
    before = [dict(vars(one)) for one in objects]
    for _ in range(2):
        trace_to(provider)
        trace_to(provider)
        assert vars(memory)["export"] is not before[0].get("export")
        livekit_otel.LiveKitInstrumentor().uninstrument()
        for one, was in zip(objects, before, strict=True):
            now = dict(vars(one))
            assert now.keys() == was.keys()
            assert all(now[name] is was[name] for name in was if name in ("export", "emit"))
    trace_to(provider)
    ours = memory.export
    theirs = memory.export = lambda spans: ours(spans)  # type: ignore[method-assign]
    livekit_otel.LiveKitInstrumentor().uninstrument()
    assert memory.export is theirs
    assert memory.export(()) is SpanExportResult.SUCCESS


def test_a_forked_process_counts_for_itself() -> None:
    """A child begins with no losses, whatever its parent had lost, and still counts."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Broken()))
    export_watch.watch(provider)
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    provider.get_tracer("test").start_span("in the parent").end()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        found = [export_losses.losses.total]
        for _ in range(2):
            provider.get_tracer("test").start_span("in the child").end()
        found.append(export_losses.losses.total)
        os.write(write, repr(found).encode())
        os._exit(0)
    os.waitpid(child, 0)
    logging.getLogger("opentelemetry").setLevel(logging.NOTSET)
    assert os.read(read, 100) == b"[0, 2]"
    assert export_losses.losses.total == 1
    os.close(read)
    os.close(write)


def test_processors_added_later_are_found() -> None:
    """An exporter that is added after set_tracer_provider is watched from the next session on."""
    provider = TracerProvider(shutdown_on_exit=False)
    trace_to(provider)
    provider.add_span_processor(SimpleSpanProcessor(Broken()))
    spoken_call(1)
    assert export_losses.losses.total > 0


def test_another_sdk_is_left_alone() -> None:
    """Providers, processors and exporters that are built otherwise are not counted, and nothing fails."""

    class Slots(SpanExporter):
        __slots__ = ()

        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.FAILURE

    class Other:
        span_exporter = object()
        _batch_processor = object()

    class Provider:
        _active_span_processor = Other()

    for provider in (object(), Provider()):
        export_watch.watch(provider)  # type: ignore[arg-type]
    with_slots = TracerProvider(shutdown_on_exit=False)
    with_slots.add_span_processor(SimpleSpanProcessor(Slots()))
    export_watch.watch(with_slots)
    assert export_watch.waiting() == 0
    export_watch.unwatch()


def test_the_names_that_are_read_are_in_the_installed_sdk() -> None:
    """The private names that the count needs are where they are looked for."""
    batch = BatchSpanProcessor(InMemorySpanExporter())
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(batch)
    assert provider._active_span_processor._span_processors == (batch,)
    inner = batch._batch_processor
    assert callable(inner.emit)
    assert inner._queue.maxlen == export.BatchSpanProcessor._default_max_queue_size()
    assert inner._shutdown is False
    batch.shutdown()


def test_an_export_that_holds_up_the_call_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """A slow exporter without a batch processor is told of once: there it blocks the event loop."""

    class Slow(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            time.sleep(0.12)
            return SpanExportResult.SUCCESS

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Slow()))
    export_watch.watch(provider)
    with caplog.at_level(logging.WARNING, "livekit_otel"):
        for _ in range(2):
            provider.get_tracer("test").start_span("one").end()
    assert caplog.text.count("an export by Slow took more than 0.1 s") == 1


def test_the_meter_tells_who_held_up_the_loop() -> None:
    """The meter that these tests use sees a loop that waits and a loop that computes; it is no constant."""

    async def hold(action: Callable[[], Any]) -> float:
        stalls = Stalls()
        stalls.watch(asyncio.get_running_loop())
        await asyncio.sleep(0.01)
        action()
        await asyncio.sleep(0.01)
        stalls.stop()
        return stalls.longest

    def compute() -> None:
        until_cpu = time.thread_time() + 0.02
        while time.thread_time() < until_cpu:
            pass

    assert asyncio.run(hold(lambda: None)) < 0.02
    assert asyncio.run(hold(lambda: time.sleep(0.02))) >= 0.02
    assert asyncio.run(hold(compute)) >= 0.02


class Around(SpanProcessor):
    """A processor around another one, as users write them."""

    def __init__(self, inner: SpanProcessor) -> None:
        self._inner = inner

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self._inner.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        self._inner.on_end(span)

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._inner.force_flush(timeout_millis)


@pytest.mark.parametrize(
    "processor",
    [BatchSpanProcessor, SimpleSpanProcessor, lambda exporter: Around(SimpleSpanProcessor(exporter)),
     lambda exporter: Around(BatchSpanProcessor(exporter))],
    ids=["batch", "simple", "around simple", "around batch"],
)  # fmt: skip
def test_a_provider_that_is_shut_down_during_a_call(processor: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A shutdown in the middle of a call is logged once, whatever processor the provider has; one after it never is."""
    provider, memory = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(processor(memory))

    def logged() -> list[str]:
        return [one.getMessage() for one in caplog.records if one.name == "livekit_otel"]

    class Quitter(Agent):
        async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
            provider.shutdown()

    async def cut(call: Call) -> None:
        call.caller.says("first", 1.0).says("second", 6.0)
        session = call.session()
        await call.start(session, Quitter(instructions="Answer."))
        await call.until(12.0)
        await call.close(session)

    SCENARIOS["shut_down"] = type(SCENARIOS["question_and_answer"])("shut_down", "", cut)
    try:
        run_scenario("shut_down", before=lambda: trace_to(provider))
    finally:
        del SCENARIOS["shut_down"]
    assert ["shut down while sessions were running (1)" in one for one in logged()] == [True]
    assert "shutdown" in vars(provider)
    switch_off()
    assert "shutdown" not in vars(provider)


def test_a_provider_that_is_shut_down_after_the_call(caplog: pytest.LogCaptureFixture) -> None:
    """A provider that is shut down when its sessions have closed is nothing to log."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    spoken_call(1, lambda: trace_to(provider))
    provider.shutdown()
    assert not [one for one in caplog.records if one.name == "livekit_otel"]
