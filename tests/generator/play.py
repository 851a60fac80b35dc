"""A composed call, played by a real session on the virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from livekit import rtc
from livekit.agents import Agent, RunContext, StopResponse, function_tool
from livekit.agents.llm import ChatContext

from tests.kit import clock, trace
from tests.kit.run import Call, plain_reply
from tests.kit.trace import Trace
from tests.kit.voice import SAMPLE_RATE, Caller, FakeLLM, FakeSTT

from .plan import Act, Log, Plan, Says, Tool, Work
from .server import Server
from .standins import Ear, Loudspeaker, Mind, Mouth, Recognizer, sound_of
from .words import GREET, PROGRESS, RESULT, sentence, speeches, wanted


class Clerk(Agent):
    """Does with each of the user's speeches what the plan has for it."""

    def __init__(self, plan: Plan, log: Log, after: int | None = None) -> None:
        super().__init__(instructions="Answer.")
        self.plan = plan
        self.log = log
        self.after = after

    async def on_enter(self) -> None:
        if self.after is None:
            if self.plan.greeting:
                self.session.generate_reply(instructions="Welcome.")
            return
        tool = self.plan.says[self.after].tool
        assert tool is not None
        enter = Work(self.after, clock.elapsed(), label=f"e{self.after}")
        self.log.enters.append(enter)
        await asyncio.sleep(tool.enter or 0.0)
        if tool.enter is not None:
            with suppress(RuntimeError):  # the session is being closed
                self.session.generate_reply(instructions=f"{GREET} u{self.after}")
        enter.end = clock.elapsed()

    async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
        committed = speeches(new_message.raw_text_content or "")
        self.log.commits.append((clock.elapsed(), committed))
        if not committed:
            return
        says = self.plan.says[committed[-1]]
        hook = Work(committed[-1], clock.elapsed())
        self.log.hooks.append(hook)
        try:
            await self._hook(says, committed[-1])
        finally:
            hook.end = clock.elapsed()

    async def _hook(self, says: Says, number: int) -> None:
        if says.hook == "speaks":
            self.session.say(self._own(f"h{number}", 2))
        await asyncio.sleep(says.hook_seconds)
        if says.hook == "stops":
            raise StopResponse
        if says.hook == "fails":
            self.log.failures.append(Work(number, clock.elapsed(), failed=True))
            raise ValueError("the hook is broken")

    def _own(self, label: str, words: int) -> str:
        """Words of code, which are logged when they are asked for."""
        self.log.asked.append(Work(int(label[1:]), clock.elapsed(), label=label))
        return sentence(label, words)

    @function_tool
    async def work(self, ctx: RunContext[Any], of: int, step: int) -> Any:
        """Works as long as the plan says."""
        tool = self.plan.says[of].tool
        assert tool is not None
        work = Work(of, clock.elapsed(), step=step)
        self.log.tools.append(work)
        try:
            return await self._work(ctx, tool, of)
        finally:
            work.end = clock.elapsed()

    async def _work(self, ctx: RunContext[Any], tool: Tool, of: int) -> Any:
        if tool.update:
            await ctx.update(f"{PROGRESS} u{of}")
        if tool.own_request:
            notes = ChatContext.empty()
            notes.add_message(role="user", content="an aside")
            await FakeLLM(plain_reply, delay=0.3).chat(chat_ctx=notes).collect()
        if tool.filler:
            async with ctx.with_filler(lambda _: self._own(f"f{of}", 3), delay=0.0):
                await asyncio.sleep(tool.seconds)
        else:
            await asyncio.sleep(tool.seconds)
        if tool.result == "agent":
            return type(self)(self.plan, self.log, after=of)
        if tool.result == "speaks":
            await self.session.say(self._own(f"t{of}", 3))
        return f"{RESULT} u{of}" if tool.result == "text" else None


