"""Tools, hooks and typed input: work that continues while something else is said belongs to the turn that began it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from livekit.agents import Agent, RunContext, function_tool
from livekit.agents.llm import ChatContext

from livekit_otel import attributes as attr
from livekit_otel import build_report
from livekit_otel.turns.model_usage import LLMUsage

from .kit.clock import EPOCH
from .kit.run import AHEAD, CANARY, INSTRUCTIONS, Call, ScenarioFunction
from .kit.story import Line, script_name, story_of
from .kit.trace import play, record
from .kit.voice import FakeLLM
from .scenarios.attribution import ANSWER, Helper, calls
from .scenarios.failures import fails
from .scenarios.interruptions import LONG, long_reply
from .scenarios.turns import Hooked

DONE = "completed"
LOOKING = "Let me look this up for you, it takes a while, please wait for it."


async def _talk(call: Call, reply: Any, agent: Agent, *, until: float = 16.0, **changes: Any) -> None:
    session = call.session(reply, **changes)
    await call.start(session, agent)
    await call.until(until)
    await call.close(session)


async def typed_twice(call: Call) -> None:
    """The user writes twice before the first answer is heard: the second one waits for it."""
    session = call.session(long_reply)
    await call.start(session)
    await call.until(1.0)
    session.generate_reply(user_input="first")
    await call.until(1.05)
    session.generate_reply(user_input="second")
    await call.until(16.0)
    await call.close(session)


async def typed_while_a_tool_runs(call: Call) -> None:
    """The user writes while a tool runs, which interrupts nothing: the tool's answer is said later."""
    call.caller.says("slow one please", 1.0)
    session = call.session(calls("Let me look.", slow="slow"))
    await call.start(session, Helper())
    await call.until(4.0)
    session.generate_reply(user_input="written")
    await call.until(16.0)
    await call.close(session)


class Worker(Agent):
    def __init__(self) -> None:
        super().__init__(instructions=INSTRUCTIONS)

    @function_tool
    async def late(self, ctx: RunContext[Any]) -> None:
        """Goes to the background, and says what came of it while another question is being answered."""
        await ctx.update("started")
        await asyncio.sleep(4.6)
        self.session.say("The tool is done now.")

    @function_tool
    async def asking(self, ctx: RunContext[Any]) -> str:
        """Asks its own model, which fails."""
        try:
            await _ask(FakeLLM(fails(99, retryable=False), model="own-llm"))
        except Exception:
            return "no summary"
        return "a summary"

    @function_tool
    async def quiet(self, ctx: RunContext[Any]) -> None:
        """Works for five seconds, and has nothing to say."""
        await asyncio.sleep(5.0)

    @function_tool
    async def speaking(self, ctx: RunContext[Any]) -> None:
        """Asks its own model, which fails, and says something all the same."""
        try:
            await _ask(FakeLLM(fails(99, retryable=False), model="own-llm"))
        except Exception:
            await self.session.say("It works without.")


async def _aside(stream: Any, items: list[Any]) -> None:
    await stream.text("an aside")
    stream.usage(100, 10)


async def _ask(model: FakeLLM) -> None:
    notes = ChatContext.empty()
    notes.add_message(role="user", content="summarise")
    await model.chat(chat_ctx=notes).collect()


async def outlived_tool_speaks_after_the_next_answer(call: Call) -> None:
    """A tool of an earlier turn says something while the next turn's answer is heard."""
    call.caller.says("the late one please", 1.0).says("another question", 5.0)
    await _talk(call, calls(late="late"), Worker())


async def barge_in_over_a_preamble(call: Call) -> None:
    """The user cuts off what is said while a tool runs; the tool runs on."""
    call.caller.says("slow one please", 1.0).says("stop it please now", 2.2, interim_after=None)
    await _talk(call, calls(LOOKING, slow="slow"), Helper())


async def noise_before_a_deferred_reply(call: Call) -> None:
    """A tool is done while something is heard: its result is said when that is over."""
    call.caller.says("progress please", 1.0).noise(5.9, 1.5)
    await _talk(call, calls(progress="progress"), Helper())


async def hum_while_a_tool_runs(call: Call) -> None:
    """The user says a mere "hm" while a tool runs: LiveKit holds the answer to it until the tool is done."""
    call.caller.says("slow one please", 1.0).says("hm", 5.0, 0.3)
    await _talk(call, calls("Let me look.", slow="slow"), Helper())


