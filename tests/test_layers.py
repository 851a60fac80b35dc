"""Beside other tracing in the same process: each provider gets what it should, once, with its parents."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import wrapt
from livekit.agents import Agent, function_tool, telemetry
from livekit.agents.telemetry import tracer as livekit_tracer
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

import livekit_otel
from livekit_otel import attributes as attr
from livekit_otel.instrumentation import livekit_tracer as tracer_of_livekit
from livekit_otel.provider import proxies as providers
from livekit_otel.spans import from_sdk
from tests.kit import providers as kit
from tests.kit.run import CANARY, INSTRUCTIONS, SCENARIOS, Call, Outcome, Scenario, assert_same_report, run_scenario
from tests.kit.trace import switch_off
from tests.scenarios.tools import calls


@pytest.fixture(autouse=True)
def _off(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is on, no provider is global, and LiveKit's tracer is as it is when LiveKit has been imported."""
    from opentelemetry.util._once import Once

    switch_off()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    monkeypatch.setattr(tracer_of_livekit, "_warned", False)
    livekit_tracer.set_provider(trace.ProxyTracerProvider())
    yield
    switch_off()


def run(made: kit.Made, *, before: Callable[[], None] = lambda: None) -> list[Outcome]:
    """A call in which a tool's code makes a span on the same provider."""
    user = made.provider.get_tracer("user")

    class Own(Agent):
        @function_tool
        async def weather(self, city: str) -> str:
            """Weather."""
            span = user.start_span("look up")
            span.end()
            return "sunny"

    async def script(call: Call) -> None:
        call.caller.says("weather please", 1.0)
        session = call.session(calls(("weather", "weather", '{"city": "Oslo"}')))
        await call.start(session, Own(instructions=INSTRUCTIONS))
        await call.until(8.0)
        await call.close(session)

    SCENARIOS["own"] = Scenario("own", "", script)
    try:
        return run_scenario("own", before=before)
    finally:
        del SCENARIOS["own"]


def scopes(spans: list[ReadableSpan]) -> set[str]:
    return {span.instrumentation_scope.name for span in spans if span.instrumentation_scope is not None}


def tokens(spans: list[ReadableSpan]) -> int:
    """The sum over all spans, as backends make it."""
    return sum(int((span.attributes or {}).get(attr.USAGE_INPUT_TOKENS, 0)) for span in spans)  # type: ignore[arg-type]


def parent(spans: list[ReadableSpan], name: str) -> str | None:
    by_id = {span.context.span_id: span.name for span in spans if span.context is not None}
    (span,) = (span for span in spans if span.name == name)
    return by_id[span.parent.span_id] if span.parent is not None else None


def assert_whole(spans: list[ReadableSpan], outcomes: list[Outcome]) -> None:
    """The report is LiveKit's, turns have their latency, tokens count once, and every parent was sent."""
    (outcome,) = outcomes
    report = livekit_otel.build_report([from_sdk(span) for span in spans])
    assert_same_report(report.to_dict(), outcome.report)
    (turn,) = (span for span in spans if span.name == "turn")
    assert (turn.attributes or {})[attr.latency("e2e_latency")] > 0  # type: ignore[operator]
    assert tokens(spans) == sum(one.get("input_tokens", 0) for one in outcome.usage)
    sent = {span.context.span_id for span in spans if span.context is not None}
    assert len(sent) == len(spans)
    assert all(span.parent is None or span.parent.span_id in sent for span in spans)
    assert sum(span.parent is None for span in spans) == 1


@pytest.mark.parametrize("native_spans", [True, False])
@pytest.mark.parametrize("kind", kit.KINDS)
def test_any_provider_gets_whole_traces(kind: str, native_spans: bool) -> None:
    """Whatever a provider does with processors and wraps around spans: its exporter gets everything, once."""
    made = kit.KINDS[kind]()
    outcomes = run(made, before=lambda: livekit_otel.set_tracer_provider(made.provider, native_spans=native_spans))
    assert_whole(made.spans, outcomes)
    assert scopes(made.spans) == {attr.SCOPE, "user"} | ({attr.NATIVE_SCOPE} if native_spans else set())
    assert parent(made.spans, "look up") == ("function_tool" if native_spans else "tool")