class WorkingClerk(Clerk):
    """Its own ``llm_node`` works before the request, or yields strings where no tool is called."""

    async def llm_node(self, chat_ctx: Any, tools: Any, model_settings: Any) -> AsyncIterator[Any]:
        label = wanted(chat_ctx.items, self.log)
        said = self.plan.says[int(label[1:])]
        own = self.plan.llm_node == "strings" and label[0] == "a" and said.tool is None and not said.model_fails
        if own:
            self.log.requests.append(Work(int(label[1:]), clock.elapsed(), step=len(self.log.requests), label=label))
        await asyncio.sleep(self.plan.llm_node_seconds)
        if own:
            yield sentence(label, said.words)
            return
        async for chunk in Agent.default.llm_node(self, chat_ctx, tools, model_settings):
            yield chunk


async def _own_voice(self: Clerk, text: Any, model_settings: Any) -> AsyncIterator[rtc.AudioFrame]:
    """A ``tts_node`` that makes the audio itself."""
    words = "".join([part async for part in text])
    await asyncio.sleep(self.plan.voice_seconds)
    sound = sound_of(words)
    for at in range(0, len(sound), SAMPLE_RATE):
        part = sound[at : at + SAMPLE_RATE]
        yield rtc.AudioFrame(part, SAMPLE_RATE, 1, len(part) // 2)


def _clerk(plan: Plan, log: Log) -> Clerk:
    base = WorkingClerk if plan.llm_node else Clerk
    kind: Any = type("VoicedClerk", (base,), {"tts_node": _own_voice}) if plan.tts_node else base
    clerk: Clerk = kind(plan, log)
    return clerk


def _caller(plan: Plan, caller: Caller) -> Caller:
    """The plan's speeches and noises, as the kit's devices hear them."""
    after = {"usual": 0.5, "early": 0.15, "late": 10.0, "missing": None}
    final_at = 0.0
    for number, one in enumerate(plan.says):
        # a recognizer says nothing of these words before it is done with those before them
        interim, last = after[one.interims], one.length + one.final_after / 2
        if interim is not None:
            interim = max(interim, final_at - one.at + 0.01)
            interim = None if min(interim, last) < final_at - one.at else interim
        final_at = max(final_at, one.at + one.length + one.final_after)
        caller.says(f"u{number} if you please", one.at, one.length, final_after=one.final_after, interim_after=interim)
    for noise in plan.noises:
        caller.noise(noise.at, noise.length)
    return caller


def _session(plan: Plan, log: Log, call: Call) -> Any:
    caller = _caller(plan, call.caller)
    options: dict[str, Any] = {
        "audio": Loudspeaker(log, start_delay=plan.output_seconds, can_pause=plan.pausing),
        "llm": Mind(plan, log),
        "tts": Mouth(ttfb=plan.voice_seconds),
        "turn_handling": {"preemptive_generation": {"enabled": plan.preemptive}},
    }
    if plan.mode == "vad":
        options |= {"vad": Ear(caller, log), "stt": FakeSTT(caller)}
    elif plan.mode == "stt":
        options |= {"vad": None, "stt": Recognizer(caller, log)}
        options["turn_handling"]["turn_detection"] = "stt"
    else:
        options |= {"vad": None, "stt": None, "tts": None, "llm": Server(plan, log, call.truth)}
        options["turn_handling"]["turn_detection"] = "realtime_llm"
    return call.session(**options)


async def _act(session: Any, act: Act, number: int) -> None:
    if act.what == "say":
        session.say(sentence(f"s{number}", 3))
    elif act.what == "clear":
        session.clear_user_turn()
    else:
        clock.set_wall_clock(act.amount)


def play(plan: Plan) -> tuple[Trace, Log]:
    """Play a call with the instrumentation on."""
    log = Log()

    async def script(call: Call) -> None:
        session = _session(plan, log, call)
        await call.start(session, _clerk(plan, log))
        for number, act in enumerate(plan.acts):
            await call.until(act.at)
            await _act(session, act, number)
        await call.until(plan.close_at)
        log.closed = clock.elapsed()
        await call.close(session)

    return trace.play.__wrapped__(script), log
