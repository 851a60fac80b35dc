"""Turns whose last words only announced an answer that never came, and what their spans say while they are open."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from livekit.agents import Agent, AgentTask, RunContext, function_tool

from livekit_otel import attributes as attr
from livekit_otel import build_report, containment
from livekit_otel.report.render_html import to_html
from livekit_otel.spans import SpanRecord

from .kit.clock import EPOCH
from .kit.realtime import Answer, FakeRealtimeModel, Step
from .kit.run import AHEAD, Call, ScenarioFunction
from .kit.trace import play, record
from .kit.voice import failure, last_text
from .scenarios.attribution import ANSWER
from .scenarios.waits import PREAMBLE, Desk, replies
from .turns_live import assert_live_equals_rebuilt


async def _asked(call: Call, reply: Any, *, until: float = 14.0, **changes: Any) -> None:
    session = call.session(reply, **changes)
    await call.start(session, Desk())
    await call.until(until)
    await call.close(session)


async def interrupted_by_code_while_a_tool_runs(call: Call) -> None:
    """Code interrupts after the preamble, while the tool runs."""
    call.caller.says("look please", 1.0).says("hello", 9.5)
    session = call.session(replies(PREAMBLE, tools=("six",)))
    await call.start(session, Desk())
    await call.until(4.2)
    session.interrupt()
    await call.until(14.0)
    await call.close(session)


async def interrupted_by_code_before_a_word(call: Call) -> None:
    """Code interrupts while the model thinks; the user speaks again six seconds later."""
    call.caller.says("look please", 1.0).says("hello", 9.0)
    session = call.session(replies(), llm_delay=5.0)
    await call.start(session, Desk())
    await call.until(3.0)
    session.interrupt()
    await call.until(18.0)
    await call.close(session)


async def model_fails_after_the_tool(call: Call) -> None:
    """The preamble is said, the tool works, and the model fails on its result."""
    call.caller.says("look please", 1.0)

    async def reply(stream: Any, items: list[Any]) -> None:
        if last_text(items) == "look please" and items[-1].type == "message":
            await stream.text(PREAMBLE)
            stream.call("six", "{}")
            stream.usage()
        else:
            raise failure("no quota", retryable=False)

    await _asked(call, reply)


async def spoken_to_while_a_realtime_tool_runs(call: Call) -> None:
    """A realtime model announces that it looks, and the user speaks again while its tool runs."""
    steps = [Step(1.0, "start"), Step(1.8, "stop"), Step(1.9, "transcript", "look please")]
    steps.append(Step(2.0, "answer", answer=Answer("Let me look", 1.0, call="six")))
    steps += [Step(4.5, "start"), Step(5.0, "stop"), Step(5.1, "transcript", "hello")]
    steps.append(Step(5.3, "answer", answer=Answer("Yes", 1.0)))
    model = FakeRealtimeModel(steps, reply=Answer("Found it"), truth=call.truth)
    detection = {"turn_detection": "realtime_llm"}
    session = call.session(llm=model, stt=None, vad=None, tts=None, turn_handling=detection)
    await call.start(session, Desk())
    await call.until(16.0)
    await call.close(session)


@pytest.mark.parametrize(
    ("script", "why", "gap"),
    [
        (interrupted_by_code_while_a_tool_runs, "interrupted", (3.02, 9.5)),
        (interrupted_by_code_before_a_word, "interrupted", (1.8, 9.0)),
        (model_fails_after_the_tool, "failed", (3.02, 8.5)),
        (spoken_to_while_a_realtime_tool_runs, "interrupted", (3.02, 4.5)),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_what_was_announced_never_came(script: ScenarioFunction, why: str, gap: tuple[float, float]) -> None:
    """Nobody was answered; the user waits until they speak again, or until the reply has failed."""
    spans = play(script).pipeline
    turn = build_report(spans).turns[0]
    assert (turn.answered, turn.why_not, turn.latency.answer_latency) == ("no", why, None)
    begin, end = turn.gaps[0].start_ns / 1e9 - EPOCH, turn.gaps[-1].end_ns / 1e9 - EPOCH
    assert (begin, end) == pytest.approx(gap, abs=1e-3)
    assert_live_equals_rebuilt(spans)


async def closed_while_a_preemptive_request_runs(call: Call) -> None:
    """The model is asked before the end of the turn is decided; code closes the session before it answers."""
    call.caller.says("look please", 1.0)
    delays = {"min_delay": 0.8, "max_delay": 1.5}
    session = call.session(llm_delay=3.0, turn_handling={**AHEAD, "endpointing": delays})
    await call.start(session, Desk())
    await call.until(3.5)
    await call.close(session)


def test_a_request_before_the_commit_waited_for_the_transcript() -> None:
    """Where the answer never came, the silence before a preemptive request is the transcript's, as where it came."""
    spans = play(closed_while_a_preemptive_request_runs).pipeline
    turn = build_report(spans).turns[0]
    (request,) = [one for one in turn.stages if one.kind == attr.KIND_LLM]
    (decision,) = [one for one in turn.stages if one.kind == attr.KIND_EOU]
    assert request.start_ns < decision.end_ns
    assert (turn.answered, turn.why_not) == ("no", "session_closed")
    (gap,) = turn.gaps
    assert [one.stage for one in gap.path] == ["transcription", "llm"]
    assert gap.path[0].end_ns == request.start_ns
    assert_live_equals_rebuilt(spans)


