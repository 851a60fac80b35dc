"""TurnSpanProcessor: what it puts on which span, and that it never harms the call."""

from __future__ import annotations

import json
import logging
import sys
import threading
from typing import Any

import pytest

from livekit_otel import TurnSpanProcessor
from livekit_otel import attributes as attr
from livekit_otel.processor import live
from livekit_otel.processor.corrections import Corrections
from livekit_otel.turns.recorded import read_corrections

from .test_turns_session import answered
from .turns_kit import SESSION, Script, llm_metrics
from .turns_live import Live, assert_live_equals_rebuilt, told


def turn_span(records: list[Any], index: int = 0) -> dict[str, Any]:
    return next(dict(one.attributes) for one in records if one.attributes.get(attr.TURN_INDEX) == index)


def derived(attributes: dict[str, Any]) -> dict[str, Any]:
    known = {attr.TURN_INDEX, attr.TURN_HAS_USER}
    prefix = attr.TURN_PREFIX
    return {k.removeprefix(prefix): v for k, v in attributes.items() if k.startswith(prefix) and k not in known}


def test_a_turns_own_span_says_it_all() -> None:
    """When stages end before their turn, its span has every number, and nothing is corrected later."""
    script = Script()
    answered(script.turn(1.0, 9.0))
    records = Live().play(script.spans)
    assert derived(turn_span(records)) == {
        "latency.started_speaking_at": 1_800_000_001.0,
        "latency.stopped_speaking_at": 1_800_000_002.0,
        "latency.transcription_delay": 0.2,
        "latency.end_of_turn_delay": 0.5,
        "latency.on_user_turn_completed_delay": 0.1,
        "latency.llm_node_ttft": 0.3,
        "latency.llm_node_tps": 200.0,
        "latency.tts_node_ttfb": 0.5,
        "latency.playback_latency": 0.0,
        "latency.e2e_latency": 1.4,
        "latency.answer_latency": 1.4,
        "latency.dead_air": 0.0,
        "latency.wait": 1.4,
        "answered": "yes",
        "silence.transcription": 0.2,
        "silence.eou": 0.3,
        "silence.hook": 0.1,
        "silence.node": 0.0,
        "silence.llm": 0.3,
        "silence.tool": 0.0,
        "silence.tts": 0.5,
        "silence.playback": 0.0,
        "silence.other": 0.0,
        "usage.by_model": '[{"type":"llm_usage","provider":"openai","model":"gpt","input_tokens":100,'
        '"input_cached_tokens":40,"output_tokens":20},{"type":"tts_usage","provider":"cartesia","model":"voice",'
        '"characters_count":17,"audio_duration":0.3},{"type":"stt_usage","provider":"deepgram","model":"nova",'
        '"audio_duration":1.1}]',
        "usage.llm_input_tokens": 100,
        "usage.llm_input_cached_tokens": 40,
        "usage.llm_output_tokens": 20,
        "usage.tts_characters_count": 17,
        "usage.tts_audio_duration": 0.3,
        "usage.stt_audio_duration": 1.1,
    }
    assert read_corrections(records) == {}
    assert_live_equals_rebuilt(records)


def test_what_comes_late_is_told_later() -> None:
    """Usage after the turn, and notes on values that arrive with the turn's end, go out on the session's next span."""
    script = Script()
    turn = script.turn(1.0, 9.0, **{attr.reported("e2e_latency"): 9.0})  # type: ignore[arg-type]
    answered(turn)
    turn.llm(3.0, 30.0, 0.1, **llm_metrics(1_000, 1, 30.0))
    records = Live().play(script.spans)
    assert turn_span(records)[attr.derived("turn", "usage.llm_input_tokens")] == 100
    late = told(records)[0]
    assert late[attr.derived("turn", "usage.llm_input_tokens")] == 1_100
    assert late[attr.TURN_NOTES] == ("e2e_latency: LiveKit reported 9.000 s, the spans say 1.400 s",)
    assert_live_equals_rebuilt(records)


