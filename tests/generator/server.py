"""A realtime server that hears the user as the plan says, and answers with sounds that carry their labels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from livekit import rtc
from livekit.agents import llm

from tests.kit import clock
from tests.kit.realtime import Answer, FakeRealtimeModel, FakeRealtimeSession, _words
from tests.kit.voice import SAMPLE_RATE, Truth

from .plan import Log, Plan, Sound, Work
from .standins import sound_of
from .words import ASKED, sentence, wanted


class Server(FakeRealtimeModel):
    """Ends the user's turns, and transcribes them."""

    def __init__(self, plan: Plan, log: Log, truth: Truth) -> None:
        super().__init__([], reply=Answer(), truth=truth, delay=plan.model_seconds)
        self.plan = plan
        self.log = log

    def session(self, **_: Any) -> llm.RealtimeSession:
        return _Session(self)


class _Session(FakeRealtimeSession):
    _model: Server
    _pending: Sequence[asyncio.TimerHandle] = ()

    async def _follow(self) -> None:
        plan, log = self._model.plan, self._model.log
        for number, one in enumerate(plan.says):
            if one.at < clock.elapsed():
                continue
            await _until(one.at)
            for pending in self._pending:
                # as servers do: words that follow so soon are answered together with these
                pending.cancel()
            sound = Sound(one.at, one.at + one.length, number)
            log.sounds.append(sound)
            self.emit("input_speech_started", llm.InputSpeechStartedEvent())
            await _until(sound.end)
            self.emit("input_speech_stopped", llm.InputSpeechStoppedEvent(user_transcription_enabled=True))
            asyncio.get_running_loop().call_later(one.final_after, self._transcribe, number)
            self._pending = [asyncio.get_running_loop().call_later(plan.model_seconds, self._begin, number)]

    def _transcribe(self, number: int) -> None:
        self._model.log.commits.append((clock.elapsed(), (number,)))
        done = llm.InputTranscriptionCompleted(
            item_id=f"user_{number}", transcript=f"u{number} if you please", is_final=True
        )
        self.emit("input_audio_transcription_completed", done)

    def _begin(self, number: int) -> None:
        tool = self._model.plan.says[number].tool
        step = len(self._model.log.requests)
        answer = Answer(sentence(f"a{number}", self._model.plan.says[number].words))
        if tool is not None:
            said = sentence(f"p{number}", 3) if tool.preamble else ""
            answer = Answer(said, call=f'{{"of": {number}, "step": {step}}}')
        self._log(f"p{number}" if tool is not None else f"a{number}")
        self.emit("generation_created", self._respond(answer, user_initiated=False))

    def generate_reply(self, *, instructions: Any = None, **_: Any) -> asyncio.Future[llm.GenerationCreatedEvent]:
        """What code, or a tool's result, asks for."""
        asked = ASKED.search(instructions) if isinstance(instructions, str) else None
        future: asyncio.Future[llm.GenerationCreatedEvent] = asyncio.get_running_loop().create_future()
        label = f"e{asked[2]}" if asked is not None else None
        asyncio.get_running_loop().call_later(self._model.delay, self._asked, future, label)
        return future

    def _asked(self, future: asyncio.Future[llm.GenerationCreatedEvent], label: str | None) -> None:
        if not future.done():
            results = [one for one in self._chat_ctx.items if one.type == "function_call_output"]
            label = label or wanted(results, self._model.log)
            self._log(label)
            future.set_result(self._respond(Answer(sentence(label, 4)), user_initiated=True))

    def _log(self, label: str) -> None:
        log = self._model.log
        log.requests.append(Work(int(label[1:]), clock.elapsed(), step=len(log.requests), label=label))

    async def _messages(self, answer: Answer, message_id: str) -> AsyncIterator[llm.MessageGeneration]:
        if not answer.text:
            return
        modalities: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        modalities.set_result(["audio", "text"])
        yield llm.MessageGeneration(
            message_id=message_id,
            text_stream=_words(answer.text),
            audio_stream=_sound(answer.text),
            modalities=modalities,
        )

    async def _functions(self, answer: Answer, call_id: str) -> AsyncIterator[llm.FunctionCall]:
        if answer.call is not None:
            yield llm.FunctionCall(call_id=call_id, name="work", arguments=answer.call)


async def _until(at: float) -> None:
    await asyncio.sleep(max(0.0, at - clock.elapsed()))


async def _sound(text: str) -> AsyncIterator[rtc.AudioFrame]:
    sound = sound_of(text)
    for at in range(0, len(sound), SAMPLE_RATE // 5):
        await asyncio.sleep(0.02)
        part = sound[at : at + SAMPLE_RATE // 5]
        yield rtc.AudioFrame(part, SAMPLE_RATE, 1, len(part) // 2)
