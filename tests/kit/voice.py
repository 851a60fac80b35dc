"""Fakes of the models and devices around a call, each a subclass of LiveKit's own base class.

A :class:`Caller` is the script: what the user says and when (seconds of virtual time). VAD and STT hear it; metrics
come out of LiveKit's base classes, never from here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, llm, stt, tts, vad
from livekit.agents.voice import io

from . import clock

VAD_SILENCE = 0.2
VAD_MIN_SPEECH = 0.05
_FRAME = 0.05
SAMPLE_RATE = 16_000
RETRY = APIConnectOptions(max_retry=2, retry_interval=0.1, timeout=5.0)


@dataclass
class Truth:
    """What the fakes know happened, to hold spans against."""

    vad_segments: list[tuple[float, float]] = field(default_factory=list)
    llm_requests: int = 0
    tts_requests: int = 0
    playouts: int = 0


@dataclass
class _Speech:
    start: float
    end: float
    final_at: float | None
    text: str
    interims: tuple[tuple[float, str], ...]
    error: Exception | None = None


class Caller:
    """The user's side of a call."""

    def __init__(self) -> None:
        self.speeches: list[_Speech] = []
        self.truth = Truth()

    def says(
        self,
        text: str,
        start: float,
        length: float = 0.8,
        *,
        final_after: float = 0.1,
        interim_after: float | None = 0.5,
        interims: int = 1,
    ) -> Caller:
        """The user says ``text`` from ``start``; the final transcript comes ``final_after`` the end of the speech.

        The first interim comes ``interim_after`` the start (None: there is none), but before the final one; where there
        are several ``interims``, they come evenly from then on.
        """
        end = start + length
        words = text.split(" ")
        early: tuple[tuple[float, str], ...] = ()
        if interim_after is not None:
            at = min(start + interim_after, end + final_after / 2)
            step = (end - at) / interims
            half = " ".join(words[: max(1, len(words) // 2)])
            early = tuple((at + number * step, half) for number in range(interims))
        self.speeches.append(_Speech(start, end, end + final_after, text, early))
        return self

    def noise(self, start: float, length: float = 0.3) -> Caller:
        """VAD hears something, STT does not."""
        self.speeches.append(_Speech(start, start + length, None, "", ()))
        return self

    def recognizer_fails(self, at: float, error: Exception) -> Caller:
        self.speeches.append(_Speech(at, at, at, "", (), error))
        return self


async def _until(at: float) -> None:
    await asyncio.sleep(max(0.0, at - clock.elapsed()))


class FakeVAD(vad.VAD):
    """Hears the caller's speeches (a stream that is opened later hears only what is still to come)."""

    def __init__(self, caller: Caller) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=0.1))
        self.caller = caller

    @property
    def model(self) -> str:
        return "fake-vad"

    @property
    def provider(self) -> str:
        return "kit"

    def stream(self) -> vad.VADStream:
        return _VADStream(self)


class _VADStream(vad.VADStream):
    async def _main_task(self) -> None:
        assert isinstance(self._vad, FakeVAD)
        caller = self._vad.caller
        for speech in sorted(caller.speeches, key=lambda one: one.start):
            if speech.error is not None or speech.start < clock.elapsed():
                continue
            await _until(speech.start + VAD_MIN_SPEECH)
            self._tell(vad.VADEventType.START_OF_SPEECH, VAD_MIN_SPEECH, 0.0)
            caller.truth.vad_segments.append((speech.start, speech.end))
            at = speech.start + VAD_MIN_SPEECH + _FRAME
            while at < speech.end + VAD_SILENCE - 1e-9:
                await _until(at)
                silence = max(0.0, at - speech.end)
                self._tell(vad.VADEventType.INFERENCE_DONE, min(at, speech.end) - speech.start, silence)
                at += _FRAME
            await _until(speech.end + VAD_SILENCE)
            self._tell(vad.VADEventType.END_OF_SPEECH, speech.end - speech.start, VAD_SILENCE, speaking=False)
        await asyncio.Event().wait()

    def _tell(self, kind: vad.VADEventType, speech: float, silence: float, *, speaking: bool = True) -> None:
        self._event_ch.send_nowait(
            vad.VADEvent(
                type=kind,
                samples_index=0,
                timestamp=clock.elapsed(),
                speech_duration=speech,
                silence_duration=silence,
                speaking=speaking,
                raw_accumulated_speech=0.0 if silence else speech,
                raw_accumulated_silence=silence,
                frames=[_frame(0.01)],
            )
        )


class FakeSTT(stt.STT):
    """A streaming recognizer: interims, finals, usage after each final, a connection report at the start."""

    def __init__(self, caller: Caller, *, usage: bool = True, model: str = "fake-stt") -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self.caller = caller
        self.usage = usage
        self._model = model

    @property
    def model(self) -> str:
        return self._model

    @property
    def provider(self) -> str:
        return "kit"

    async def _recognize_impl(self, buffer: Any, *, language: Any = None, conn_options: Any) -> stt.SpeechEvent:
        raise NotImplementedError

    def stream(self, *, language: Any = None, conn_options: Any = None) -> stt.RecognizeStream:
        return _STTStream(stt=self, conn_options=APIConnectOptions(max_retry=1, retry_interval=0.1))


class _STTStream(stt.RecognizeStream):
    async def _run(self) -> None:
        assert isinstance(self._stt, FakeSTT)
        self._report_connection_acquired(0.03, False)
        todo: list[tuple[float, str, bool, Exception | None]] = []
        for speech in self._stt.caller.speeches:
            todo += [(at, text, False, None) for at, text in speech.interims]
            if speech.final_at is not None:
                todo.append((speech.final_at, speech.text, True, speech.error))
        for number, (at, text, final, error) in enumerate(sorted(todo, key=lambda one: one[0])):
            if at < clock.elapsed() or (error is not None and at <= clock.elapsed()):
                continue
            await _until(at)
            if error is not None:
                raise error
            kind = stt.SpeechEventType.FINAL_TRANSCRIPT if final else stt.SpeechEventType.INTERIM_TRANSCRIPT
            data = stt.SpeechData(language="en", text=text, confidence=0.93 if final else 0.5)  # type: ignore[arg-type]
            self._event_ch.send_nowait(stt.SpeechEvent(type=kind, request_id=f"stt{number}", alternatives=[data]))
            if final and self._stt.usage:
                usage = stt.RecognitionUsage(audio_duration=1.25, input_tokens=12, output_tokens=3)
                self._event_ch.send_nowait(
                    stt.SpeechEvent(
                        type=stt.SpeechEventType.RECOGNITION_USAGE, request_id=f"stt{number}", recognition_usage=usage
                    )
                )
        await asyncio.Event().wait()


class FakeBatchSTT(stt.STT):
    """A recognizer without streaming: LiveKit wraps it with the session's VAD."""

    def __init__(self, caller: Caller, *, hook: Callable[[], None] | None = None) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
        self.caller = caller
        self.hook = hook

    @property
    def model(self) -> str:
        return "fake-batch-stt"

    @property
    def provider(self) -> str:
        return "kit"

    async def _recognize_impl(self, buffer: Any, *, language: Any = None, conn_options: Any) -> stt.SpeechEvent:
        if self.hook is not None:
            self.hook()
        await asyncio.sleep(0.1)
        over = [one for one in self.caller.speeches if one.end <= clock.elapsed()]
        text = max(over, key=lambda one: one.end).text if over else ""
        data = stt.SpeechData(language="en", text=text, confidence=0.9)  # type: ignore[arg-type]
        return stt.SpeechEvent(
            type=stt.SpeechEventType.FINAL_TRANSCRIPT, request_id="batch", alternatives=[data] if text else []
        )


#: what an LLM does with a request: ``await reply(stream, items)``
Reply = Callable[["FakeLLMStream", list[Any]], Awaitable[None]]


class FakeLLM(llm.LLM):
    """Answers as its ``reply`` says, after ``delay`` seconds."""

    def __init__(
        self, reply: Reply, *, truth: Truth | None = None, delay: float = 0.2, model: str = "fake-llm"
    ) -> None:
        super().__init__()
        self.reply = reply
        self.delay = delay
        self.truth = truth or Truth()
        self._model = model

    @property
    def model(self) -> str:
        return self._model

    @property
    def provider(self) -> str:
        return "kit"

    def chat(
        self, *, chat_ctx: llm.ChatContext, tools: Any = None, conn_options: Any = None, **kwargs: Any
    ) -> llm.LLMStream:
        # a short retry interval: LiveKit's default would only slow the script down
        options = conn_options or RETRY
        return FakeLLMStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=options)