def test_a_tool_that_outlives_its_turn_is_known() -> None:
    """The answer to a progress update waited for the tool, and the turn's own span says so while the tool runs on."""
    script = Script()
    turn = script.turn(1.0, 9.0)
    turn.eou(2.0, 2.5)
    turn.llm(2.5, 3.0, 0.4)
    turn.tool(3.0, 15.0)
    turn.llm(4.0, 4.5, 0.4)
    turn.tts(4.4, 5.0, 0.2)
    turn.playback(4.6, 6.0)
    records = Live().play(script.spans)
    assert turn_span(records)[attr.silence("tool")] == 1.0
    assert read_corrections(records) == {}
    assert_live_equals_rebuilt(records)


def test_session_end_and_session_have_the_totals() -> None:
    """Turns, silence, usage and rate are on both; percentiles one by one on the session, together on session.end."""
    script = Script()
    for number in range(3):
        answered(script.turn(1.0 + 10 * number, 9.0 + 10 * number), at=2.0 + 10 * number)
    records = Live().play(script.spans)
    for kind in (attr.KIND_SESSION, attr.KIND_SESSION_END):
        found = next(one for one in records if one.kind == kind).attributes
        assert found[attr.SESSION_TURNS] == 3
        if kind == attr.KIND_SESSION:
            assert found[attr.session_latency("e2e_latency", "p50")] == 1.4
        else:
            assert json.loads(str(found[attr.SESSION_LATENCIES]))["e2e_latency"]["p50"] == 1.4
        assert found[attr.silence("tts", "session")] == 1.5
        assert found[attr.SESSION_INTERRUPTION_RATE] == 0.0
        assert found[attr.derived("session", "usage.llm_input_tokens")] == 300


def test_all_names_are_declared() -> None:
    """Every derived attribute is in the schema, with the type that it has."""
    script = Script()
    for verdict in ("interruption", "false_interruption", "backchannel"):
        turn = script.turn(1.0, 9.0, **{attr.reported("e2e_latency"): 9.0})  # type: ignore[arg-type]
        answered(turn)
        turn.verdict(4.0, 4.1, verdict)
        turn.llm(2.0, 2.1, 0.05, "P", **{attr.OUTCOME: "discarded"}, **llm_metrics(5, 5, 2.1))
    types = {"int": int, "double": float, "string": str, "string[]": tuple}
    records = Live().play(script.spans)
    merged = told(records)[0]
    for one in records:
        if one.kind in (attr.KIND_SESSION, attr.KIND_SESSION_END):
            merged.update(one.attributes)
    for name, value in merged.items():
        if not name.startswith(attr.TURN_LATE_PREFIX):
            assert isinstance(value, types[attr.REGISTRY[name].type]), name


def test_a_span_with_little_room_loses_nothing_of_its_own() -> None:
    """session.end with a full journal keeps all of its attributes: what does not fit is only on the session's span."""
    script = Script()
    answered(script.turn(1.0, 9.0))
    runner = Live()
    session = runner.open()
    journal = {attr.journal_piece(number, pii=False): "x" for number in range(110)}
    known = {attr.KIND: attr.KIND_SESSION_END, attr.SESSION_ID: "s", **journal}
    for record in script.spans[1:]:
        runner.start(record, session).end(record.end_ns)
    end = runner.tracer.start_span(attr.KIND_SESSION_END, attributes=known)
    end.end()
    session.end()
    found = {one.kind: one.attributes for one in runner.records}
    assert known.items() <= found[attr.KIND_SESSION_END].items()
    assert attr.session_latency("e2e_latency", "max") not in found[attr.KIND_SESSION_END]
    assert attr.SESSION_TURNS in found[attr.KIND_SESSION]


def test_sessions_do_not_mix() -> None:
    """Two sessions at once keep their own numbers."""
    runner = Live()
    sessions = {name: runner.open(name) for name in "ab"}
    for name, session in sessions.items():
        for _ in range(1 if name == "a" else 2):
            known = {attr.KIND: attr.KIND_TURN, attr.SESSION_ID: name, attr.TURN_INDEX: 0}
            script = Script()
            record = script.span(attr.KIND_TURN, 1.0, 2.0, None)
            runner.start(record, session, known).end()
    for name, session in sessions.items():
        runner.close(session, name)
    ends = [one for one in runner.records if one.kind == attr.KIND_SESSION_END]
    assert {one.attributes[attr.SESSION_ID]: one.attributes[attr.SESSION_TURNS] for one in ends} == {"a": 1, "b": 2}
    assert runner.processor._sessions == {}


