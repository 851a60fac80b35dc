"""A secret in every field of every LiveKit object: where content is forbidden, none of it leaves the process."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from livekit.agents import Agent, AgentSession
from livekit.agents.metrics import ModelUsage
from livekit.agents.voice.agent_session import RecordingOptions
from livekit.agents.voice.events import MetricsCollectedEvent
from livekit.agents.voice.turn import PreemptiveGenerationOptions

import livekit_otel
from livekit_otel import attributes as attr
from livekit_otel import containment, privacy
from livekit_otel.journal.split import Splitter
from tests.kit import trace
from tests.kit.run import SCENARIOS, Call, Scenario, assert_same_report
from tests.kit.secrets import EVENTS, ITEMS, METRICS, Secrets, Stranger, kind_of, options

NAME = "a_secret_in_every_field"
WAYS = ["allow_pii", "environment", "redaction"]
_VARIANTS = range(5)


def script(secrets: Secrets, *, redaction: bool) -> Callable[[Call], Any]:
    """A session in which every kind of event and history item comes by, with a secret in each field."""

    async def play(call: Call) -> None:
        session = call.session()
        call.ctx.tagger.add(secrets.new("tag", content=True))
        agent = Agent(instructions=secrets.new("instructions", content=True))
        await session.start(agent, record={"redaction": True} if redaction else False)
        for variant in _VARIANTS:
            for model in EVENTS:
                if kind_of(model) != "close":
                    emit(session, secrets.fill(model, variant))
            for model in METRICS:
                emit(session, MetricsCollectedEvent(metrics=secrets.fill(model, variant)))  # type: ignore[arg-type]
            for model in ITEMS:
                session.history.items.append(secrets.fill(model, variant))  # type: ignore[arg-type]
            await asyncio.sleep(1)
        await call.close(session)

    return play


def emit(session: AgentSession[Any], event: Any) -> None:
    session.emit(event.type, event)


def attributes(secrets: Secrets) -> Callable[[Any, Any], dict[str, Any]]:
    secret = secrets.new("attribute", content=True)
    return lambda job, session: {attr.SESSION_ROOM: secret, "pii.user": secret}


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., trace.Trace]]:
    def run(secrets: Secrets, way: str, **arguments: Any) -> trace.Trace:
        monkeypatch.delenv("LIVEKIT_TELEMETRY_ALLOW_PII", raising=False)
        if way == "environment":
            monkeypatch.setenv("LIVEKIT_TELEMETRY_ALLOW_PII", "0")
        if way == "allow_pii":
            arguments["allow_pii"] = False
        monkeypatch.setitem(SCENARIOS, NAME, Scenario(NAME, "", script(secrets, redaction=way == "redaction")))
        return trace._record(NAME, False, arguments)

    yield run
    trace.switch_off()


@pytest.mark.parametrize("way", WAYS)
def test_no_secret_leaves(way: str, play: Callable[..., trace.Trace], caplog: pytest.LogCaptureFixture) -> None:
    """In each way of forbidding content, no content canary is in a span, in the exporter's file, in a log, or in the
    report that is made of them; what the table lets out is there."""
    secrets = Secrets()
    secret = secrets.new("metadata", content=True)
    with caplog.at_level(logging.DEBUG, "livekit_otel"):
        found = play(
            secrets, way, metadata={"pii.caller": secret, "team": "support"}, session_attributes=attributes(secrets)
        )
    rebuilt = json.dumps(livekit_otel.build_report(found.records).to_dict())
    assert found.of("session")[0].attributes["team"] == "support"
    for where in (found.text, caplog.text, rebuilt):
        assert [one for one in sorted(secrets.content) if one in where] == []
    shown = [one for one in secrets.shown if one in found.text]
    assert len(shown) > 0.5 * len(secrets.shown)
    assert found.of("session.end")[0].attributes[attr.SESSION_REDACTED] is True
    assert attr.SESSION_LOST not in found.of("session.end")[0].attributes


def test_all_of_it_comes_back_where_content_is_allowed(play: Callable[..., trace.Trace]) -> None:
    """With content allowed the rebuilt report is LiveKit's own, numbers and keys of payloads included, and what is
    content stands under content keys alone."""
    secrets = Secrets()
    found = play(secrets, "allowed")
    rebuilt = livekit_otel.build_report(found.records)
    assert rebuilt.warnings == []
    assert_same_report(rebuilt.to_dict(), found.outcomes[-1].report)
    text = json.dumps(
        [
            [name, value if isinstance(value, str | int | float | bool) else list(value)]
            for span in found.pipeline
            for name, value in span.attributes.items()
            if not attr.is_content(name)
        ]
    )
    assert [one for one in sorted(secrets.content) if one in text] == []


def test_a_session_attributes_callable_that_raises_says_nothing(
    play: Callable[..., trace.Trace], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log names where a user's callable raised and the type, never the message: it may quote what it was given."""
    secrets = Secrets()
    secret = secrets.new("message", content=True)

    def raising(job: Any, session: Any) -> dict[str, Any]:
        raise LookupError(secret)

    monkeypatch.setattr(containment, "_faults", Counter())
    play(secrets, "allowed", session_attributes=raising)
    assert "LookupError" in caplog.text
    assert "in raising" in caplog.text
    assert secret not in caplog.text