@pytest.mark.parametrize("metadata", [None, {"deployment": "blue"}])
def test_a_default_exporter_survives_what_we_do_for_the_user(metadata: dict[str, Any] | None) -> None:
    """LiveKit's processors, added on the user's behalf, and ours leave the default processor in place and running."""
    made = kit.replacing()
    for _ in range(2):
        livekit_otel.set_tracer_provider(made.provider, metadata=metadata, allow_pii=False)
    names = Counter(type(one).__name__ for one in providers.processors(made.provider))
    assert names["SimpleSpanProcessor"] == names["TurnSpanProcessor"] == names["_PIIFilteringSpanProcessor"] == 1
    assert names["_MetadataSpanProcessor"] == (1 if metadata else 0)
    added = kit.plain()
    made.provider.add_span_processor(next(providers.processors(added.provider)))
    assert "SimpleSpanProcessor" not in [type(one).__name__ for one in providers.processors(made.provider)][:1]
    made.provider.get_tracer("t").start_span("s").end()
    assert (made.spans, [span.name for span in added.spans]) == ([], ["s"])


@pytest.mark.parametrize("inside", [True, False])
def test_usage_counts_once_when_livekit_has_the_wrapper_or_what_it_wraps(inside: bool) -> None:
    """LiveKit's tracer has the proxy, ours what it wraps, or the other way round: they are the same provider."""
    made = kit.wrapping()
    pair: list[Any] = [made.provider, made.inner]
    one, other = pair if inside else reversed(pair)

    def before() -> None:
        telemetry.set_tracer_provider(one)
        livekit_otel.LiveKitInstrumentor().instrument(tracer_provider=other)

    outcomes = run(made, before=before)
    assert tokens(made.spans) == sum(one.get("input_tokens", 0) for one in outcomes[0].usage)
    assert scopes(made.spans) == {attr.SCOPE, attr.NATIVE_SCOPE, "user"}


def test_content_is_filtered_inside_of_a_wrapper() -> None:
    """With allow_pii=False nothing that people say reaches the exporter, also through a proxy, of both layers."""
    made = kit.wrapping()
    livekit_otel.set_tracer_provider(made.provider, allow_pii=False)
    run_scenario("question_and_answer")
    assert attr.NATIVE_SCOPE in scopes(made.spans)
    assert CANARY not in "".join(str(dict(span.attributes or {})) for span in made.spans)


def test_a_provider_without_processors_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """What will be missing with a provider that takes no processors is said once, in one line."""
    made = kit.bare()
    with caplog.at_level(logging.WARNING, "livekit_otel"):
        for _ in range(2):
            livekit_otel.set_tracer_provider(made.provider, native_spans=False)
    (message,) = (record.getMessage() for record in caplog.records)
    assert "tests.kit.providers.BareProvider does not support span processors" in message
    assert "nothing is flushed" in message


# --- the global provider -----------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["global first", "imported after", "global last"])
def test_without_native_spans_a_global_provider_gets_ours_alone(order: str) -> None:
    """``native_spans=False`` holds where the provider is OpenTelemetry's global one, whenever it became that."""
    made = kit.plain()
    if order != "global last":
        trace.set_tracer_provider(made.provider)
    if order == "imported after":  # LiveKit's tracer takes the global provider when it is made
        livekit_tracer.set_provider(trace.get_tracer_provider())
    livekit_otel.set_tracer_provider(made.provider, native_spans=False)
    if order == "global last":
        trace.set_tracer_provider(made.provider)
    outcomes = run(made)
    assert_whole(made.spans, outcomes)
    assert scopes(made.spans) == {attr.SCOPE, "user"}
    assert parent(made.spans, "look up") == "tool"


