"""Bookkeeping stays small: few checkpoints, and still next to nothing is lost when a process is killed."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from livekit.agents import AgentSession, SessionUsageUpdatedEvent
from livekit.agents.metrics import AgentSessionUsage, VADMetrics
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

import livekit_otel
from livekit_otel import SpanRecord
from livekit_otel import attributes as attr
from livekit_otel.journal import JournalReader, JournalWriter, Recorder
from livekit_otel.journal.format import MAX_IDLE, Batch, Emitted, Idle, Usage
from livekit_otel.journal.restore import RestoredSession
from livekit_otel.spans import from_sdk
from tests.kit import clock
from tests.kit.run import Call, as_json, run_scenario
from tests.kit.trace import names, play, record, span_bytes, switch_off

#: seconds that an event may be missing after a kill: of what people say and do, of usage, and of what
#: happens while nobody says or does anything
SAID, USAGE, IDLE = 0.3, 1.0, 10.0
_LISTENING = {"stt_usage", "interruption_usage"}


def test_few_of_all_spans_are_checkpoints() -> None:
    """Over all scripted calls together, checkpoints are less than 15 % of the spans."""
    spans = [span for name in names() for span in record(name).pipeline]
    checkpoints = [span for span in spans if span.kind == attr.KIND_SESSION_CHECKPOINT]
    assert len(checkpoints) < 0.15 * len(spans)


# --- what a kill costs -----------------------------------------------------------------------------


class Emissions:
    """When a session emitted which event, and how long it may wait; when which span was exported."""

    def __init__(self) -> None:
        self.emitted: list[tuple[float, str, float, float]] = []
        self.exported: list[tuple[float, SpanRecord]] = []
        self._usage: list[Any] | None = None

    def emit(self, event: Any) -> None:
        self.emitted.append((clock.elapsed(), event.type, event.created_at, self._allowed(event)))

    def _allowed(self, event: Any) -> float:
        if event.type == "session_usage_updated":
            usage = [one.model_dump() for one in event.usage.model_usage]
            before = self._usage or []
            changed = {one["type"] for number, one in enumerate(usage) if one not in before[number : number + 1]}
            self._usage = usage
            return USAGE if changed - _LISTENING else IDLE
        return IDLE if event.type == "user_state_changed" and event.new_state == "speaking" else SAID


class _Exporter(SpanExporter):
    def __init__(self, emissions: Emissions) -> None:
        self._emissions = emissions

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._emissions.exported += [(clock.elapsed(), from_sdk(span)) for span in spans]
        return SpanExportResult.SUCCESS


@pytest.fixture
def emissions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emissions]:
    found = Emissions()

    class Logged(AgentSession[Any]):
        def emit(self, event: Any, arg: Any) -> None:
            if event != "metrics_collected":
                found.emit(arg)
            super().emit(event, arg)

    monkeypatch.setattr("tests.kit.run.AgentSession", Logged)
    yield found
    switch_off()


def _run(name: str, emissions: Emissions) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(_Exporter(emissions)))
    switch_off()
    run_scenario(name, lambda: livekit_otel.set_tracer_provider(provider, native_spans=False))


@pytest.mark.parametrize(
    "name",
    ["one_tool", "barge_in", "noise_is_no_turn", "few_words_and_a_reply_made_ahead", "realtime_conversation"],
)
def test_killed_at_any_moment(name: str, emissions: Emissions) -> None:
    """Whenever a call is killed, what was exported holds every event in order but the last ones: of these, words,
    messages, tools and states are at most 0.3 s old, usage 1 s, the rest 10 s."""
    _run(name, emissions)
    ends = [at for at, _, _, _ in emissions.emitted] + [at for at, _ in emissions.exported]
    moments = {at + more for at in ends for more in (-1e-6, 1e-6, SAID - 1e-3, SAID + 1e-3)}
    known = [(type_, created) for _, type_, created, _ in emissions.emitted]
    missing = 0
    for moment in sorted(moment for moment in moments if 0 < moment <= max(ends)):
        spans = [span for at, span in emissions.exported if at <= moment]
        reports = list(livekit_otel.build_reports(spans))
        told = as_json(reports[0].to_dict())["events"] if reports else []
        assert [(event["type"], event["created_at"]) for event in told] == known[: len(told)]
        lost = [one for one in emissions.emitted[len(told) :] if one[0] <= moment]
        assert all(moment - at <= allowed + 1e-6 for at, _, _, allowed in lost), (moment, lost)
        missing += len(lost)
    assert missing, "nothing ever waited"


async def _listens(call: Call, session: AgentSession[Any], first: int, last: int) -> None:
    """VAD reports every second, as it does whether anybody speaks or not."""
    for second in range(first, last):
        await call.until(second)
        assert session.vad is not None
        metrics = VADMetrics(
            label="kit", timestamp=time.time(), idle_time=0.0, inference_duration_total=0.01, inference_count=31
        )
        session.vad.emit("metrics_collected", metrics)


async def _silence(call: Call) -> None:
    """A greeting, and then half a minute in which nobody says anything."""
    session = call.session()
    await call.start(session)
    session.say("Hello.", allow_interruptions=False)
    await _listens(call, session, 2, 32)
    await call.close(session)


async def _hour(call: Call) -> None:
    """An hour in which the user asks something every fifteen seconds."""
    for number in range(240):
        call.caller.says(f"question number {number}", 1.0 + 15.0 * number, interim_after=None)
    session = call.session()
    await call.start(session)
    await _listens(call, session, 1, 3_600)
    await call.close(session)


@pytest.mark.slow
def test_an_hour_of_talk_is_less_than_six_megabytes() -> None:
    """240 exchanges in an hour: under 6 MB of spans as OTLP JSON, and less than 15 % of the spans are checkpoints."""
    trace = play(_hour)
    assert len(trace.of(attr.KIND_SESSION_CHECKPOINT)) < 0.15 * len(trace.pipeline)
    assert span_bytes(trace.text) < 6_000_000
    assert as_json(livekit_otel.build_report(trace.pipeline).to_dict())["events"] == trace.outcomes[0].report["events"]


def test_silence_costs_a_checkpoint_every_ten_seconds() -> None:
    """While nobody speaks, LiveKit emits a usage event a second: they need few checkpoints, and come back with their
    times."""
    trace = play(_silence)
    usage = [event for event in trace.outcomes[0].report["events"] if event["type"] == "session_usage_updated"]
    assert len(usage) > 30
    assert 2 <= len(trace.of(attr.KIND_SESSION_CHECKPOINT)) <= 3
    assert as_json(livekit_otel.build_report(trace.pipeline).to_dict())["events"] == trace.outcomes[0].report["events"]


def test_the_start_of_a_session_needs_no_checkpoint() -> None:
    """What a session emits while it starts travels on session.start."""
    (start,) = record("question_and_answer").of(attr.KIND_SESSION_START)
    reader = JournalReader()
    reader.add(start.attributes)
    kinds = [entry.event["type"] for entry in reader.entries(None)[0] if isinstance(entry, Emitted)]
    assert "agent_state_changed" in kinds


# --- the entry -------------------------------------------------------------------------------------


def _idle(created: float, **fields: Any) -> Idle:
    return Idle({"type": "session_usage_updated", "usage": None, "created_at": created, **fields}, [])


def test_one_entry_stands_for_many_events() -> None:
    """An entry of empty usage is as many events, each with its own time and the usage that is known by then."""
    idle = _idle(1.0, more="kept")
    idle.times += [2.0, 3.5]
    restored = RestoredSession()
    restored.play([[Batch(), Usage({"type": "session_usage_updated"}, []), idle]], gaps=False)
    assert [(e.get("created_at"), e.get("more")) for e in restored.events[1:]] == [
        (1.0, "kept"),
        (2.0, "kept"),
        (3.5, "kept"),
    ]
    assert len({id(event["usage"]["model_usage"]) for event in restored.events[1:]}) == 1


def test_an_entry_cannot_stand_for_more_than_a_session_emits() -> None:
    """More times than a writer puts in one entry are left out and counted; an event with too many fields is none."""
    many, wide = _idle(0.0), _idle(0.0, **{f"field_{n}": n for n in range(100)})
    many.times = [float(n) for n in range(100_000)]
    wide.times = [1.0]
    restored = RestoredSession()
    restored.play([[Batch(), many, wide]], gaps=False)
    assert (len(restored.events), restored.beyond, restored.unreadable) == (MAX_IDLE + 1, 1, 1)


def test_what_waits_is_bounded() -> None:
    """A session whose loop is never free to send anything keeps its empty usage in entries of at most 256 times."""

    class History:
        items: tuple[Any, ...] = ()

    writer = JournalWriter(content=True)
    recorder = Recorder(writer)
    for number in range(1_000):
        event = SessionUsageUpdatedEvent(usage=AgentSessionUsage(model_usage=[]), created_at=float(number))
        assert recorder.event(event, History()) == IDLE
    last = weakref.ref(event)
    del event
    gc.collect()
    assert last() is None, "events are not kept"
    reader = JournalReader()
    for attributes in writer.take():
        reader.add(attributes)
    entries = [entry for entry in reader.entries(1)[0] if isinstance(entry, Idle)]
    assert [1 + len(entry.times) for entry in entries] == [257, 257, 257, 229]
    assert [t for e in entries for t in (e.event["created_at"], *e.times)] == [float(n) for n in range(1_000)]
