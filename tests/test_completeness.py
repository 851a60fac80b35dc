"""``complete`` means that nothing is known to be missing: what is missing is a warning, and each cause is named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from livekit.agents import Agent, AgentSession, llm
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import livekit_otel
from livekit_otel import attributes as attr
from livekit_otel.instrumentation import closing, registry
from livekit_otel.instrumentation.clock import SessionClock
from livekit_otel.instrumentation.hooks import session as session_hooks
from livekit_otel.journal import JournalWriter
from livekit_otel.journal.format import Emitted
from livekit_otel.readers.base import Problem
from livekit_otel.report import build_report
from livekit_otel.spans import SpanRecord, from_sdk
from tests import report_kit as kit
from tests.kit import clock
from tests.kit.run import as_json
from tests.kit.trace import switch_off
from tests.kit.voice import FakeLLM

CLOSE = "the trace ended before LiveKit closed the session"


async def _answer(stream: Any, items: list[Any]) -> None:
    await stream.text("an answer")


def text_session() -> AgentSession[None]:
    return AgentSession(llm=FakeLLM(_answer), vad=None, turn_handling={"turn_detection": None})


def play(main: Callable[[], Any], limits: SpanLimits | None = None, **options: Any) -> list[SpanRecord]:
    """The spans of what ``main`` does while every session is traced."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False, span_limits=limits)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    switch_off()
    livekit_otel.set_tracer_provider(provider, native_spans=False, **options)
    try:
        clock.run(main())
    finally:
        switch_off()
    return [from_sdk(span) for span in exporter.get_finished_spans()]


async def _eight_seconds() -> AgentSession[None]:
    session = text_session()
    await session.start(Agent(instructions="Answer."))
    await session.run(user_input="a question")
    await asyncio.sleep(8)
    return session


async def _switched_off() -> None:
    session = await _eight_seconds()
    livekit_otel.LiveKitInstrumentor().uninstrument()
    await session.aclose()


async def _process_ends() -> None:
    session = await _eight_seconds()
    closing.finish_open()
    await session.aclose()


async def _fails_to_start() -> None:
    with pytest.raises(AttributeError):
        await text_session().start(Agent(instructions="Answer."), room=object())  # type: ignore[call-overload]


async def _collected() -> None:
    """LiveKit's tasks and callbacks hold a session that runs: what runs when it has gone is called as it is then."""
    session = await _eight_seconds()
    state = registry.of(session)
    assert state is not None
    session_hooks._dropped(state)
    await session.aclose()


@pytest.mark.parametrize(
    ("main", "why"),
    [
        (_switched_off, "the instrumentation was switched off while it ran"),
        (_process_ends, "the process ended"),
        (_fails_to_start, "AgentSession.start() failed"),
        (_collected, "the session was garbage-collected"),
    ],
)
def test_an_end_without_a_close_is_not_complete(main: Callable[[], Any], why: str) -> None:
    """A trace that ends before LiveKit's close event is not complete, and says what ended it."""
    report = build_report(play(main))
    assert report.warnings == [f"{CLOSE}: {why}; what happened after is unknown"]
    assert not report.complete


@pytest.mark.parametrize("kept", [None, attr.KIND_SESSION_END, attr.KIND_SESSION])
def test_a_call_that_broke_off_lasted_until_its_last_span(kept: str | None) -> None:
    """Without a final head the duration is that of what is known, not that of the head that the start wrote."""
    spans = play(_process_ends)
    end = next(span for span in spans if span.kind == attr.KIND_SESSION_END)
    before = [span for span in spans if span.end_ns < end.start_ns]
    report = build_report([*before, *(span for span in spans if span.kind == kept)])
    shown = report.to_dict()
    first = _heads(spans)[0]
    assert first["duration_ms"] == 0
    assert shown["timestamp"] == report.ended_at == max(span.end_ns for span in report.spans) / 1e9
    assert shown["duration_ms"] == pytest.approx(8_200 if kept else 200, abs=50)


