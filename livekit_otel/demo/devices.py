"""The caller's microphone and loudspeaker, in real time."""

from __future__ import annotations

import asyncio
import time

from livekit import rtc
from livekit.agents.voice import io

__all__ = ["Loudspeaker", "Microphone"]

_FRAME_SECONDS = 0.02


class Microphone(io.AudioInput):
    """Delivers a frame every 20 ms: the samples passed to :meth:`play`, else silence."""

    def __init__(self, sample_rate: int) -> None:
        super().__init__(label="demo caller")
        self._rate = sample_rate
        self._bytes = int(sample_rate * _FRAME_SECONDS) * 2
        self._pending = bytearray()
        self._next: float | None = None

    def play(self, samples: bytes) -> None:
        """Queue these 16-bit mono samples."""
        self._pending += samples

    @property
    def silent(self) -> bool:
        return not self._pending

    async def __anext__(self) -> rtc.AudioFrame:
        loop = asyncio.get_running_loop()
        self._next = max(self._next or 0.0, loop.time() - 0.5) + _FRAME_SECONDS
        await asyncio.sleep(max(0.0, self._next - loop.time()))
        data = bytes(self._pending[: self._bytes]).ljust(self._bytes, b"\0")
        del self._pending[: self._bytes]
        return rtc.AudioFrame(data, self._rate, 1, self._bytes // 2)


class Loudspeaker(io.AudioOutput):
    """Accepts the agent's voice and reports, in real time, when it starts and stops."""

    def __init__(self, sample_rate: int) -> None:
        super().__init__(
            label="demo loudspeaker", capabilities=io.AudioOutputCapabilities(pause=False), sample_rate=sample_rate
        )
        self._started: float | None = None
        self._length = 0.0
        self._end: asyncio.TimerHandle | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if self._started is None:
            self._started, self._length = time.time(), 0.0
            self.on_playback_started(created_at=self._started)
        self._length += frame.duration

    def flush(self) -> None:
        super().flush()
        if self._started is not None and self._end is None:
            left = self._started + self._length - time.time()
            self._end = asyncio.get_running_loop().call_later(max(0.0, left), self._stop, False)

    def clear_buffer(self) -> None:
        self._stop(True)

    def _stop(self, interrupted: bool) -> None:
        if self._started is None:
            return
        position = min(self._length, time.time() - self._started)
        self._started = None
        if self._end is not None:
            self._end.cancel()
            self._end = None
        self.on_playback_finished(playback_position=position, interrupted=interrupted)
