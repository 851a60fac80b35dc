"""What users give for every span: it never replaces what the library says itself."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import livekit_otel
from livekit_otel import attributes as attr
from livekit_otel.instrumentation import users_attributes
from livekit_otel.spans import from_sdk
from tests.kit.run import assert_same_report, run_scenario
from tests.kit.trace import switch_off

#: names of ours, of the schema, and what backends would sum over every span
REFUSED = {
    "livekit_otel.kind": "turn",
    "livekit_otel.schema": 99,
    "livekit_otel.session.id": "mine",
    "livekit_otel.journal.p000": "0.0.1.2|[]",
    "livekit_otel.made_up": 1,
    "livekit_otel": "x",
    "gen_ai.operation.name": "chat",
    "gen_ai.agent.name": "me",
    "gen_ai.usage.input_tokens": 1_000,
    "gen_ai.usage.cost": 3.5,
    "openinference.span.kind": "LLM",
    "error.type": "x",
    "": "nameless",
}
TAKEN = {
    "session.id": "call-7",
    "user.id": "ada",
    "deployment": "blue",
    "gen_ai.agent.version": "3",
    "livekit_otelx": 1,
}


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("option", ["metadata", "session_attributes"])
def test_the_schema_is_the_librarys(
    option: str, native: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No name of the schema can be overwritten, which is logged once for all; the user's own are on every span."""
    monkeypatch.setattr(users_attributes, "_refused", set())
    memory, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    given: dict[str, Any] = {**REFUSED, **TAKEN}
    value: Any = given if option == "metadata" else lambda job, session: given
    switch_off()
    try:
        outcomes = run_scenario(
            "question_and_answer",
            before=lambda: livekit_otel.set_tracer_provider(provider, native_spans=native, **{option: value}),
        )
    finally:
        switch_off()
    records = [from_sdk(span) for span in memory.get_finished_spans()]
    ours = [record for record in records if record.scope == attr.SCOPE]
    for record in ours:
        assert record.kind == record.name
        assert record.attributes[attr.SCHEMA] == attr.SCHEMA_VERSION
        assert {name: record.attributes[name] for name in TAKEN} == TAKEN
        assert record.attributes[attr.CONVERSATION_ID] == "call-7"
        assert not {"livekit_otel.made_up", "gen_ai.usage.cost", "livekit_otel", ""} & record.attributes.keys()
    assert {record.attributes.get(attr.OPERATION_NAME) for record in ours} >= {"invoke_workflow", "chat", None}
    report = livekit_otel.build_report(records)
    assert (report.complete, report.warnings) == (True, [])
    assert_same_report(report.to_dict(), outcomes[0].report)
    assert [one.getMessage().partition(";")[0] for one in caplog.records if "cannot set" in one.getMessage()] == [
        f"livekit_otel: {option} cannot set {', '.join(map(repr, REFUSED))}: these names are reserved for livekit_otel"
    ]