def _heads(spans: list[SpanRecord]) -> list[dict[str, Any]]:
    pieces = [
        str(value) for span in spans for name, value in span.attributes.items() if name.startswith(attr.JOURNAL_PREFIX)
    ]
    return [e[1] for piece in pieces for e in json.loads(piece.partition("|")[2]) if e[0] == "h"]


def test_a_closed_call_is_complete() -> None:
    """A session that LiveKit closed has no warnings, and its end says who ended it."""

    async def main() -> None:
        await (await _eight_seconds()).aclose()

    spans = play(main)
    report = build_report(spans)
    assert (report.complete, report.warnings) == (True, [])
    ends = [span.attributes[attr.SESSION_ENDED_BY] for span in spans if span.kind == attr.KIND_SESSION_END]
    assert ends == [attr.ENDED_CLOSE]


# --- stored traces ---------------------------------------------------------------------------------
def test_dropped_attributes_are_a_loss() -> None:
    """A span that lost attributes to a limit makes the report incomplete, whatever else is whole; OTLP JSON says it."""
    spans = kit.call().spans
    document = kit.document(spans)
    told = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    for count, expected in (
        (3, 3),
        ("2", 2),
        (0, 0),
        (None, 0),
        (-1, 0),
        ("many", 0),
        ([1], 0),
        (1e999, 0),
        (2**80, 0),
    ):
        told[4]["droppedAttributesCount"] = count
        report = build_report(_read(document))
        assert len(report.spans) == len(spans)
        assert [one for one in report.warnings if "dropped" in one] == (
            [
                f"{expected} attributes of 1 spans were dropped by a limit of the SDK: "
                "raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT, or record fewer session attributes"
            ]
            if expected
            else []
        )
        assert report.complete == (not expected)


def _read(document: dict[str, Any]) -> list[SpanRecord]:
    from livekit_otel.otlp.decode import records
    from livekit_otel.otlp.message import decode_message

    found = decode_message(json.dumps(document).replace("Infinity", "1e999").encode())
    return list(records(found, all_scopes=False, complain=lambda reason: pytest.fail(reason)))


def _without_heads(spans: list[dict[str, Any]], *, last_only: bool) -> list[dict[str, Any]]:
    """The journal as if a head could not be made."""
    heads = [s for s in spans if s["name"] in (["session.end"] if last_only else ["session.start", "session.end"])]
    for span in heads:
        for name, value in list(span["attributes"].items()):
            if name.startswith(attr.JOURNAL_PREFIX):
                place, _, payload = value.partition("|")
                rest = json.dumps([one for one in json.loads(payload) if one[0] != "h"])
                span["attributes"][name] = f"{place.rpartition('.')[0]}.{len(rest)}|{rest}"
    return spans


@pytest.mark.parametrize(
    ("last_only", "warning"),
    [
        (False, "the report's head is missing: options, tags and the like are unknown"),
        (True, "the final head is missing: tags, options and the recording's path are as the session began"),
    ],
)
def test_a_missing_head_is_a_loss(last_only: bool, warning: str) -> None:
    """Without its head, the first or the final one, a report is not complete."""
    report = build_report(kit.records(_without_heads(kit.Call(content=False).close().spans, last_only=last_only)))
    assert [one for one in report.warnings if "redacted" not in one] == [warning]
    assert not report.complete


def test_notes_are_no_losses() -> None:
    """Redaction, a step of the clock, and what a reader skipped elsewhere are warnings of a report that is complete."""
    spans = kit.call(content=False).spans
    spans[-2]["attributes"]["livekit_otel.session.clock_step"] = -86_400.0

    class Source(list[SpanRecord]):
        problems = (Problem("file.jsonl", 3, "not JSON"),)

    report = build_report(Source(kit.records(spans)))
    assert [one.loss for one in report.findings] == [False] * 3
    assert report.warnings[1].startswith("the wall clock was set back by 86,400.000 s during the call")
    assert report.complete


