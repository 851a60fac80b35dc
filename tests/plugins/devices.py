"""The caller's microphone, an output that can pause, and a witness of what VAD hears."""

from __future__ import annotations

import array
import asyncio
import time
from collections.abc import Callable

from livekit import rtc
from livekit.agents import vad
from livekit.agents.voice import io

from .servers import World

_FRAME_SECONDS = 0.02
#: samples below this are the silence in which the speech engine ends
_SILENT = 60


def witnessed(detector: vad.VAD, world: World) -> vad.VAD:
    """The VAD, whose streams write down when they hear somebody begin and stop."""
    make: Callable[[], vad.VADStream] = detector.stream

    def stream() -> vad.VADStream:
        made = make()
        witness = _Witness(world, made)
        made._event_ch.send_nowait = witness.event  # type: ignore[method-assign, assignment]
        made.flush = witness.flush  # type: ignore[method-assign]
        return made

    detector.stream = stream  # type: ignore[method-assign]
    return detector


class _Witness:
    """Sees what a VAD stream says. A flush resets it: then the user stopped where it last heard speech."""

    def __init__(self, world: World, stream: vad.VADStream) -> None:
        self._world = world
        self._send = stream._event_ch.send_nowait
        self._flush = stream.flush
        self._speaks = False
        self._heard = 0.0

    def event(self, event: vad.VADEvent) -> None:
        now = time.perf_counter()
        if event.type == vad.VADEventType.START_OF_SPEECH:
            self._speaks = True
            self._world.note("vad start", now - event.speech_duration - event.inference_duration)
        elif event.type == vad.VADEventType.END_OF_SPEECH:
            self._speaks = False
            self._world.note("vad stop", now - event.silence_duration - event.inference_duration)
        elif event.raw_accumulated_speech > 0:
            self._heard = now
        self._send(event)

    def flush(self) -> None:
        if self._speaks:
            self._speaks = False
            self._world.note("vad stop", self._heard, flushed=True)
        self._flush()


class Microphone(io.AudioInput):
    """A frame every 20 ms: what :meth:`play` was given, else silence."""

    def __init__(self, rate: int, world: World) -> None:
        super().__init__(label="caller")
        self._rate = rate
        self._world = world
        self._bytes = int(rate * _FRAME_SECONDS) * 2
        self._pending = bytearray()
        #: all that was to be said is said
        self.silent = asyncio.Event()
        self._next: float | None = None
        self._speaks = False

    def play(self, samples: bytes) -> None:
        """Say these 16-bit mono samples."""
        self._pending += samples
        self.silent.clear()

    async def __anext__(self) -> rtc.AudioFrame:
        loop = asyncio.get_running_loop()
        self._next = max(self._next or 0.0, loop.time() - 0.5) + _FRAME_SECONDS
        await asyncio.sleep(max(0.0, self._next - loop.time()))
        speaks = bool(self._pending)
        data = bytes(self._pending[: self._bytes]).ljust(self._bytes, b"\0")
        del self._pending[: self._bytes]
        if speaks is not self._speaks:
            self._speaks = speaks
            self._world.note("mic on" if speaks else "mic off")
        if not self._pending:
            self.silent.set()
        return rtc.AudioFrame(data, self._rate, 1, self._bytes // 2)


class Loudspeaker(io.AudioOutput):
    """Plays in real time, says when it begins and ends, and pauses where it is asked to."""

    def __init__(self, world: World, rate: int = 24_000) -> None:
        super().__init__(label="caller", capabilities=io.AudioOutputCapabilities(pause=True), sample_rate=rate)
        self._world = world
        self._timer: asyncio.TimerHandle | None = None
        self._forget()

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._length = self._played = 0.0
        self._begun = self._whole = False
        self._since: float | None = None

    @property
    def _position(self) -> float:
        running = time.perf_counter() - self._since if self._since is not None else 0.0
        return min(self._length, self._played + running)

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._begun:
            self._begun, self._since = True, time.perf_counter()
            self._world.note("output first frame")
            self.on_playback_started(created_at=time.time())
        self._length += frame.duration
        self._plan()

    def flush(self) -> None:
        super().flush()
        self._whole = self._begun
        self._plan()

    def pause(self) -> None:
        super().pause()
        if self._since is not None:
            self._played, self._since = self._position, None
            self._world.note("output paused")
            self._plan()

    def resume(self) -> None:
        super().resume()
        if self._begun and self._since is None:
            self._since = time.perf_counter()
            self._world.note("output resumed")
            self._plan()

    def clear_buffer(self) -> None:
        if self._begun:
            self._finish(interrupted=True)

    def _plan(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._whole and self._since is not None:
            left = max(0.0, self._length - self._position)
            self._timer = asyncio.get_running_loop().call_later(left, lambda: self._finish(interrupted=False))

    def _finish(self, *, interrupted: bool) -> None:
        position = self._position
        self._world.note("output over", interrupted=interrupted, position=position)
        self._forget()
        self.on_playback_finished(playback_position=position, interrupted=interrupted)


class Subtitles(io.TextOutput):
    """Takes the agent's words, as a session with an audio output has them."""

    def __init__(self) -> None:
        super().__init__(label="caller", next_in_chain=None)

    async def capture_text(self, text: str) -> None:
        return None

    def flush(self) -> None:
        return None


def trimmed(samples: bytes) -> bytes:
    """16-bit samples without the silence at their end."""
    values = array.array("h", samples)
    while values and abs(values[-1]) < _SILENT:
        values.pop()
    return values.tobytes()