def _killed(records: list[SpanRecord]) -> list[SpanRecord]:
    """What a process leaves that is killed before its session ends."""
    return [one for one in records if one.kind not in (attr.KIND_SESSION, attr.KIND_SESSION_END)]


@pytest.mark.parametrize("name", ["speaks_while_a_tool_runs", "closed_while_a_tool_runs", "tool_outlives_its_turn"])
def test_an_open_turn_does_not_say_that_it_was_answered(name: str) -> None:
    """Words beside which a tool still ran are no answer: the turn's span says so, and no crash changes it."""
    records = record(name).pipeline
    (first,) = [one for one in records if one.kind == attr.KIND_TURN and one.attributes[attr.TURN_INDEX] == 0]
    assert first.attributes[attr.TURN_ANSWERED] == "no"
    assert attr.latency("answer_latency") not in first.attributes
    turn = build_report(_killed(records)).turns[0]
    assert (turn.answered, turn.latency.answer_latency) == ("no", None)
    assert turn.latency.e2e_latency is not None


def test_an_answer_that_came_is_on_the_span() -> None:
    """Where the answer follows its tool, or none runs, the turn's span says so itself."""
    for name in ("preamble_and_filler", "one_tool", "question_and_answer"):
        (turn,) = [one for one in record(name).pipeline if one.kind == attr.KIND_TURN]
        assert turn.attributes[attr.TURN_ANSWERED] == "yes"
        assert (
            turn.attributes[attr.latency("answer_latency")]
            == build_report(record(name).pipeline).turns[0].latency.answer_latency
        )


async def manual_turn_and_more_words(call: Call) -> None:
    """Push to talk: the user speaks on 0.3 s after the button was let go."""
    call.caller.says("forget it", 1.0).says("and more words", 2.6, 1.0)
    session = call.session(turn_handling={"turn_detection": "manual"})
    await call.start(session, Desk())
    for at in (2.3, 4.5):
        await call.until(at)
        await session.commit_user_turn(transcript_timeout=0.2)
    await call.until(10.0)
    await call.close(session)


def test_a_manual_commit_is_no_false_cutoff_live_either() -> None:
    """Live and rebuilt agree that a turn which the user's own button committed was not cut off by the agent."""
    spans = play(manual_turn_and_more_words).pipeline
    report = build_report(spans)
    assert (len(report.turns), report.false_cutoffs) == (2, 0)
    assert_live_equals_rebuilt(spans)


class Name(AgentTask[str]):
    """Has a tool that is named like one of its methods."""

    def __init__(self) -> None:
        super().__init__(instructions="Ask for the name.")

    async def on_enter(self) -> None:
        await self.session.say("What is your name?")

    @function_tool
    async def done(self, ctx: RunContext[Any]) -> None:  # type: ignore[override]
        """Takes the name."""
        self.complete("Ada")


class Clerk(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="Ask.")

    @function_tool
    async def ask(self, ctx: RunContext[Any]) -> str:
        """Asks for the name."""
        return str(await Name())


async def task_with_a_tool_named_done(call: Call) -> None:
    """A task whose tool is named like the method that says whether it is done."""
    call.caller.says("look please", 1.0).says("call me Ada", 6.0)

    async def reply(stream: Any, items: list[Any]) -> None:
        words = last_text(items) if items[-1].type == "message" else ""
        if "look" in words:
            stream.call("ask", "{}", "call_1")
        elif "Ada" in words:
            stream.call("done", "{}", "call_2")
        else:
            await stream.text(ANSWER)
        stream.usage()

    session = call.session(reply)
    await call.start(session, Clerk())
    await call.until(14.0)
    await asyncio.sleep(0)
    await call.close(session)


def test_a_tool_may_be_named_like_a_method_of_its_task() -> None:
    """Two turns, each with its own words, and no fault of ours."""
    before = containment.faults()
    report = build_report(play(task_with_a_tool_named_done).pipeline)
    assert containment.faults() == before
    assert [turn.user_text for turn in report.turns] == ["look please", "call me Ada"]
    assert [turn.answered for turn in report.turns] == ["yes", "yes"]


def test_stages_of_a_newer_version_are_shown_as_other() -> None:
    """A silence recorded for a stage that this version does not know counts, and every form can show it."""
    records = record("preamble_and_filler").pipeline
    kept = []
    for one in records:
        if one.kind == attr.KIND_TURN:
            gaps = {attr.TURN_GAPS: '[[1700000003.0,[["thinking",1.5],["tool",0.5]]]]'}
            one = msgspec.structs.replace(one, attributes={**one.attributes, **gaps})
        if one.kind not in (attr.KIND_PLAYBACK, attr.KIND_TTS):
            kept.append(one)
    report = build_report(kept)
    assert report.turns[0].gaps[0].stages == {"other": 1.5, "tool": 0.5}
    assert "dead air" in to_html(report)