@pytest.mark.parametrize("how", ["nothing else", "session", "dropped", "problem"])
def test_the_process_died_only_when_nothing_else_explains_it(how: str) -> None:
    """A missing session.end is put down to a death only where no other cause is seen."""
    call = kit.call()
    lost = {"session.end"} if how == "session" else {"session.end", "session"}
    records = kit.records([span for span in call.spans if span["name"] not in lost])
    if how == "dropped":
        records[2] = msgspec.structs.replace(records[2], dropped_attributes=9)

    class Source(list[SpanRecord]):
        problems = (Problem("file.jsonl", 3, "not JSON"),) if how == "problem" else ()

    report = build_report(Source(records))
    assert not report.complete
    assert ("the process died" in report.warnings[0]) == (how == "nothing else")


def test_a_newer_version_only_when_nothing_else_explains_it() -> None:
    """Entries that make no sense in a damaged journal are put down to the damage."""
    call = kit.call()
    call.correct("zz", 1)
    call.flush(call.span("session.checkpoint"))
    damaged = kit.records([span for number, span in enumerate(call.spans) if number != 1])
    whole = build_report(kit.records(call.spans)).warnings
    assert "1 journal entries could not be understood: written by a newer version?" in whole
    dropped = kit.records(call.spans)
    dropped[2] = msgspec.structs.replace(dropped[2], dropped_attributes=9)
    masked = kit.records(call.spans)
    masked[2] = msgspec.structs.replace(masked[2], attributes={**masked[2].attributes, attr.BACKEND_SESSION_ID: "****"})
    for records in (damaged, dropped, masked):
        assert "1 journal entries could not be understood" in build_report(records).warnings


def test_an_event_that_cannot_be_serialised_is_told_as_such() -> None:
    """The report of a session with such an event is not complete, and does not call it too large."""

    class Event:
        type = "error"
        created_at = 1.0

        def model_dump(self, **_: Any) -> Any:
            raise RuntimeError("an event whose dump fails")

    async def main() -> None:
        session = await _eight_seconds()
        session.emit("error", Event())  # type: ignore[arg-type]
        await session.aclose()

    report = build_report(play(main))
    lost = "1 journal entries were dropped within the process: they could not be written as JSON"
    assert [one for one in report.warnings if "dropped" in one] == [lost]
    assert not report.complete


def test_usage_that_no_session_has_is_a_loss() -> None:
    """Usage beyond the limits of a session is left out of a report, which says so and is not complete."""
    call = kit.call()
    call.correct("u", {"type": "session_usage_updated", "created_at": 1.0, "usage": None}, [[20_000_000, {}]])
    call.flush(call.span("session.checkpoint"))
    report = build_report(kit.records(call.spans))
    assert "1 entries of usage were left out: beyond the limits of a session" in report.warnings
    assert not report.complete


def test_a_schema_that_is_newer_than_the_reader_is_a_loss() -> None:
    """A trace that a newer version wrote is never complete, and the first warning says why; 1 and 2 are known."""
    assert {1, 2} == set(attr.SCHEMAS)
    for schema in (1, 2, 3, "3"):
        call = kit.call()
        call.spans[-1]["attributes"][attr.SCHEMA] = schema
        report = build_report(kit.records(call.spans))
        assert report.complete == (schema in attr.SCHEMAS)
        said = "the trace has schema 3, and this version reads up to 2: what is new in it is missing here; "
        assert [one for one in report.warnings if "schema" in one] == [f"{said}update livekit-otel"] * (
            not report.complete
        )


