"""Beside LiveKit's spans and other instrumentations: whose child a span is in Langfuse, and whose tokens count."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from livekit.agents import Agent, function_tool
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

from livekit_otel import attributes as attr
from livekit_otel.exporters.langfuse_preset import ancestry as module
from livekit_otel.exporters.langfuse_preset.export import LangfuseExporter
from livekit_otel.exporters.langfuse_preset.processor import LangfuseBatchProcessor, LangfuseSimpleProcessor
from livekit_otel.exporters.langfuse_preset.spans import Settings

from .kit.run import SCENARIOS, Call
from .kit.trace import names
from .langfuse_kit import Script, named, observed, total

OURS, NATIVE, THEIRS = attr.SCOPE, attr.NATIVE_SCOPE, "opentelemetry.instrumentation.openai_v2"
MODES = [{"native_spans": False}, {"native_spans": True}, {"native_spans": True, "native": "keep"}]
modes = pytest.mark.parametrize("options", MODES, ids=["pipeline", "drop", "keep"])


class Provider:
    """A provider with the preset's processor, and what arrives at the other end of it."""

    def __init__(self, *, batch: bool = True, **settings: Any) -> None:
        self.sent = InMemorySpanExporter()
        self.exporter = LangfuseExporter(self.sent, Settings(**settings))
        self.processor = (LangfuseBatchProcessor if batch else LangfuseSimpleProcessor)(self.exporter)
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(self.processor)

    def span(self, scope: str, name: str, parent: trace.Span | None = None, **attributes: Any) -> trace.Span:
        context = trace.set_span_in_context(parent) if parent is not None else None
        names = {key.replace("__", "."): value for key, value in attributes.items()}
        return self.provider.get_tracer(scope).start_span(name, context, attributes=names)

    def parents(self) -> dict[str, str | None]:
        self.provider.force_flush()
        found = self.sent.get_finished_spans()
        names = {span.context.span_id: span.name for span in found}
        return {span.name: names.get(span.parent.span_id, "?") if span.parent else None for span in found}

    def usage(self) -> dict[str, Any]:
        self.provider.force_flush()
        return {span.name: (span.attributes or {}).get(attr.LANGFUSE_USAGE) for span in self.sent.get_finished_spans()}


def calls_weather(inside: str, usage: bool = True) -> Script:
    """A question that a tool answers; other instrumentations' spans in the request and in the tool."""

    async def script(call: Call, provider: TracerProvider) -> None:
        tracer = provider.get_tracer(THEIRS)
        fields: dict[str, Any] = {
            "gen_ai.request.model": "gpt-4.1",
            "gen_ai.usage.input_tokens": 70,
            "gen_ai.usage.output_tokens": 7,
        }

        class Helper(Agent):
            @function_tool
            async def weather(self) -> str:
                """The weather."""
                with tracer.start_as_current_span("in tool", attributes=fields):
                    return "sunny"

        async def reply(stream: Any, items: list[Any]) -> None:
            with tracer.start_as_current_span(f"{inside} {len(items)}", attributes=fields):
                if items[-1].type == "message":
                    stream.call("weather", "{}")
                else:
                    await stream.text("It is sunny.")
            if usage:
                stream.usage(20, 5)
            # LiveKit leaves its span of a request open whose end comes with the last word
            await asyncio.sleep(0.05)

        session = call.session(reply, tts=None)
        await call.start(session, Helper(instructions="x"))
        await session.run(user_input="hi")
        await call.until(2.0)
        await call.close(session)

    return script