class FakeLLMStream(llm.LLMStream):
    attempt = 0

    async def _run(self) -> None:
        assert isinstance(self._llm, FakeLLM)
        if self.attempt == 0:
            self._llm.truth.llm_requests += 1
        self.attempt += 1
        await asyncio.sleep(self._llm.delay)
        await self._llm.reply(self, list(self._chat_ctx.items))

    def text(self, text: str, *, chunk_delay: float = 0.0) -> Awaitable[None]:
        return self._text(text, chunk_delay)

    async def _text(self, text: str, chunk_delay: float) -> None:
        words = text.split(" ")
        for number, word in enumerate(words):
            content = word if number == 0 else f" {word}"
            self._send(llm.ChoiceDelta(role="assistant", content=content))
            if chunk_delay:
                await asyncio.sleep(chunk_delay)

    def call(self, name: str, arguments: str = "{}", call_id: str = "call_1") -> None:
        call = llm.FunctionToolCall(name=name, arguments=arguments, call_id=call_id)
        self._send(llm.ChoiceDelta(role="assistant", tool_calls=[call]))

    def usage(self, prompt: int = 20, completion: int = 5, *, cached: int = 4, **more: int) -> None:
        usage = llm.CompletionUsage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            prompt_cached_tokens=cached,
            total_tokens=prompt + completion,
            **more,  # type: ignore[arg-type]
        )
        self._event_ch.send_nowait(llm.ChatChunk(id=self._id, usage=usage))

    def _send(self, delta: llm.ChoiceDelta) -> None:
        self._event_ch.send_nowait(llm.ChatChunk(id=self._id, delta=delta))

    @property
    def _id(self) -> str:
        assert isinstance(self._llm, FakeLLM)
        return f"{self._llm.model}-{self._llm.truth.llm_requests}"