def test_what_cannot_be_serialised_is_not_too_large() -> None:
    """The journal counts entries that could not be made or encoded apart from those above its limit."""
    writer = JournalWriter(content=True)

    def broken() -> Any:
        raise RuntimeError("an event whose dump fails")

    writer.later(broken)
    writer.add(Emitted({"type": "function_tools_executed", "function_calls": [{"arguments": "x" * 5_000_000}]}))
    writer.add(Emitted({"type": "close"}))
    writer.take()
    assert (writer.failed, writer.too_large) == (1, 1)


# --- one item twice --------------------------------------------------------------------------------
def _message(text: str, at: float, **fields: Any) -> llm.ChatMessage:
    return llm.ChatMessage(role="user", content=[text], created_at=at, **fields)


def _same_twice(session: AgentSession[None]) -> None:
    one = _message("again", 1.0)
    session.history.items.extend([one, _message("between", 2.0), one])


def _same_id(session: AgentSession[None]) -> None:
    session.history.items.extend([_message("first", 1.0, id="x"), _message("second", 2.0, id="x"), _message("y", 3.0)])


def _three_in_a_row(session: AgentSession[None]) -> None:
    one = _message("again", 3.0)
    session.history.items[:] = [one, one, *session.history.items, _message("other", 1.0, id=one.id), one]


def _all_of_it_twice(session: AgentSession[None]) -> None:
    session.history.items.extend(list(session.history.items))


@pytest.mark.parametrize("change", [_same_twice, _same_id, _three_in_a_row, _all_of_it_twice])
@pytest.mark.parametrize("later", [False, True])
def test_an_item_that_the_history_holds_twice(change: Callable[[AgentSession[None]], None], later: bool) -> None:
    """All items come back in order, also where several have one id, be they one object or several."""
    theirs: list[dict[str, Any]] = []

    async def main() -> None:
        session = text_session()
        await session.start(Agent(instructions="Answer."))
        await session.run(user_input="a question")
        change(session)
        if later:
            await session.run(user_input="another question")
        theirs.extend(session.history.to_dict(exclude_timestamp=False)["items"])
        await session.aclose()

    report = build_report(play(main))
    assert report.history == as_json({"items": theirs})["items"]
    assert (report.complete, report.warnings) == (True, [])


# --- the clock -------------------------------------------------------------------------------------
@pytest.mark.parametrize(("step", "said"), [(0.04, None), (-0.04, None), (0.06, "ahead"), (-3600.0, "back")])
def test_a_step_of_the_wall_clock_is_a_note(step: float, said: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step over 50 ms is on session.end and in the warnings of a report that is complete all the same."""

    async def main() -> None:
        session = await _eight_seconds()
        monkeypatch.setattr(SessionClock, "step_ns", property(lambda self: round(step * 1e9)))
        await session.aclose()

    spans = play(main)
    end = next(span for span in spans if span.kind == attr.KIND_SESSION_END)
    report = build_report(spans)
    assert end.attributes.get(attr.SESSION_CLOCK_STEP) == (step if said else None)
    assert [f"set {said} by" in one for one in report.warnings] == ([True] if said else [])
    assert report.complete


@pytest.mark.parametrize("lost", range(3))
def test_a_journal_with_a_gap_is_not_complete(lost: int) -> None:
    """Where only a piece of the journal is gone, with every span and its count there, something is missing."""

    async def main() -> None:
        await (await _eight_seconds()).aclose()

    spans = play(main)
    carriers = [n for n, span in enumerate(spans) if any(map(_is_piece, span.attributes))]
    at = carriers[lost % len(carriers)]
    kept = {name: value for name, value in spans[at].attributes.items() if not _is_piece(name)}
    spans[at] = msgspec.structs.replace(spans[at], attributes=kept)
    report = build_report(spans)
    assert not report.complete
    assert {warning.loss for warning in report.findings if "journal" in warning.message} == {True}
    assert any("journal" in warning for warning in report.warnings)


def _is_piece(name: str) -> bool:
    return name.startswith((attr.JOURNAL_PREFIX, attr.PII_JOURNAL_PREFIX))