def test_another_global_provider_still_gets_livekits_spans() -> None:
    """``native_spans=False`` keeps LiveKit's spans from our provider, not from another one that is global."""
    made, other = kit.plain(), kit.plain()
    livekit_otel.set_tracer_provider(made.provider, native_spans=False)
    trace.set_tracer_provider(other.provider)
    run_scenario("question_and_answer")
    assert (scopes(made.spans), scopes(other.spans)) == ({attr.SCOPE}, {attr.NATIVE_SCOPE})


def test_uninstrument_gives_livekits_tracer_back() -> None:
    """After uninstrument, LiveKit's spans go to the global provider again, as they did before."""
    made = kit.plain()
    trace.set_tracer_provider(made.provider)
    livekit_otel.set_tracer_provider(made.provider, native_spans=False)
    livekit_tracer.start_span("kept away").end()
    livekit_otel.LiveKitInstrumentor().uninstrument()
    livekit_tracer.start_span("back").end()
    assert [span.name for span in made.spans] == ["back"]


def test_a_provider_that_livekit_was_given_stays_and_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Where somebody gave LiveKit's tracer our provider, it stays, and one warning says that the option cannot hold."""
    made = kit.plain()
    telemetry.set_tracer_provider(made.provider)
    livekit_otel.set_tracer_provider(made.provider, native_spans=False)
    assert livekit_tracer._tracer_provider is made.provider
    with caplog.at_level(logging.WARNING, "livekit_otel"):
        outcomes = [run(made) for _ in range(2)]
    assert [record.getMessage() for record in caplog.records if "native_spans=False" in record.getMessage()] == [
        "livekit_otel: native_spans=False has no effect: LiveKit's tracer uses the same provider (set by LiveKit's "
        "set_tracer_provider), so LiveKit's own spans reach it, carry the token usage, and your own spans nest below "
        "them. Remove that call, or pass another provider to livekit_otel"
    ]
    expected = sum(one.get("input_tokens", 0) for outcome in outcomes for one in outcome[0].usage)
    assert tokens(made.spans) == expected


STEPS: dict[str, Callable[[Any], None]] = {
    "ours": lambda provider: livekit_otel.set_tracer_provider(provider),
    "ours, pipeline only": lambda provider: livekit_otel.set_tracer_provider(provider, native_spans=False),
    "instrument": lambda provider: livekit_otel.LiveKitInstrumentor().instrument(tracer_provider=provider),
    "LiveKit's": lambda provider: telemetry.set_tracer_provider(provider),
    "global": lambda provider: trace.set_tracer_provider(provider),
}
OURS = ("ours", "ours, pipeline only", "instrument")
ORDERS = [
    order
    for length in (1, 2, 3)
    for order in itertools.product(STEPS, repeat=length)
    if any(step in OURS for step in order) and (length < 3 or order[2] in OURS)
]


@pytest.mark.parametrize("order", ORDERS, ids=", then ".join)
def test_every_order_of_setting_up(order: tuple[str, ...]) -> None:
    """Whatever is called in whatever order: no processor twice, no span twice, each token once, parents sent."""
    made = kit.plain()
    for step in order:
        STEPS[step](made.provider)
    names = Counter(type(one).__name__ for one in providers.processors(made.provider))
    assert set(names.values()) == {1}
    outcomes = run(made)
    assert_whole(made.spans, outcomes)
    last = order[-1]
    native = attr.NATIVE_SCOPE in scopes(made.spans)
    if last == "ours":
        assert native
    if last == "ours, pipeline only" and "LiveKit's" not in order:
        assert not native


# --- LiveKit's spans on another provider than ours ---------------------------------------------------