def last_text(items: list[Any]) -> str:
    """Text of the newest message or tool output of a request."""
    item = items[-1]
    return str(item.output if item.type == "function_call_output" else getattr(item, "raw_text_content", "") or "")


class FakeTTS(tts.TTS):
    """Speaks 20 characters a second after ``ttfb``; chunked or streaming."""

    def __init__(
        self,
        *,
        truth: Truth | None = None,
        ttfb: float = 0.1,
        streaming: bool = False,
        error: Exception | None = None,
        model: str = "fake-tts",
    ) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=streaming), sample_rate=SAMPLE_RATE, num_channels=1)
        self.ttfb = ttfb
        self.error = error
        self.truth = truth or Truth()
        self._model = model

    @property
    def voice(self) -> str:
        return "kit-voice"

    @property
    def model(self) -> str:
        return self._model

    @property
    def provider(self) -> str:
        return "kit"

    def synthesize(self, text: str, *, conn_options: Any = None) -> tts.ChunkedStream:
        return _TTSChunked(tts=self, input_text=text, conn_options=RETRY)

    def stream(self, *, conn_options: Any = None) -> tts.SynthesizeStream:
        return _TTSStream(tts=self, conn_options=RETRY)


def _speak(emitter: tts.AudioEmitter, text: str) -> None:
    emitter.push(b"\0\0" * int(SAMPLE_RATE * len(text) / 20))


