"""A local recognizer: pocketsphinx, with a grammar of the sentences that it has to recognize."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectOptions, stt, utils
from pocketsphinx import Decoder

__all__ = ["SphinxSTT", "resample"]

_RATE = 16_000
#: VAD cuts closely, but the decoder needs silence around a sentence
_SILENCE = b"\0\0" * (_RATE // 10)


class SphinxSTT(stt.STT[None]):
    """Recognizes complete speech segments, which LiveKit cuts out with its VAD."""

    def __init__(self, sentences: tuple[str, ...]) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
        grammar = f"#JSGF V1.0;\ngrammar demo;\npublic <sentence> = {' | '.join(sentences)};\n"
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "demo.jsgf"
            file.write_text(grammar, encoding="ascii")
            self._decoder = Decoder(jsgf=str(file), samprate=_RATE, loglevel="FATAL")

    @property
    def model(self) -> str:
        return "pocketsphinx-en-us"

    @property
    def provider(self) -> str:
        return "local"

    async def _recognize_impl(
        self, buffer: utils.AudioBuffer, *, language: Any = None, conn_options: APIConnectOptions
    ) -> stt.SpeechEvent:
        frame = rtc.combine_audio_frames(buffer)
        text, confidence = await asyncio.to_thread(self.transcribe, bytes(frame.data.cast("b")), frame.sample_rate)
        heard = [stt.SpeechData(language="en", text=text, confidence=confidence)] if text else []  # type: ignore[arg-type]
        return stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=heard)

    def transcribe(self, samples: bytes, sample_rate: int) -> tuple[str, float]:
        """Text and confidence of 16-bit mono samples; empty text if no sentence matches."""
        data = samples if sample_rate == _RATE else resample(samples, sample_rate, _RATE)
        data = _SILENCE + data + _SILENCE
        self._decoder.start_utt()
        self._decoder.process_raw(data, False, True)
        self._decoder.end_utt()
        best = self._decoder.hyp()
        return (best.hypstr, round(min(1.0, max(0.0, best.prob)), 3)) if best is not None else ("", 0.0)


def resample(samples: bytes, source: int, target: int) -> bytes:
    """Convert 16-bit mono samples to another sample rate."""
    resampler = rtc.AudioResampler(source, target, quality=rtc.AudioResamplerQuality.HIGH)
    frame = rtc.AudioFrame(samples, source, 1, len(samples) // 2)
    frames = [*resampler.push(frame), *resampler.flush()]
    return b"".join(bytes(one.data.cast("b")) for one in frames)
