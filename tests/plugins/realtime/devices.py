"""A microphone and a loudspeaker in real time; the loudspeaker notes when it is heard, and can pause."""

from __future__ import annotations

import asyncio
import time

from livekit import rtc
from livekit.agents.voice import io

_FRAME = 0.02


class Microphone(io.AudioInput):
    """Silence, but for what is put into it."""

    def __init__(self, rate: int) -> None:
        super().__init__(label="microphone")
        self.rate = rate
        self._size = int(rate * _FRAME) * 2
        self._sound = bytearray()
        self._next = 0.0

    def hears(self, sound: bytes) -> float:
        """Somebody speaks; returns how long that takes, in seconds."""
        self._sound += sound
        return len(sound) / 2 / self.rate

    async def __anext__(self) -> rtc.AudioFrame:
        now = asyncio.get_running_loop().time()
        self._next = max(self._next, now - 0.2) + _FRAME
        await asyncio.sleep(max(0.0, self._next - now))
        data = bytes(self._sound[: self._size]).ljust(self._size, b"\0")
        del self._sound[: self._size]
        return rtc.AudioFrame(data, self.rate, 1, self._size // 2)


class Loudspeaker(io.AudioOutput):
    """Plays what it gets as fast as people hear it. ``started`` are the unix times at which it began to be heard."""

    def __init__(self, rate: int = 24_000) -> None:
        super().__init__(label="loudspeaker", capabilities=io.AudioOutputCapabilities(pause=True), sample_rate=rate)
        self.started: list[float] = []
        self._given = self._played = 0.0
        self._whole = self._paused = False
        self._playing: asyncio.Task[None] | None = None

    @property
    def playing(self) -> bool:
        return self._playing is not None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if self._playing is None:
            self._given = self._played = 0.0
            self._whole = False
            self._playing = asyncio.create_task(self._play())
        self._given += frame.duration

    async def _play(self) -> None:
        announced, last = False, time.time()
        while not self._whole or self._played < self._given - 1e-6:
            if not announced and not self._paused:
                announced, now = True, time.time()
                self.started.append(now)
                self.on_playback_started(created_at=now)
            await asyncio.sleep(0.01)
            now = time.time()
            if not self._paused:
                self._played = min(self._given, self._played + now - last)
            last = now
        self._over(interrupted=False)

    def _over(self, *, interrupted: bool) -> None:
        self._playing = None
        self.on_playback_finished(playback_position=self._played, interrupted=interrupted)

    def flush(self) -> None:
        super().flush()
        self._whole = True

    def clear_buffer(self) -> None:
        if self._playing is not None:
            self._playing.cancel()
            self._over(interrupted=True)

    def pause(self) -> None:
        super().pause()
        self._paused = True

    def resume(self) -> None:
        super().resume()
        self._paused = False


class Captions(io.TextOutput):
    """Takes the transcription."""

    def __init__(self) -> None:
        super().__init__(label="captions", next_in_chain=None)

    async def capture_text(self, text: str) -> None:
        return None

    def flush(self) -> None:
        return None