@modes
def test_every_parent_is_sent(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """In every mode a span's parent is one that Langfuse has; there is one root."""
    found = observed(monkeypatch, calls_weather("chat"), **options)
    ids = {one["id"] for one in found}
    assert [one["name"] for one in found if one["parentObservationId"] not in ids | {None}] == []
    assert len([one for one in found if one["isRoot"]]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("native", ["drop", "keep"])
@pytest.mark.parametrize("name", names())
def test_every_parent_of_every_scripted_session_is_sent(
    name: str, native: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of any scripted session is an orphan in Langfuse."""
    scripted = SCENARIOS[name].function

    async def script(call: Call, _: TracerProvider) -> None:
        await scripted(call)

    found = observed(monkeypatch, script, native=native)
    ids = {one["id"] for one in found}
    assert [one["name"] for one in found if one["parentObservationId"] not in ids | {None}] == []


@modes
def test_a_request_that_two_instrumentations_see_counts_once(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The span of an OpenAI instrumentation repeats what LiveKit counts; one in a tool is a request of its own."""
    found = observed(monkeypatch, calls_weather("chat"), **options)
    assert total([one for one in found if one["name"].startswith("chat")]) == 0
    assert named(found, "in tool")["usageDetails"]["total"] == 77
    assert total(found) == 2 * 25 + 77


@modes
def test_tokens_that_livekit_does_not_count_stay(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the request says no usage (an adapter of another framework), the spans below it are all there is."""
    found = observed(monkeypatch, calls_weather("chat", usage=False), **options)
    assert total(found) == 3 * 77


@modes
def test_usage_of_others_can_be_kept(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``foreign_usage="keep"`` spans say what they said."""
    found = observed(monkeypatch, calls_weather("chat"), foreign_usage="keep", **options)
    assert total(found) == 2 * 25 + 3 * 77


@pytest.mark.parametrize("batch", [True, False])
def test_the_nearest_sent_ancestor(batch: bool) -> None:
    """A span moves up past any number of LiveKit's, below which one of the user's stops it."""
    it = Provider(batch=batch)
    outer = it.span("user", "outer")
    job = it.span(NATIVE, "job_entrypoint", outer)
    turn = it.span(NATIVE, "agent_turn", job)
    inner = it.span("user", "inner", turn)
    tool = it.span(NATIVE, "function_tool", inner)
    for span in (it.span("user", "leaf", tool), tool, inner, turn, job, outer):
        span.end()
    it.span("user", "later", tool).end()
    assert it.parents() == {"leaf": "inner", "later": "inner", "inner": "outer", "outer": None}


def test_livekits_side_of_a_call_belongs_to_its_session() -> None:
    """In a job ``session`` stands beside ``agent_session``: what is below the latter moves below the former."""
    it = Provider()
    job = it.span(NATIVE, "job_entrypoint")
    before = it.span("user", "before", job)
    session = it.span(OURS, "session", job, **{attr.KIND: attr.KIND_SESSION, attr.SESSION_ID: "s"})  # type: ignore[arg-type]
    agent_session = it.span(NATIVE, "agent_session", job)
    tool = it.span(NATIVE, "function_tool", it.span(NATIVE, "agent_turn", agent_session))
    lookup = it.span("user", "lookup", tool)
    for span in (before, lookup, tool, agent_session, session, job):
        span.end()
    assert it.parents() == {"before": None, "lookup": "session", "session": None}
    root = next(span for span in it.sent.get_finished_spans() if span.name == "before")
    assert [link.context for link in root.links] == [job.get_span_context()]


def test_the_spans_themselves_stay_as_they_are() -> None:
    """Another exporter of the same provider gets each span's own parent and usage."""
    it = Provider()
    plain = InMemorySpanExporter()
    it.provider.add_span_processor(SimpleSpanProcessor(plain))
    request = it.span(NATIVE, "llm_request")
    chat = it.span(THEIRS, "chat", request, **{attr.USAGE_INPUT_TOKENS: 5})  # type: ignore[arg-type]
    chat.end()
    request.set_attributes({attr.USAGE_INPUT_TOKENS: 5})
    request.end()
    it.provider.force_flush()
    seen = {span.name: span for span in plain.get_finished_spans()}
    assert seen["chat"].parent == request.get_span_context()
    assert dict(seen["chat"].attributes or {}) == {attr.USAGE_INPUT_TOKENS: 5}
    assert it.usage() == {"chat": attr.LANGFUSE_COUNTED_ELSEWHERE}


def test_a_provider_of_livekits_own() -> None:
    """LiveKit's spans on another provider are known by the span that is current, and are not sent either."""
    it, other = Provider(), TracerProvider(shutdown_on_exit=False)
    session = it.span(OURS, "session", **{attr.KIND: attr.KIND_SESSION, attr.SESSION_ID: "s"})  # type: ignore[arg-type]
    agent = other.get_tracer(NATIVE).start_span("agent_session", trace.set_span_in_context(session))
    tool = other.get_tracer(NATIVE).start_span("function_tool", trace.set_span_in_context(agent))
    for span in (it.span("user", "lookup", tool), it.span("user", "direct", agent), session):
        span.end()
    assert it.parents() == {"lookup": "session", "direct": "session", "session": None}


def test_a_parent_that_was_not_sampled() -> None:
    """A span below one that a sampler left out is a root."""
    it = Provider()
    it.provider.sampler = ParentBased(ALWAYS_ON, local_parent_not_sampled=ALWAYS_ON)
    unsampled = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=False))
    it.span("user", "below", unsampled).end()
    remote = trace.NonRecordingSpan(trace.SpanContext(1, 3, is_remote=True, trace_flags=trace.TraceFlags(1)))
    it.span("user", "from elsewhere", remote).end()
    assert it.parents() == {"below": None, "from elsewhere": "?"}


@pytest.mark.parametrize(
    "said",
    [
        {attr.USAGE_INPUT_TOKENS: 9},
        {"gen_ai.usage.prompt_tokens": 9},
        {"llm.token_count.prompt": 9},
        {attr.REQUEST_MODEL: "gpt-4.1"},
        {attr.LANGFUSE_USAGE: '{"input": 9}'},
    ],
    ids=str,
)
def test_whatever_it_calls_its_tokens(said: dict[str, Any]) -> None:
    """Not the name of an instrumentation decides, but that it counts, and below what."""
    it = Provider()
    request = it.span(OURS, "llm", **{attr.KIND: attr.KIND_LLM})  # type: ignore[arg-type]
    inside = it.span("any", "any", it.span("http", "POST", request))
    inside.set_attributes(said)
    inside.end()
    request.set_attributes({attr.USAGE_INPUT_TOKENS: 9, attr.USAGE_OUTPUT_TOKENS: 1})
    request.end()
    late = it.span("any", "late", request)
    late.set_attributes(said)
    late.end()
    beside = it.span("any", "beside")
    beside.set_attributes({"llm.cost.total": 0.5, **said})
    beside.end()
    usage = it.usage()
    assert usage["any"] == usage["late"] == attr.LANGFUSE_COUNTED_ELSEWHERE
    assert usage["beside"] != attr.LANGFUSE_COUNTED_ELSEWHERE


def test_a_flush_does_not_wait_for_a_request() -> None:
    """What waits for the end of its request is sent by a flush and by the shutdown, without its usage."""
    for stop in ("force_flush", "shutdown"):
        it = Provider()
        request = it.span(OURS, "llm", **{attr.KIND: attr.KIND_LLM})  # type: ignore[arg-type]
        it.span(THEIRS, "chat", request, **{attr.USAGE_INPUT_TOKENS: 5}).end()  # type: ignore[arg-type]
        assert it.sent.get_finished_spans() == ()
        getattr(it.provider, stop)()
        assert [span.name for span in it.sent.get_finished_spans()] == ["chat"]
        assert it.usage() == {"chat": attr.LANGFUSE_COUNTED_ELSEWHERE}


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans that never end, or end without end, do not pile up; none that waits is lost."""
    monkeypatch.setattr(module, "_MAX_OPEN", 50)
    monkeypatch.setattr(module, "_MAX_ENDED", 20)
    monkeypatch.setattr(module, "_MAX_WAITING", 10)
    it = Provider()
    for number in range(200):
        request = it.span(OURS, "llm", **{attr.KIND: attr.KIND_LLM})  # type: ignore[arg-type]
        it.span(THEIRS, f"chat {number}", request, **{attr.USAGE_INPUT_TOKENS: 5}).end()  # type: ignore[arg-type]
    ancestry = it.exporter._ancestry
    assert len(ancestry._open) <= 50
    assert len(ancestry._ended) <= 20
    assert len(ancestry._waiting) <= 10
    it.provider.force_flush()
    assert len(it.sent.get_finished_spans()) == 200
    assert (len(ancestry._waiting), ancestry._count) == (0, 0)


@pytest.mark.parametrize("batch", [True, False])
def test_many_threads(batch: bool) -> None:
    """Calls in several threads do not disturb each other."""
    it = Provider(batch=batch)

    def call(number: int) -> None:
        for turn in range(40):
            outer = it.span("user", f"outer {number} {turn}")
            native = it.span(NATIVE, "agent_turn", outer)
            it.span("user", f"inner {number} {turn}", native).end()
            native.end()
            outer.end()

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = it.parents()
    assert len(found) == 8 * 40 * 2
    assert all(found[f"inner {n} {t}"] == f"outer {n} {t}" for n in range(8) for t in range(40))


def test_a_failure_reaches_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in here, the span of the user starts, ends and is sent."""

    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("boom")

    it = Provider()
    monkeypatch.setattr(module.Ancestry, "started", fail)
    monkeypatch.setattr(module.Ancestry, "ended", fail)
    it.span("user", "one").end()
    assert it.parents() == {"one": None}
