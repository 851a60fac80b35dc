"""What stands beside a realtime plugin in a session: a recognizer and a voice of LiveKit's base classes."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit import rtc
from livekit.agents import LanguageCode, stt, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN

from .log import RATE, tone


class Recognizer(stt.STT[Any]):
    """Its transcripts are what the script puts into a queue."""

    def __init__(self, words: asyncio.Queue[str]) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))
        self.words = words

    @property
    def model(self) -> str:
        return "own-stt"

    @property
    def provider(self) -> str:
        return "own"

    async def _recognize_impl(self, *_: Any, **__: Any) -> stt.SpeechEvent:
        raise NotImplementedError

    def stream(self, *, language: Any = NOT_GIVEN, conn_options: Any = DEFAULT_API_CONNECT_OPTIONS) -> Listening:
        return Listening(stt=self, conn_options=conn_options)


class Listening(stt.RecognizeStream):
    async def _run(self) -> None:
        words = self._stt.words  # type: ignore[attr-defined]
        reading = asyncio.create_task(self._drain())
        try:
            while True:
                text = await words.get()
                heard = stt.SpeechData(language=LanguageCode("en"), text=text)
                self._event_ch.send_nowait(
                    stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[heard])
                )
                usage = stt.RecognitionUsage(audio_duration=1.0)
                self._event_ch.send_nowait(
                    stt.SpeechEvent(type=stt.SpeechEventType.RECOGNITION_USAGE, recognition_usage=usage)
                )
        finally:
            await utils.aio.cancel_and_wait(reading)

    async def _drain(self) -> None:
        async for _ in self._input_ch:
            pass


class Voice(tts.TTS):
    """Needs 0.15 s to its first audio."""

    def __init__(self) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1)

    @property
    def model(self) -> str:
        return "own-tts"

    @property
    def provider(self) -> str:
        return "own"

    def synthesize(self, text: str, *, conn_options: Any = DEFAULT_API_CONNECT_OPTIONS) -> Speaking:
        return Speaking(tts=self, input_text=text, conn_options=conn_options)


class Speaking(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(request_id=utils.shortuuid(), sample_rate=RATE, num_channels=1, mime_type="audio/pcm")
        await asyncio.sleep(0.15)
        output_emitter.push(tone(0.05 * len(self._input_text)))
        output_emitter.flush()


def speech(text: str, rate: int) -> bytes:
    """A person's words, by the demo's speech engine."""
    from livekit_otel.demo.espeak import Engine

    engine = Engine.shared()
    resampler = rtc.AudioResampler(engine.sample_rate, rate)
    frames = [*resampler.push(bytearray(engine.speak(text))), *resampler.flush()]
    return b"".join(bytes(frame.data) for frame in frames)