def test_users_spans_have_a_parent_that_is_sent() -> None:
    """Where LiveKit's spans record elsewhere, theirs are current, and a user's span hangs below our stage here."""
    made, theirs = kit.plain(), kit.plain()
    telemetry.set_tracer_provider(theirs.provider)
    livekit_otel.set_tracer_provider(made.provider, native_spans=False)
    with livekit_tracer.start_as_current_span("job_entrypoint"):
        outcomes = run(made)
    assert_whole(made.spans, outcomes)
    assert scopes(theirs.spans) == {attr.NATIVE_SCOPE}
    (own,) = (span for span in made.spans if span.name == "look up")
    assert parent(made.spans, "look up") == "tool"
    native = {span.context.span_id: span.name for span in theirs.spans if span.context is not None}
    assert [native[link.context.span_id] for link in own.links] == ["function_tool"]


def test_users_spans_in_another_trace_are_roots_with_links() -> None:
    """Without a job's span LiveKit's trace is another one: a user's span stays in it, as a root that names both."""
    made, theirs = kit.plain(), kit.plain()
    telemetry.set_tracer_provider(theirs.provider)
    livekit_otel.set_tracer_provider(made.provider, native_spans=False)
    run(made)
    (own,) = (span for span in made.spans if span.name == "look up")
    names = {span.context.span_id: span.name for span in (*theirs.spans, *made.spans) if span.context is not None}
    assert own.parent is None
    assert [names[link.context.span_id] for link in own.links] == ["function_tool", "tool"]


# --- recognising providers ----------------------------------------------------------------------------


class Slotted:
    """A proxy without a dictionary that hands everything on."""

    __slots__ = ("inner",)

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def test_a_provider_is_recognised_through_its_wrappers() -> None:
    """Proxies of any make are the provider that they wrap, and no other; OpenTelemetry's proxy is the global one."""
    inner, other = (TracerProvider(shutdown_on_exit=False) for _ in range(2))
    wrappers: tuple[Callable[[Any], Any], ...] = (kit.WrappingProvider, wrapt.ObjectProxy, Slotted)
    for wrap in wrappers:
        assert providers.same(wrap(inner), inner)
        assert providers.same(inner, wrap(wrap(inner)))
        assert not providers.same(wrap(inner), other)
        assert providers.records(wrap(inner))
        assert not providers.records(wrap(trace.NoOpTracerProvider()))
    assert not providers.records(trace.ProxyTracerProvider())
    trace.set_tracer_provider(inner)
    assert providers.same(trace.ProxyTracerProvider(), inner)


def test_values_by_identity_go_with_their_objects() -> None:
    """A value is kept for the object itself, hashable or not, and forgotten with it."""
    kept: providers.ByIdentity[Any, int] = providers.ByIdentity()
    first, second = (kit.WrappingProvider(trace.NoOpTracerProvider()) for _ in range(2))
    kept.set(first, 1)
    kept.set(2, 2)
    assert (kept.get(first), kept.get(second), kept.get(2)) == (1, None, 2)
    del first
    assert list(kept._values) == [id(2)]


@pytest.mark.parametrize("at", [0.5, 3.2])
def test_a_provider_that_livekit_gets_during_a_call_has_no_parents_of_ours(at: float) -> None:
    """Given between turns or in the middle of one: LiveKit's spans there hang below LiveKit's, or are roots."""
    made, theirs = kit.plain(), kit.plain()

    async def script(call: Call) -> None:
        call.caller.says("one question", 1.0).says("another question", 6.0)
        session = call.session()
        await call.start(session)
        await call.until(at)
        telemetry.set_tracer_provider(theirs.provider)
        await call.until(11.0)
        await call.close(session)

    SCENARIOS["own"] = Scenario("own", "", script)
    try:
        outcomes = run_scenario(
            "own", before=lambda: livekit_otel.set_tracer_provider(made.provider, native_spans=False)
        )
    finally:
        del SCENARIOS["own"]
    assert tokens(made.spans) == sum(one.get("input_tokens", 0) for one in outcomes[0].usage)
    assert {"llm_request", "agent_turn"} <= {span.name for span in theirs.spans}
    ours = {span.context.span_id for span in made.spans if span.context is not None}
    assert not [span.name for span in theirs.spans if span.parent is not None and span.parent.span_id in ours]