async def words_of_code_while_the_model_thinks(call: Call) -> None:
    """Code outside of any speech says something while the answer is being made."""
    call.caller.says("hello", 1.0)
    session = call.session(llm_delay=3.0)
    await call.start(session)
    await call.until(2.6)
    session.say("One moment.")
    await call.until(12.0)
    await call.close(session)


async def asked_once_more_by_code(call: Call) -> None:
    """The model fails, and code asks for another answer."""
    call.caller.says("hello", 1.0)
    session = call.session(fails(1, retryable=False))
    session.on("error", lambda _: session.generate_reply() and None)
    await call.start(session)
    await call.until(12.0)
    await call.close(session)


async def closed_during_the_hook(call: Call) -> None:
    """The session is closed while ``on_user_turn_completed`` works, for which LiveKit waits."""
    call.caller.says("hello", 1.0)
    await _talk(call, None, Hooked(4.0), until=3.0)


async def closed_by_who_takes_long_to_leave(call: Call) -> None:
    """The session is closed while the agent speaks, and its ``on_exit`` takes two seconds."""

    class Leaver(Agent):
        async def on_exit(self) -> None:
            await asyncio.sleep(2.0)

    call.caller.says("hello", 1.0)
    await _talk(call, long_reply, Leaver(instructions=INSTRUCTIONS), until=4.0)


class Failing(Agent):
    """Its hook raises, after it has said ``words``."""

    def __init__(self, words: str = "") -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self.words = words

    async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
        await asyncio.sleep(0.3)
        if new_message.text_content == "fine":
            return
        if self.words:
            await self.session.say(self.words)
        raise ValueError("no such customer")


async def hook_raises(call: Call) -> None:
    """The hook raises: LiveKit answers nothing, and continues."""
    call.caller.says("hello", 1.0).says("fine", 6.0)
    await _talk(call, None, Failing())


async def hook_raises_after_words(call: Call) -> None:
    """The hook says something, and then raises."""
    call.caller.says("hello", 1.0)
    await _talk(call, None, Failing("Let me see."))


async def hook_raises_over_a_reply_made_ahead(call: Call) -> None:
    """An answer was made ahead, and the hook raises: nobody hears it."""
    call.caller.says("hello", 1.0).says("fine", 6.0)
    await _talk(call, None, Failing(), turn_handling=AHEAD)


async def hook_with_a_model_of_its_own(call: Call) -> None:
    """The hook asks another model than the session's."""

    class Asking(Agent):
        async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
            await _ask(FakeLLM(_aside, model="own-llm", delay=1.0))

    call.caller.says("hello", 1.0)
    await _talk(call, None, Asking(instructions=INSTRUCTIONS))


async def tool_whose_own_model_fails(call: Call) -> None:
    """A tool asks its own model, which fails; the tool continues without it."""
    call.caller.says("asking please", 1.0)
    await _talk(call, calls(asking="asking"), Worker())


async def tool_that_speaks_without_its_model(call: Call) -> None:
    """The same, and what the tool says then is the answer."""
    call.caller.says("speaking please", 1.0)
    await _talk(call, calls(speaking="speaking"), Worker())


async def typed_over_a_preamble(call: Call) -> None:
    """The user writes while the agent says what its tool is about to do; the tool has nothing to say in the end."""
    call.caller.says("quiet please", 1.0)
    session = call.session(calls(LOOKING, quiet="quiet"))
    await call.start(session, Worker())
    await call.until(3.0)
    session.generate_reply(user_input="written")
    await call.until(14.0)
    await call.close(session)


