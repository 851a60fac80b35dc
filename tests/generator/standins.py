"""The devices and models of a composed call: those of the kit, which keep a log of what was heard and said."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectOptions, llm, stt, tts, vad

from tests.kit import clock
from tests.kit.voice import (
    RETRY,
    SAMPLE_RATE,
    VAD_SILENCE,
    Caller,
    FakeAudioOutput,
    FakeLLM,
    FakeSTT,
    FakeTTS,
    FakeVAD,
    _until,
    _VADStream,
    failure,
)

from .plan import Log, Plan, Sound, Voice, Work
from .words import heard, labels, sample, sentence, wanted


def number_of(caller: Caller, start: float) -> int | None:
    """Which of the user's speeches is heard to begin; None is a noise."""
    speech = min(caller.speeches, key=lambda one: abs(one.start - start))
    said = [int(label[1:]) for label in labels(speech.text, "u")]
    return said[0] if said else None


class Ear(FakeVAD):
    """VAD that logs what it hears, as far as it reports it."""

    def __init__(self, caller: Caller, log: Log) -> None:
        super().__init__(caller)
        self.log = log

    def stream(self) -> vad.VADStream:
        return _EarStream(self)


class _EarStream(_VADStream):
    _sound: Sound | None = None

    def _tell(self, kind: vad.VADEventType, speech: float, silence: float, *, speaking: bool = True) -> None:
        assert isinstance(self._vad, Ear)
        now = clock.elapsed()
        if kind is vad.VADEventType.START_OF_SPEECH:
            start = now - speech
            self._sound = Sound(start, now, number_of(self._vad.caller, start))
            self._vad.log.sounds.append(self._sound)
        elif self._sound is not None:
            self._sound.end = now - (VAD_SILENCE if kind is vad.VADEventType.END_OF_SPEECH else silence)
        super()._tell(kind, speech, silence, speaking=speaking)


class Recognizer(FakeSTT):
    """A recognizer that ends turns, without a VAD: it logs when it says that the user begins and stops."""

    def __init__(self, caller: Caller, log: Log) -> None:
        super().__init__(caller)
        self.log = log

    def stream(self, *, language: Any = None, conn_options: Any = None) -> stt.RecognizeStream:
        return _RecognizerStream(stt=self, conn_options=APIConnectOptions(max_retry=1, retry_interval=0.1))


class _RecognizerStream(stt.RecognizeStream):
    async def _run(self) -> None:
        assert isinstance(self._stt, Recognizer)
        kinds = stt.SpeechEventType
        for speech in self._stt.caller.speeches:
            if not speech.text or speech.start < clock.elapsed() - 1e-9 or speech.final_at is None:
                continue
            await _until(speech.start + 0.1)
            sound = Sound(clock.elapsed(), float("inf"), number_of(self._stt.caller, speech.start))
            self._stt.log.sounds.append(sound)
            self._event(kinds.START_OF_SPEECH)
            for at, text in speech.interims:
                if at > clock.elapsed():
                    await _until(at)
                    self._event(kinds.INTERIM_TRANSCRIPT, text)
            await _until(speech.final_at)
            sound.end = clock.elapsed()
            self._event(kinds.FINAL_TRANSCRIPT, speech.text)
            self._event(kinds.END_OF_SPEECH)
        await asyncio.Event().wait()

    def _event(self, kind: stt.SpeechEventType, text: str = "") -> None:
        said = [stt.SpeechData(language="en", text=text, confidence=0.9)] if text else []  # type: ignore[arg-type]
        self._event_ch.send_nowait(stt.SpeechEvent(type=kind, request_id="turn", alternatives=said))


class Mind(FakeLLM):
    """A model that answers as the plan says, and logs its requests."""

    def __init__(self, plan: Plan, log: Log) -> None:
        super().__init__(_answer, delay=plan.model_seconds)
        self.plan = plan
        self.log = log

    def chat(
        self, *, chat_ctx: llm.ChatContext, tools: Any = None, conn_options: Any = None, **kwargs: Any
    ) -> llm.LLMStream:
        stream = super().chat(chat_ctx=chat_ctx, tools=tools, conn_options=conn_options, **kwargs)
        label = wanted(chat_ctx.items, self.log)
        request = Work(int(label[1:]), clock.elapsed(), step=len(self.log.requests), label=label)
        self.log.requests.append(request)
        stream.request = request  # type: ignore[attr-defined]
        return stream


async def _answer(stream: Any, items: list[Any]) -> None:
    mind, request = stream._llm, stream.request
    said = mind.plan.says[request.of] if request.label[0] in "aprg" and request.label != "w0" else None
    if said is not None and said.model_fails:
        request.failed = True
        mind.log.failures.append(Work(request.of, clock.elapsed(), failed=True))
        raise failure("the model is gone", retryable=False)
    if request.label[0] == "a" and said is not None and said.tool is not None:
        request.label = f"p{request.of}"
        if said.tool.preamble:
            await stream.text(sentence(request.label, 3))
        stream.call("work", f'{{"of": {request.of}, "step": {request.step}}}', f"call_{request.step}")
    else:
        await stream.text(sentence(request.label, said.words if said is not None else 4))
    stream.usage()
    request.end = clock.elapsed()


class Mouth(FakeTTS):
    """A voice in whose samples the label of the text can be heard."""

    def synthesize(self, text: str, *, conn_options: Any = None) -> tts.ChunkedStream:
        return _MouthChunked(tts=self, input_text=text, conn_options=RETRY)


class _MouthChunked(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        assert isinstance(self._tts, Mouth)
        output_emitter.initialize(request_id="tts", sample_rate=SAMPLE_RATE, num_channels=1, mime_type="audio/pcm")
        await asyncio.sleep(self._tts.ttfb)
        output_emitter.push(sound_of(self._input_text))
        output_emitter.flush()


def sound_of(text: str) -> bytes:
    """The samples of a text that begins with its label."""
    return sample(labels(text)[0]) * int(SAMPLE_RATE * len(text) / 20)


class Loudspeaker(FakeAudioOutput):
    """An output that logs what it plays, and measures time by a clock that nobody moves."""

    def __init__(self, log: Log, **options: Any) -> None:
        super().__init__(**options)
        self._log = log
        self._label = ""
        self._voice: Voice | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        if not self._pushed:
            self._label = heard(bytes(frame.data[:2].cast("B")))
        await super().capture_frame(frame)

    def _start(self) -> None:
        self._start_timer = None
        self._started = self._resumed_at = clock.elapsed()
        self._voice = Voice(self._label, clock.elapsed())
        self._log.voices.append(self._voice)
        self.on_playback_started(created_at=time.time())
        self._plan()

    def _position(self) -> float:
        running = clock.elapsed() - self._resumed_at if self._resumed_at is not None else 0.0
        return min(self._pushed, self._played + running)

    def pause(self) -> None:
        if self._resumed_at is not None and self._voice is not None:
            self._voice.pauses.append([clock.elapsed()])
        super().pause()

    def resume(self) -> None:
        was = self._resumed_at
        super().resume()
        if was is None and self._resumed_at is not None and self._voice is not None and self._voice.pauses:
            self._resumed_at = clock.elapsed()
            self._voice.pauses[-1].append(clock.elapsed())
            self._plan()

    def _finish(self, interrupted: bool) -> None:
        if self._voice is not None:
            self._voice.end, self._voice.cut_off = clock.elapsed(), interrupted
            self._voice = None
        super()._finish(interrupted)
