"""Outbound calls with LiveKit's answering machine detection: nothing is played until it knows who answered."""

from __future__ import annotations

from typing import Any

from livekit.agents import AMD, Agent, RunContext, function_tool
from livekit.agents import stt as lk_stt

from tests.kit.realtime import Answer, FakeRealtimeModel, Step
from tests.kit.run import CANARY, INSTRUCTIONS, Call, plain_reply, scenario
from tests.kit.voice import FakeBatchSTT, FakeLLM, FakeSTT, FakeVAD
from tests.scenarios.attribution import calls
from tests.scenarios.plain import GeneratingGreeter, call_vad


def _says(label: str) -> Any:
    """What the detection's request is answered with."""

    async def reply(stream: Any, items: list[Any]) -> None:
        stream.call("save_prediction", f'{{"label": "{label}"}}')
        stream.usage(100, 8, cached=0)

    return reply


class Desk(Agent):
    """Hands over to an agent that has its own models."""

    def __init__(self, call: Call) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self.call = call

    @function_tool
    async def transfer(self, ctx: RunContext[Any]) -> Agent:
        """Hands over."""
        return Agent(instructions=INSTRUCTIONS, stt=FakeSTT(self.call.caller), vad=FakeVAD(self.call.caller))


@scenario()
async def amd_human(call: Call) -> None:
    """A human answers; the reply is ready before the detection knows that."""
    call.caller.says(f"hello this is the {CANARY}", 1.0)
    session = call.session()
    await call.start(session)
    detection = FakeLLM(_says("human"), model="amd-llm", delay=0.4)
    async with AMD(session, llm=detection, stt=None) as detector:
        await detector.execute()
        await call.until(8.0)
    await call.close(session)


@scenario()
async def amd_machine(call: Call) -> None:
    """A voicemail answers, through the session's own model; the agent leaves a message instead of its reply."""

    async def reply(stream: Any, items: list[Any]) -> None:
        if stream.tools:
            await _says("machine-vm")(stream, items)
        else:
            await plain_reply(stream, items)

    call.caller.says(f"you have reached the {CANARY} please leave a message after the tone", 1.0, 4.0)
    session = call.session(reply)
    await call.start(session)
    async with AMD(session, llm=None, stt=None) as detector:
        result = await detector.execute()
        if result.category == "machine-vm":
            await session.generate_reply(instructions=f"Leave a message for the {CANARY}.").wait_for_playout()
    await call.close(session)


@scenario(variant=True)
async def amd_that_hears_for_itself(call: Call) -> None:
    """The detection has its own recognizer."""
    call.caller.says(f"hello this is the {CANARY}", 1.0)
    session = call.session()
    await call.start(session)
    ears = lk_stt.StreamAdapter(stt=FakeBatchSTT(call.caller), vad=call_vad(call))
    async with AMD(session, llm=FakeLLM(_says("human"), model="amd-llm", delay=0.4), stt=ears) as detector:
        await detector.execute()
        await call.until(8.0)
    await call.close(session)


@scenario()
async def amd_before_a_realtime_model(call: Call) -> None:
    """The answer of a speech-to-speech model is there, and held until the detection knows that a human answered."""
    steps = [Step(1.0, "start"), Step(1.8, "stop"), Step(1.9, "transcript", f"hello {CANARY}")]
    steps.append(Step(2.0, "answer", answer=Answer("Hello yourself")))
    model = FakeRealtimeModel(steps, reply=Answer("Hello"), truth=call.truth)
    session = call.session(llm=model, stt=None, vad=None, tts=None, turn_handling={"turn_detection": "realtime_llm"})
    await call.start(session)
    async with AMD(session, llm=FakeLLM(_says("human"), model="amd-llm", delay=0.4), stt=None) as detector:
        await detector.execute()
        await call.until(9.0)
    await call.close(session)


@scenario(variant=True)
async def amd_machine_goes_on(call: Call) -> None:
    """The voicemail speaks again while the agent waits for its tone: LiveKit keeps the words, and answers nothing."""
    call.caller.says(f"you have reached the {CANARY} please leave a message", 1.0, 3.0).says("after the tone", 7.0)
    session = call.session()
    await call.start(session)
    async with AMD(session, llm=FakeLLM(_says("machine-vm"), model="amd-llm"), stt=None) as detector:
        await detector.execute()
        await call.until(9.0)
        await session.generate_reply(instructions=f"Leave a message for the {CANARY}.").wait_for_playout()
    await call.close(session)


@scenario(variant=True)
async def amd_after_a_handoff(call: Call) -> None:
    """A tool hands over to an agent that hears with its own models; then the detection begins."""
    call.caller.says(f"transfer please {CANARY}", 1.0).says(f"hello this is the {CANARY}", 9.0)
    session = call.session(calls(transfer="transfer"))
    await call.start(session, Desk(call))
    await call.until(8.5)
    async with AMD(session, llm=FakeLLM(_says("human"), model="amd-llm", delay=0.4), stt=None) as detector:
        await detector.execute()
        await call.until(14.0)
    await call.close(session)


@scenario(variant=True)
async def amd_nobody_speaks(call: Call) -> None:
    """Nobody says anything: the greeting is generated at once, and held until the detection gives up."""
    session = call.session()
    await call.start(session, GeneratingGreeter())
    async with AMD(session, llm=FakeLLM(_says("human"), model="amd-llm"), stt=None) as detector:
        await detector.execute()
        await call.until(16.0)
    await call.close(session)