HELLO = f"You said 5 letters, dear {CANARY}."
FINE = ("fine", f"You said 4 letters, dear {CANARY}.", DONE, 1.02)
STORIES: dict[ScenarioFunction, list[Line]] = {
    typed_twice: [("first", LONG, DONE, 0.3), ("second", LONG, DONE, 5.37)],
    typed_while_a_tool_runs: [
        ("slow one please", "Let me look.", "interrupted", 0.6),
        ("written", ANSWER, DONE, 0.3),
        ("", ANSWER, DONE, None),
    ],
    outlived_tool_speaks_after_the_next_answer: [
        ("the late one please", ANSWER, "interrupted", 0.8),
        ("another question", ANSWER, DONE, 0.6),
        ("", "The tool is done now.", DONE, None),
    ],
    barge_in_over_a_preamble: [
        ("slow one please", LOOKING, "interrupted", 0.6),
        ("stop it please now", ANSWER, DONE, 0.6),
    ],
    noise_before_a_deferred_reply: [("progress please", f"{ANSWER} {ANSWER}", DONE, 1.8)],
    hum_while_a_tool_runs: [("slow one please", "Let me look.", "interrupted", 0.6), ("hm", ANSWER, DONE, 2.3)],
    words_of_code_while_the_model_thinks: [("hello", f"{HELLO} One moment.", DONE, 3.52)],
    asked_once_more_by_code: [("hello", HELLO, DONE, 0.92)],
    closed_during_the_hook: [("hello", "", "session_closed", None)],
    closed_by_who_takes_long_to_leave: [("hello", LONG, "session_closed", 0.6)],
    hook_raises: [("hello", "", "failed", None), FINE],
    hook_raises_after_words: [("hello", "Let me see.", "failed", 0.7)],
    hook_raises_over_a_reply_made_ahead: [("hello", "", "failed", None), (*FINE[:3], 0.7)],
    hook_with_a_model_of_its_own: [("hello", HELLO, DONE, 1.72)],
    tool_whose_own_model_fails: [("asking please", ANSWER, DONE, 1.0)],
    tool_that_speaks_without_its_model: [("speaking please", "It works without.", DONE, 0.8)],
    typed_over_a_preamble: [("quiet please", LOOKING, "interrupted", 0.6), ("written", ANSWER, DONE, 2.72)],
}


@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])
@pytest.mark.parametrize("script", STORIES, ids=script_name)
def test_the_turns_are_those_of_the_script(script: ScenarioFunction, native: bool) -> None:
    """Each turn has its own words, its own answer, why it ended, and how long the user waited for it."""
    assert story_of(script, native_spans=native) == STORIES[script]


@pytest.mark.parametrize(
    ("script", "begins", "ends"),
    [
        (typed_twice, [1.0, 1.05], [6.42, 11.54]),
        # the user's text has the floor from 4.0 on; the tool's answer is asked for when the tool is done
        (typed_while_a_tool_runs, [1.0, 4.0, 7.3], [4.0, 6.02, 9.32]),
        # what the tool says waits for the answer before it: its turn begins with work for it
        (outlived_tool_speaks_after_the_next_answer, [1.0, 5.0, 8.12], [5.0, 8.12, 9.29]),
        # an interrupted turn ends with its own voice, whatever its tool still does
        (barge_in_over_a_preamble, [1.0, 2.2], [3.1, 5.32]),
        (typed_over_a_preamble, [1.0, 3.0], [5.72, 7.44]),
        (noise_before_a_deferred_reply, [1.0], [9.62]),
        (closed_during_the_hook, [1.0], [3.0]),
        (closed_by_who_takes_long_to_leave, [1.0], [4.0]),
    ],
    ids=script_name,
)
def test_turns_begin_and_end_with_what_is_theirs(
    script: ScenarioFunction, begins: list[float], ends: list[float]
) -> None:
    """From the first words, request or voice of a turn to its last; not to a tool's end, nor to LiveKit's close."""
    turns = build_report(play(script).pipeline).turns
    assert [turn.start_ns / 1e9 - EPOCH for turn in turns] == pytest.approx(begins, abs=0.001)
    assert [turn.end_ns / 1e9 - EPOCH for turn in turns] == pytest.approx(ends, abs=0.001)


@pytest.mark.parametrize(
    ("script", "index", "silence"),
    [
        (hum_while_a_tool_runs, 1, {"transcription": 0.1, "eou": 0.2, "tool": 1.7, "llm": 0.2, "tts": 0.1}),
        (asked_once_more_by_code, 0, {"transcription": 0.1, "eou": 0.2, "llm": 0.52, "tts": 0.1}),
        (hook_with_a_model_of_its_own, 0, {"transcription": 0.1, "eou": 0.2, "hook": 1.0, "llm": 0.32, "tts": 0.1}),
        (typed_twice, 1, {"llm": 0.2, "tts": 0.1, "playback": 5.07}),
    ],
    ids=script_name,
)
def test_the_wait_goes_to_what_was_waited_for(script: ScenarioFunction, index: int, silence: dict[str, float]) -> None:
    """What LiveKit held back, what failed, and what code did before the answer have their part of the silence."""
    turn = build_report(play(script).pipeline).turns[index]
    assert turn.silence == pytest.approx({**dict.fromkeys(attr.SILENCE_STAGES, 0.0), **silence}, abs=1e-6)


