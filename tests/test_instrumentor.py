"""Switching on and off: options, idempotence, and every patched attribute back as it was."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import livekit_otel
from livekit_otel.instrumentation import livekit_names, patches
from livekit_otel.spans import from_sdk
from tests.kit import clock
from tests.kit.fields import fields_of
from tests.kit.run import run_scenario
from tests.kit.trace import switch_off


@pytest.fixture(autouse=True)
def _off() -> Any:
    switch_off()
    yield
    switch_off()


def user_messages(report: dict[str, Any]) -> int:
    return sum(item.get("role") == "user" for item in report["chat_history"]["items"])


def _subclasses(cls: type) -> list[type]:
    return [one for sub in cls.__subclasses__() for one in (sub, *_subclasses(sub))]  # type: ignore[var-annotated]


def _attributes() -> dict[tuple[str, str], Any]:
    """Every patched attribute as it stands in the class, or module, and in each subclass."""
    found: dict[tuple[str, str], Any] = {}
    for patch in patches.PATCHES:
        owner = getattr(importlib.import_module(patch.module), patch.cls)
        for one in (owner, *(_subclasses(owner) if isinstance(owner, type) else ())):
            found[repr(one), patch.name] = vars(one).get(patch.name)
    return found


def test_uninstrument_restores_the_very_objects() -> None:
    """After uninstrument every patched attribute is identical to what it was, also on subclasses; twice over."""
    import tests.scenarios  # noqa: F401  (defines subclasses)

    before = _attributes()
    for _ in range(2):
        livekit_otel.LiveKitInstrumentor().instrument()
        changed = {key for key, value in _attributes().items() if value is not before[key]}
        assert len(changed) == len(patches.PATCHES)
        livekit_otel.LiveKitInstrumentor().uninstrument()
        after = _attributes()
        assert all(after[key] is before[key] for key in before)


class Base:
    @classmethod
    def made(cls) -> str:
        return cls.__name__

    @staticmethod
    def fixed() -> str:
        return "fixed"


class Derived(Base):
    pass


def test_classmethods_and_what_subclasses_inherit_are_restored() -> None:
    """Class and static methods work while wrapped, and after it are the same objects; subclasses got no copies."""
    before = dict(vars(Base))
    called: list[str] = []

    def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        called.append(wrapped.__name__)
        return wrapped(*args, **kwargs)

    table = tuple(patches.Patch(__name__, "Base", name, wrapper) for name in ("made", "fixed"))
    for _ in range(2):
        applied = patches.apply(table)
        assert (Derived.made(), Derived().made(), Derived.fixed()) == ("Derived", "Derived", "fixed")
        patches.restore(applied)
        assert all(vars(Base)[name] is before[name] for name in before)
        assert not {"made", "fixed"} & vars(Derived).keys()
    assert called == ["made", "made", "fixed"] * 2
    assert Derived.made() == "Derived"


def test_a_wrapper_on_top_of_ours_stays() -> None:
    """Where somebody wrapped on top of us, uninstrument leaves that wrapper in place and ours does nothing."""
    from livekit.agents import AgentSession

    original = vars(AgentSession)["emit"]
    livekit_otel.LiveKitInstrumentor().instrument()
    ours = vars(AgentSession)["emit"]

    def on_top(self: Any, *args: Any) -> Any:
        return ours.__get__(self)(*args)

    AgentSession.emit = on_top  # type: ignore[method-assign,assignment]
    try:
        livekit_otel.LiveKitInstrumentor().uninstrument()
        assert vars(AgentSession)["emit"] is on_top
        assert run_scenario("greeting_by_say")[0].report["events"][-1]["type"] == "close"
    finally:
        AgentSession.emit = original  # type: ignore[method-assign]


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, name, _ in livekit_names.PRIVATE_NAMES])
def test_private_names_exist_in_the_installed_livekit(module: str, name: str) -> None:
    """Each private name that we touch is where we expect it."""
    target: Any = importlib.import_module(module)
    for part in name.split("."):
        target = getattr(target, part)
    assert target is not None


@pytest.mark.parametrize(("module", "cls", "name"), [field[:3] for field in livekit_names.FIELDS])
def test_private_fields_exist_in_the_installed_livekit(module: str, cls: str, name: str) -> None:
    """The code of each class whose private field we read sets it."""
    assert name in fields_of(getattr(importlib.import_module(module), cls))


def test_every_patch_of_a_private_name_is_in_the_table() -> None:
    """What we wrap is public, or listed with its reason."""
    listed = {(module, name) for module, name, _ in livekit_names.PRIVATE_NAMES}
    public = {"start", "emit", "generate_reply", "update_agent", "recognize", "__await__", "__anext__", "complete"}
    public |= {"make_session_report", "connect"}
    for patch in patches.PATCHES:
        assert patch.name in public or (patch.module, f"{patch.cls}.{patch.name}") in listed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"allow_pii": "yes"}, "allow_pii must be True, False or None, not 'yes'"),
        ({"metadata": ["a"]}, "metadata must be a mapping of attributes, not list"),
        ({"session_attributes": {}}, "session_attributes must be a callable"),
        ({"llm_input": "all"}, "llm_input must be one of delta, full, none, not 'all'"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    """A wrong option is one clear error, and nothing is instrumented."""
    with pytest.raises(livekit_otel.OptionError, match=message):
        livekit_otel.set_tracer_provider(TracerProvider(shutdown_on_exit=False), **options)
    assert not livekit_otel.LiveKitInstrumentor().is_instrumented_by_opentelemetry


def test_a_provider_must_be_one() -> None:
    """Something that is no TracerProvider is told so."""
    with pytest.raises(livekit_otel.OptionError, match="tracer_provider must be a TracerProvider, not str"):
        livekit_otel.set_tracer_provider("http://localhost:4318")  # type: ignore[arg-type]


def test_setting_the_same_provider_again_changes_nothing() -> None:
    """Called twice (module level and entrypoint), spans come once, with the metadata once."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))

    def twice() -> None:
        for _ in range(2):
            livekit_otel.set_tracer_provider(provider, metadata={"deployment": "blue"})

    run_scenario("greeting_by_say", before=twice)
    sessions = [span for span in memory.get_finished_spans() if span.name == "session"]
    assert len(sessions) == 1
    assert all((span.attributes or {}).get("deployment") == "blue" for span in memory.get_finished_spans())
    processors = provider._active_span_processor._span_processors
    assert len([one for one in processors if type(one).__name__ == "TurnSpanProcessor"]) == 1
    assert len([one for one in processors if type(one).__name__ == "_MetadataSpanProcessor"]) == 1