# --- the table -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("model", [*EVENTS, *ITEMS, *METRICS], ids=lambda model: str(model.__name__))
def test_every_field_is_in_the_table(model: Any) -> None:
    """The table marks every field of every event, history item and metrics object of the installed LiveKit."""
    assert set(model.model_fields) - set(privacy.OBJECTS[kind_of(model)]) == set()


def test_every_field_of_the_report_is_in_the_table() -> None:
    """The table marks every key of LiveKit's report, of its options and of a usage."""
    known = trace.record("question_and_answer").outcomes[0].report
    assert set(known) - set(privacy.REPORT.fields) == set()
    marked = privacy.REPORT.fields["options"]
    assert isinstance(marked, privacy.Shape)
    assert set(known["options"]) - set(marked.fields) == set()
    for name, kind in (
        ("recording_options", RecordingOptions),
        ("preemptive_generation", PreemptiveGenerationOptions),
    ):
        part = marked.fields[name]
        assert isinstance(part, privacy.Shape)
        assert set(kind.__annotations__) - set(part.fields) == set()
    for usage in options(ModelUsage):
        assert set(usage.model_fields) - set(privacy.MODEL_USAGE.fields) == set()


def test_an_error_from_a_strangers_object() -> None:
    """The repr of an error's source, and of an error that is no model of LiveKit's, is content."""
    secret = Stranger("hush")
    found: list[Any] = []
    event = {"type": "error", "error": repr(secret), "source": repr(secret), "created_at": 1.0}
    kept = Splitter().split(event, privacy.OBJECT, [1], found)
    assert kept == {"type": "error", "error": "", "source": "", "created_at": 1.0}
    assert found == [([1, "error"], repr(secret)), ([1, "source"], repr(secret))]


def test_a_field_that_is_not_in_the_table() -> None:
    """What a newer LiveKit adds is content, its name too, and comes back in its place."""
    found: list[Any] = []
    event = {"type": "user_state_changed", "old_state": "away", "mood": {"calm": 5}, "created_at": 1.0}
    kept = Splitter().split(event, privacy.OBJECT, [1], found)
    assert kept == {"type": "user_state_changed", "old_state": "away", "created_at": 1.0}
    assert found == [([1], event)]


def test_a_tool_that_a_model_made_up() -> None:
    """The name of a tool that was never registered is content, that of a registered one is not."""
    found: list[Any] = []
    splitter = Splitter(lambda name: name == "weather")
    for name, kept in (("weather", "weather"), ("call_mrs_miller", "")):
        item = {"id": "i", "type": "function_call", "name": name}
        assert splitter.split(item, privacy.OBJECT, [2], found)["name"] == kept
    assert found == [([2, "name"], "call_mrs_miller")]