def test_a_request_outside_of_a_speech_is_waited_for() -> None:
    """What ``on_enter`` asks a model before it speaks is the turn's, and the wait for it is the model's."""
    turn = build_report(record("tasks_in_on_enter").pipeline).turns[2]
    expected = {"transcription": 0.1, "eou": 0.2, "llm": 0.2, "tts": 0.1}
    assert turn.silence == pytest.approx({**dict.fromkeys(attr.SILENCE_STAGES, 0.0), **expected}, abs=1e-6)


@pytest.mark.parametrize(
    "script", [typed_while_a_tool_runs, outlived_tool_speaks_after_the_next_answer], ids=script_name
)
def test_what_comes_of_an_outlived_turn_names_it(script: ScenarioFunction) -> None:
    """The turn whose tool ran on says so, and the turn in which the tool's result is said continues it."""
    turns = build_report(play(script).pipeline).turns
    said = [turn.span.attributes for turn in turns if turn.span is not None]
    assert [one.get(attr.TURN_TOOL_OUTLIVES) for one in said] == [True, None, None]
    assert [one.get(attr.TURN_CONTINUES) for one in said] == [None, None, 0]


@pytest.mark.parametrize("name", ["speaks_while_a_tool_runs", "tool_outlives_its_turn"])
def test_a_turn_is_exported_when_it_is_over(name: str) -> None:
    """A turn whose tool outlives it does not wait for the tool: its span has ended before."""
    ended = [span.kind for span in record(name).pipeline]
    assert ended.index("turn") < ended.index("tool")


@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])
@pytest.mark.parametrize(
    "script", [hook_raises, hook_raises_after_words, hook_raises_over_a_reply_made_ahead], ids=script_name
)
def test_a_hook_that_raises_says_so_on_its_turn(script: ScenarioFunction, native: bool) -> None:
    """The turn has failed, with status ERROR and the error's type where nothing was heard; the next one is answered."""
    failed, *others = sorted(play(script, native_spans=native).of("turn"), key=lambda turn: turn.start_ns)
    heard = script is hook_raises_after_words
    expected = ("unset", None) if heard else ("error", "ValueError")
    assert (failed.status, failed.attributes.get(attr.ERROR_TYPE)) == expected
    assert [turn.status for turn in others] == ["unset"] * (0 if heard else 1)


@pytest.mark.parametrize("native", [False, True], ids=["pipeline", "both-layers"])
def test_a_hooks_own_request_counts_and_is_not_the_answers(native: bool) -> None:
    """Tokens of a model that the hook asks are counted; the answer's model and first token are the session's."""
    report = build_report(play(hook_with_a_model_of_its_own, native_spans=native).records)
    (turn,) = report.turns
    tokens = {one.model: one.input_tokens for one in turn.usage if isinstance(one, LLMUsage)}
    assert tokens == {"fake-llm": 20, "own-llm": 100}
    assert turn.derivation.llm_model == ("kit", "fake-llm")
    assert turn.latency.llm_node_ttft == pytest.approx(0.2)


def test_a_tools_own_model_is_none_of_the_conversations() -> None:
    """It is no model of the turn, and the request after it does not repeat what was recorded before."""
    trace = record("tool_with_a_model_of_its_own")
    (turn,) = build_report(trace.pipeline).turns
    assert turn.models == ["kit/fake-stt", "kit/fake-llm", "kit/fake-tts"]
    requests = sorted(trace.of("llm"), key=lambda span: span.start_ns)
    asked = [str(one.attributes[attr.INPUT_MESSAGES]) for one in requests]
    assert ["asking please" in text for text in asked] == [True, False, False]
    assert ["summarise" in text for text in asked] == [False, True, False]


def test_a_turn_names_the_model_that_answered() -> None:
    """Behind a fallback adapter that is the second model, also where the first one is probed again."""
    (turn,) = build_report(record("llm_falls_back").pipeline).turns
    assert turn.derivation.llm_model == ("kit", "second-llm")
    assert turn.end_reason == DONE
    (other,) = build_report(record("tts_falls_back").pipeline).turns
    assert other.derivation.tts_model == ("kit", "second-tts")