def test_session_attributes_are_asked_once_and_on_every_span() -> None:
    """The hook gets the job and the session, and may replace session.id; both of its names stay equal."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    asked: list[Any] = []

    def attributes(job: Any, session: Any) -> dict[str, Any]:
        asked.append((job.job.id, type(session).__name__))
        return {"session.id": "call-7", "user.id": "ada", "tags": ["a", "b"], "nothing": None}

    run_scenario(
        "question_and_answer",
        before=lambda: livekit_otel.set_tracer_provider(provider, native_spans=False, session_attributes=attributes),
    )
    assert asked == [("fake-job", "AgentSession")]
    spans = memory.get_finished_spans()
    assert spans
    for span in spans:
        found = span.attributes or {}
        assert found["session.id"] == found["gen_ai.conversation.id"] == "call-7"
        assert found["user.id"] == "ada"
        assert found["tags"] == ("a", "b")


def test_a_failing_hook_does_not_reach_the_agent(caplog: pytest.LogCaptureFixture) -> None:
    """A session_attributes hook that raises is logged, and the session is traced all the same."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))

    def broken(job: Any, session: Any) -> dict[str, Any]:
        raise RuntimeError("broken hook")

    outcome = run_scenario(
        "greeting_by_say",
        before=lambda: livekit_otel.set_tracer_provider(provider, native_spans=False, session_attributes=broken),
    )
    assert outcome[0].report["events"][-1]["type"] == "close"
    assert any(span.name == "session" for span in memory.get_finished_spans())
    assert "session_attributes failed and was contained" in caplog.text


