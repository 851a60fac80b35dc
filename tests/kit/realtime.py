"""A fake speech-to-speech model on LiveKit's base classes: it follows a script of what the server does and when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

from livekit import rtc
from livekit.agents import llm
from livekit.agents.metrics import RealtimeModelMetrics
from livekit.agents.metrics.base import Metadata

from . import clock
from .voice import SAMPLE_RATE, Truth


@dataclass
class Answer:
    """One response: ``text`` is spoken in ``seconds``; usage comes ``usage_after`` s after its start, or never."""

    text: str = ""
    seconds: float = 1.0
    call: str | None = None
    usage_after: float | None = 0.5


@dataclass
class Step:
    """What the server does at ``at``: the user starts or stops, an item of what they said is made, a transcript of one
    comes, a response begins."""

    at: float
    what: Literal["start", "stop", "item", "transcript", "answer"]
    text: str = ""
    answer: Answer | None = None
    item: str = ""


class FakeRealtimeModel(llm.RealtimeModel):
    """A model that follows a script.

    ``server`` is the session that LiveKit made last.

    ``decides``: the server ends the user's turns, and transcribes them. ``delay``: what it takes to begin an answer.
    """

    server: FakeRealtimeSession

    def __init__(
        self, steps: list[Step], *, reply: Answer, truth: Truth, decides: bool = True, delay: float = 0.0
    ) -> None:
        super().__init__(
            capabilities=llm.RealtimeCapabilities(
                message_truncation=True,
                turn_detection=decides,
                user_transcription=decides,
                auto_tool_reply_generation=False,
                audio_output=True,
                manual_function_calls=True,
            )
        )
        self.steps = steps
        self.reply = reply
        self.delay = delay
        self.truth = truth

    @property
    def model(self) -> str:
        return "fake-realtime"

    @property
    def provider(self) -> str:
        return "kit"

    def session(self, **_: Any) -> llm.RealtimeSession:
        return FakeRealtimeSession(self)

    async def aclose(self) -> None:
        return None


class FakeRealtimeSession(llm.RealtimeSession):
    #: what ``generate_reply`` fails with
    refusal: Exception | None = None

    def __init__(self, model: FakeRealtimeModel) -> None:
        super().__init__(model)
        self._model = model
        model.server = self
        self._chat_ctx = llm.ChatContext.empty()
        self._tool_ctx = llm.ToolContext([])
        self._responses = 0
        self._task = asyncio.create_task(self._follow())

    @property
    def chat_ctx(self) -> llm.ChatContext:
        return self._chat_ctx

    @property
    def tools(self) -> llm.ToolContext:
        return self._tool_ctx

    async def update_instructions(self, instructions: str) -> None:
        return None

    async def update_chat_ctx(self, chat_ctx: llm.ChatContext) -> None:
        self._chat_ctx = chat_ctx

    async def update_tools(self, tools: list[Any]) -> None:
        self._tool_ctx = llm.ToolContext(tools)

    def update_options(self, **_: Any) -> None:
        return None

    def push_audio(self, frame: rtc.AudioFrame) -> None:
        return None

    def push_video(self, frame: rtc.VideoFrame) -> None:
        return None

    def commit_audio(self) -> None:
        return None

    def clear_audio(self) -> None:
        return None

    def interrupt(self) -> None:
        return None

    def truncate(self, **_: Any) -> None:
        return None

    async def aclose(self) -> None:
        self._task.cancel()

    def generate_reply(self, **_: Any) -> asyncio.Future[llm.GenerationCreatedEvent]:
        future: asyncio.Future[llm.GenerationCreatedEvent] = asyncio.get_running_loop().create_future()
        if self.refusal is not None:
            future.set_exception(self.refusal)
        elif not self._model.delay:
            future.set_result(self._respond(self._model.reply, user_initiated=True))
        else:
            asyncio.get_running_loop().call_later(self._model.delay, self._answer, future)
        return future

    def connects(self, seconds: float) -> None:
        """LiveKit's metrics of a connection, which took so long."""
        self._report_connection_acquired(seconds)

    def ends(self, number: int, status: str) -> None:
        """Response ``number`` is over, as OpenAI's protocol has it."""
        done = {"id": f"response_{number}", "status": status, "status_details": None}
        self.emit("openai_server_event_received", {"type": "response.done", "response": done})

    def errs(self, error: Exception, *, recoverable: bool = True) -> None:
        """The plugin says that something went wrong."""
        self.emit("error", llm.RealtimeModelError(timestamp=0.0, label="kit", error=error, recoverable=recoverable))

    def _answer(self, future: asyncio.Future[llm.GenerationCreatedEvent]) -> None:
        if not future.done():
            future.set_result(self._respond(self._model.reply, user_initiated=True))

    async def _follow(self) -> None:
        for step in self._model.steps:
            await asyncio.sleep(max(0.0, step.at - clock.elapsed()))
            if step.what == "start":
                self.emit("input_speech_started", llm.InputSpeechStartedEvent())
            elif step.what == "stop":
                self.emit("input_speech_stopped", llm.InputSpeechStoppedEvent(user_transcription_enabled=True))
            elif step.what == "transcript":
                item_id = step.item or f"user_{step.at}"
                done = llm.InputTranscriptionCompleted(item_id=item_id, transcript=step.text, is_final=True)
                self.emit("input_audio_transcription_completed", done)
            elif step.what == "item":
                item = llm.ChatMessage(role="user", content=[], id=step.item)
                self.emit("remote_item_added", llm.RemoteItemAddedEvent(previous_item_id=None, item=item))
            elif step.answer is not None:
                self.emit("generation_created", self._respond(step.answer, user_initiated=False))

    def _respond(self, answer: Answer, *, user_initiated: bool) -> llm.GenerationCreatedEvent:
        self._responses += 1
        self._model.truth.llm_requests += 1
        response_id = f"response_{self._responses}"
        if answer.usage_after is not None:
            asyncio.get_running_loop().call_later(answer.usage_after, self._usage, response_id)
        return llm.GenerationCreatedEvent(
            message_stream=self._messages(answer, f"message_{self._responses}"),
            function_stream=self._functions(answer, f"rt_call_{self._responses}"),
            user_initiated=user_initiated,
            response_id=response_id,
        )

    async def _messages(self, answer: Answer, message_id: str) -> AsyncIterator[llm.MessageGeneration]:
        if not answer.text:
            return
        modalities: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        modalities.set_result(["audio", "text"])
        yield llm.MessageGeneration(
            message_id=message_id,
            text_stream=_words(answer.text),
            audio_stream=_audio(answer.seconds),
            modalities=modalities,
        )

    async def _functions(self, answer: Answer, call_id: str) -> AsyncIterator[llm.FunctionCall]:
        if answer.call is not None:
            yield llm.FunctionCall(call_id=call_id, name=answer.call, arguments='{"city": "Lima"}')

    def _usage(self, response_id: str) -> None:
        details = RealtimeModelMetrics
        self.emit(
            "metrics_collected",
            RealtimeModelMetrics(
                request_id=response_id,
                timestamp=time.time() - 0.4,
                duration=0.4,
                ttft=0.1,
                input_tokens=40,
                output_tokens=25,
                total_tokens=65,
                tokens_per_second=62.5,
                input_token_details=details.InputTokenDetails(
                    audio_tokens=30,
                    text_tokens=8,
                    image_tokens=2,
                    cached_tokens=12,
                    cached_tokens_details=details.CachedTokenDetails(audio_tokens=10, text_tokens=2),
                ),
                output_token_details=details.OutputTokenDetails(text_tokens=5, audio_tokens=20),
                metadata=Metadata(model_name=self._model.model, model_provider=self._model.provider),
            ),
        )


async def _words(text: str) -> AsyncIterator[str]:
    for word in text.split(" "):
        yield f"{word} "


async def _audio(seconds: float) -> AsyncIterator[rtc.AudioFrame]:
    samples = SAMPLE_RATE // 10
    for _ in range(int(seconds * 10)):
        await asyncio.sleep(0.02)
        yield rtc.AudioFrame(b"\0\0" * samples, SAMPLE_RATE, 1, samples)
