"""A local voice: eSpeak NG through its shared library (a wheel contains the library and its data)."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from typing import Any

import espeakng_loader
from livekit.agents import APIConnectOptions, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

__all__ = ["Engine", "EspeakTTS"]

_RETRIEVAL, _POSITION_CHARACTER, _UTF8 = 1, 1, 1
_DONE_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Engine:
    """Converts text to 16-bit mono samples. The library is one per process and not thread-safe, so calls are serial."""

    _shared: Engine | None = None
    _lock = threading.Lock()

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.sample_rate: int = self._library.espeak_Initialize(_RETRIEVAL, 0, data, 0)
        if self.sample_rate <= 0:
            raise RuntimeError(f"eSpeak NG did not start with its data in {data.decode()}")
        self._samples = bytearray()
        self._callback = _DONE_CALLBACK(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_SetVoiceByName(b"en-us")

    @classmethod
    def shared(cls) -> Engine:
        with cls._lock:
            if cls._shared is None:
                cls._shared = cls()
            return cls._shared

    def _collect(self, samples: Any, count: int, _events: Any) -> int:
        if samples and count:
            self._samples += ctypes.string_at(samples, count * 2)
        return 0

    def speak(self, text: str) -> bytes:
        """The little-endian samples of ``text`` at ``sample_rate``."""
        with self._lock:
            self._samples = bytearray()
            data = text.encode("utf-8")
            self._library.espeak_Synth(data, len(data) + 1, 0, _POSITION_CHARACTER, 0, _UTF8, None, None)
            self._library.espeak_Synchronize()
            return bytes(self._samples)


class EspeakTTS(tts.TTS[None]):
    """LiveKit's TTS interface to the engine; one request is one sentence."""

    def __init__(self) -> None:
        self._engine = Engine.shared()
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False),
            sample_rate=self._engine.sample_rate,
            num_channels=1,
        )

    @property
    def model(self) -> str:
        return "espeak-ng"

    @property
    def provider(self) -> str:
        return "local"

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _Synthesis(tts=self, input_text=text, conn_options=conn_options)


class _Synthesis(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=utils.shortuuid(),
            sample_rate=self._tts.sample_rate,
            num_channels=1,
            mime_type="audio/pcm",
        )
        output_emitter.push(await asyncio.to_thread(Engine.shared().speak, self._input_text))
        output_emitter.flush()