def test_the_session_is_below_the_span_that_records() -> None:
    """Where a span records when start() is called, the session is its child; nothing of ours stays current."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("user")
    from tests.kit.run import SCENARIOS, Call

    async def nested(call: Call) -> None:
        with tracer.start_as_current_span("entrypoint"):
            await SCENARIOS["question_and_answer"].function(call)

    SCENARIOS["nested"] = type(SCENARIOS["question_and_answer"])("nested", "", nested)
    try:
        run_scenario("nested", before=lambda: livekit_otel.set_tracer_provider(provider, native_spans=False))
    finally:
        del SCENARIOS["nested"]
    spans = {span.name: span for span in memory.get_finished_spans()}
    assert spans["session"].parent is not None
    assert spans["session"].parent.span_id == spans["entrypoint"].context.span_id
    assert not trace.get_current_span().is_recording()


def test_sessions_that_run_during_an_uninstrument_end_cleanly() -> None:
    """Switched off in the middle of a call, the trace ends with session.end and the call goes on."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    from tests.kit.run import SCENARIOS, Call

    async def cut(call: Call) -> None:
        call.caller.says("first", 1.0).says("second", 6.0)
        session = call.session()
        await call.start(session)
        await call.until(5.0)
        livekit_otel.LiveKitInstrumentor().uninstrument()
        await call.until(11.0)
        await call.close(session)

    SCENARIOS["cut"] = type(SCENARIOS["question_and_answer"])("cut", "", cut)
    try:
        outcomes = run_scenario("cut", before=lambda: livekit_otel.set_tracer_provider(provider, native_spans=False))
    finally:
        del SCENARIOS["cut"]
    names = [span.name for span in memory.get_finished_spans()]
    assert names[-2:] == ["session.end", "session"]
    assert names.count("turn") == 1
    assert user_messages(outcomes[0].report) == 2


def test_sessions_that_outlive_two_switches_are_left_alone() -> None:
    """Switched off and on again in the middle of a call, its trace stays ended; the next session is traced as ever."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    from tests.kit.run import SCENARIOS, Call

    async def switched(call: Call) -> None:
        call.caller.says("first", 1.0).says("second", 6.0).says("third", 13.0)
        session = call.session()
        await call.start(session)
        await call.until(5.0)
        livekit_otel.LiveKitInstrumentor().uninstrument()
        livekit_otel.set_tracer_provider(provider, native_spans=False)
        await call.until(11.0)
        await call.close(session)
        session = call.session()
        await call.start(session)
        await call.until(18.0)
        await call.close(session)

    SCENARIOS["switched"] = type(SCENARIOS["question_and_answer"])("switched", "", switched)
    try:
        outcomes = run_scenario(
            "switched", before=lambda: livekit_otel.set_tracer_provider(provider, native_spans=False)
        )
    finally:
        del SCENARIOS["switched"]
    assert [user_messages(outcome.report) for outcome in outcomes] == [2, 1]
    first, second = sorted(
        livekit_otel.build_reports(from_sdk(span) for span in memory.get_finished_spans()),
        key=lambda report: report.started_at or 0.0,
    )
    ended = "the instrumentation was switched off while it ran; what happened after is unknown"
    assert (len(first.turns), first.complete) == (1, False)
    assert first.warnings == [f"the trace ended before LiveKit closed the session: {ended}"]
    assert (len(second.turns), second.complete, second.warnings) == (1, True, [])
    assert len(first.spans) + len(second.spans) == len(memory.get_finished_spans())


def test_without_a_provider_nothing_is_recorded() -> None:
    """instrument() without any provider set costs nothing and harms nothing."""
    livekit_otel.LiveKitInstrumentor().instrument()
    assert user_messages(run_scenario("question_and_answer")[0].report) == 1
    assert clock.EPOCH