def test_faults_are_contained(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A fault of ours reaches the log once per kind, by place and type and without its message, and nobody else."""
    said = "what somebody said"

    def broken(*_: Any) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(live.LiveSession, "stage_ended", broken)
    script = Script()
    answered(script.turn(1.0, 9.0))
    with caplog.at_level(logging.ERROR, logger="livekit_otel"):
        records = Live().play(script.spans)
    assert len(records) > 7
    (logged,) = [one.getMessage().splitlines() for one in caplog.records]
    first = "livekit_otel: turn processor, on_end failed; the call is not affected, this kind is logged once"
    assert logged[0] == first
    assert logged[-1] == "RuntimeError"
    assert said not in caplog.text


def test_foreign_spans_are_left_alone() -> None:
    """Spans of other scopes are neither kept nor changed."""
    runner = Live()
    runner.provider.get_tracer("other").start_span("turn", attributes={attr.SESSION_ID: "s"}).end()
    assert runner.processor._sessions == {}
    assert dict(runner.records[0].attributes) == {attr.SESSION_ID: "s"}


def test_spans_may_end_on_other_threads() -> None:
    """Stages that end on many threads at once are all counted."""
    runner = Live()
    session = runner.open()
    script = Script()
    turn = script.turn(1.0, 9.0)
    parent = runner.start(script.spans[0], session)

    def work(number: int) -> None:
        one = Script()
        for step in range(50):
            record = one.span(attr.KIND_LLM, 1.0, 2.0, turn.span_id, **llm_metrics(1, 1, number + step / 100))
            runner.start(record, parent).end()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    parent.end()
    runner.close(session)
    assert turn_span(runner.records)[attr.derived("turn", "usage.llm_input_tokens")] == 400


def test_nothing_grows_with_the_call() -> None:
    """After 500 and after 2,000 turns a session holds the same, and old turns are gone."""
    runner = Live()
    session = runner.open()
    sizes = []
    for index in range(2_000):
        script = Script()
        answered(script.turn(1.0, 9.0))
        parent = runner.start(script.spans[0], session, {**script.spans[0].attributes, attr.TURN_INDEX: index})
        for record in script.spans[1:]:
            runner.start(record, parent).end(record.end_ns)
        parent.end()
        runner.memory.clear()
        if index in (499, 1_999):
            sizes.append(_size(runner.processor._sessions["s"]))
    kept = runner.processor._sessions["s"]
    assert (len(kept.open), len(kept.kept)) == (0, live.KEPT_TURNS)
    # what is left to grow are the numbers kept for exact percentiles: eight bytes for each latency of a turn
    assert sizes[1] - sizes[0] < 1_500 * 8 * len(attr.SUMMARY_LATENCIES) * 1.3
    assert isinstance(runner.processor, TurnSpanProcessor)


def _size(root: Any) -> int:
    seen: set[int] = set()
    todo, total = [root], 0
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, type) or type(one).__module__.startswith("opentelemetry"):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        if isinstance(one, dict):
            todo += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set) or type(one).__name__ == "deque":
            todo += list(one)
        names = [*getattr(one, "__dict__", ()), *getattr(type(one), "__slots__", ())]
        todo += [getattr(one, name, None) for name in names]
        todo += [getattr(one, name, None) for name in getattr(type(one), "__struct_fields__", ())]
    return total


def test_corrections_are_bounded() -> None:
    """More corrections than fit are counted as lost, and each piece stays below the limit of backends."""
    corrections = Corrections()
    for index in range(Corrections.LIMIT + 10):
        corrections.add(index, {}, {attr.latency("e2e_latency"): 1.5})
    assert (len(corrections), corrections.lost) == (Corrections.LIMIT, 10)
    first = corrections.take(3)
    assert len(first) == 3
    assert all(len(str(piece).encode()) <= attr.MAX_VALUE_BYTES for piece in first.values())
    rest = corrections.take(1_000)
    assert len(corrections) == 0
    script = Script()
    for at, pieces in enumerate((first, rest)):
        script.span(attr.KIND_SESSION_CHECKPOINT, at, at, SESSION, **pieces)
    found = read_corrections(reversed(script.spans))
    assert found == {index: {attr.latency("e2e_latency"): 1.5} for index in range(Corrections.LIMIT)}
    assert corrections.take(5) == {}