class _TTSChunked(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        assert isinstance(self._tts, FakeTTS)
        self._tts.truth.tts_requests += 1
        output_emitter.initialize(request_id="tts", sample_rate=SAMPLE_RATE, num_channels=1, mime_type="audio/pcm")
        await asyncio.sleep(self._tts.ttfb)
        if self._tts.error is not None:
            raise self._tts.error
        _speak(output_emitter, self._input_text)
        output_emitter.flush()


class _TTSStream(tts.SynthesizeStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        assert isinstance(self._tts, FakeTTS)
        self._tts.truth.tts_requests += 1
        output_emitter.initialize(
            request_id="tts", sample_rate=SAMPLE_RATE, num_channels=1, mime_type="audio/pcm", stream=True
        )
        output_emitter.start_segment(segment_id="segment")
        text = ""
        async for part in self._input_ch:
            if isinstance(part, str):
                self._mark_started()
                text += part
        await asyncio.sleep(self._tts.ttfb)
        if self._tts.error is not None:
            raise self._tts.error
        self._set_token_usage(input_tokens=len(text) // 4, output_tokens=len(text))
        _speak(output_emitter, text)
        output_emitter.end_segment()


class FakeAudioOutput(io.AudioOutput):
    """A loudspeaker on the virtual clock: tells when it starts and stops, can pause, and may start late (an avatar)."""

    def __init__(self, *, truth: Truth | None = None, start_delay: float = 0.0, can_pause: bool = True) -> None:
        super().__init__(label="kit", capabilities=io.AudioOutputCapabilities(pause=can_pause), sample_rate=SAMPLE_RATE)
        self._delay = start_delay
        self._truth = truth or Truth()
        self._pushed = 0.0
        self._started: float | None = None
        self._played = 0.0
        self._resumed_at: float | None = None
        self._flushed = False
        self._timer: asyncio.TimerHandle | None = None
        self._start_timer: asyncio.TimerHandle | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if self._pushed == 0.0 and self._start_timer is None and self._started is None:
            if self._delay:
                self._start_timer = asyncio.get_running_loop().call_later(self._delay, self._start)
            else:
                self._start()
        self._pushed += frame.duration
        if self._flushed:
            self._plan()

    def _start(self) -> None:
        self._start_timer = None
        self._started = self._resumed_at = time.time()
        self._truth.playouts += 1
        self.on_playback_started(created_at=self._started)
        self._plan()

    def flush(self) -> None:
        super().flush()
        if self._pushed:
            self._flushed = True
            self._plan()

    def _plan(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._flushed and self._resumed_at is not None:
            left = self._pushed - self._position()
            self._timer = asyncio.get_running_loop().call_later(max(0.0, left), self._finish, False)

    def _position(self) -> float:
        running = time.time() - self._resumed_at if self._resumed_at is not None else 0.0
        return min(self._pushed, self._played + running)

    def pause(self) -> None:
        super().pause()
        if self._resumed_at is not None:
            self._played = self._position()
            self._resumed_at = None
            self._plan()

    def resume(self) -> None:
        super().resume()
        if self._started is not None and self._resumed_at is None:
            self._resumed_at = time.time()
            self._plan()

    def clear_buffer(self) -> None:
        if self._pushed:
            self._finish(True)

    def _finish(self, interrupted: bool) -> None:
        position = self._position()
        for timer in (self._timer, self._start_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._start_timer = None
        self._pushed = self._played = 0.0
        self._started = self._resumed_at = None
        self._flushed = False
        self.on_playback_finished(playback_position=position, interrupted=interrupted)


class FakeTextOutput(io.TextOutput):
    """Swallows the transcript."""

    def __init__(self) -> None:
        super().__init__(label="kit", next_in_chain=None)

    async def capture_text(self, text: str) -> None:
        return None

    def flush(self) -> None:
        return None


def _frame(seconds: float) -> rtc.AudioFrame:
    samples = int(SAMPLE_RATE * seconds)
    return rtc.AudioFrame(b"\0\0" * samples, SAMPLE_RATE, 1, samples)


def failure(message: str, *, retryable: bool = True) -> APIConnectionError:
    return APIConnectionError(message, retryable=retryable)


async def stream_of(*parts: str) -> AsyncIterable[str]:
    for part in parts:
        yield part
