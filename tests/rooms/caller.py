"""Somebody who joins a room, speaks, listens and leaves; and when, to the sample, each of it happened."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from livekit import api, rtc

from livekit_otel.demo.espeak import Engine
from tests.backends.process import ServerError

from .server import KEY, SECRET, LiveKitServer
from .sound import loud_samples
from .worker import Worker

_FRAME = 0.02


@dataclass
class Heard:
    """One piece of the agent's voice as it reached the caller, unix seconds."""

    start: float
    end: float


@dataclass
class Caller:
    """A participant. ``said`` and ``heard``: each piece of it, with the moments of its first and last sample.

    ``heard`` is the decoded audio as it is handed to the caller's loudspeaker; a pause of half a second ends a piece.
    """

    server: LiveKitServer
    room: str
    identity: str = "caller"
    name: str = ""
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    kind: str = "standard"

    said: list[Heard] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)

    async def __aenter__(self) -> Caller:
        token = api.AccessToken(KEY, SECRET).with_identity(self.identity).with_name(self.name)
        token = token.with_metadata(self.metadata).with_attributes(dict(self.attributes)).with_kind(self.kind)  # type: ignore[arg-type]
        token = token.with_grants(api.VideoGrants(room_join=True, room=self.room, can_update_own_metadata=True))
        self._engine = Engine.shared()
        self._pending = bytearray()
        self._tasks: list[asyncio.Task[None]] = []
        self.client = rtc.Room()
        self.client.on("track_subscribed", self._subscribed)
        await self.client.connect(self.server.url, token.to_jwt())
        rate = self._engine.sample_rate
        self._source = rtc.AudioSource(rate, 1, queue_size_ms=100)
        self._track = rtc.LocalAudioTrack.create_audio_track("voice", self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self.client.local_participant.publish_track(self._track, options)
        self._tasks.append(asyncio.create_task(self._speak()))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def leave(self) -> None:
        """Hang up."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self.client.isconnected():
            await self.client.disconnect()

    # --- speaking --------------------------------------------------------------------------------------

    async def say(self, sentence: str) -> Heard:
        """Speak; returns when the last sample has left, with the moments of the first and the last loud one."""
        before = len(self.said)
        self._pending += await asyncio.to_thread(self._engine.speak, sentence)
        while self._pending or len(self.said) == before:  # noqa: ASYNC110 (samples have no event)
            await asyncio.sleep(0.01)
        return self.said[-1]

    def mute(self, *, on: bool = True) -> None:
        """Switch the microphone off, or on again; what is said meanwhile nobody hears."""
        if on:
            self._track.mute()
        else:
            self._track.unmute()

    async def _speak(self) -> None:
        rate = self._engine.sample_rate
        size = int(rate * _FRAME) * 2
        clock = time.time()
        open_ = False
        while True:
            clock = max(clock, time.time() - 0.2)
            await asyncio.sleep(max(0.0, clock - time.time()))
            data = bytes(self._pending[:size])
            del self._pending[:size]
            now = time.time()
            await self._source.capture_frame(rtc.AudioFrame(data.ljust(size, b"\0"), rate, 1, size // 2))
            if data and (loud := loud_samples(data)):
                if not open_:
                    self.said.append(Heard(now + loud[0] / rate, 0.0))
                    open_ = True
                self.said[-1].end = now + loud[1] / rate
            open_ = open_ and bool(self._pending)
            clock += _FRAME

    # --- listening -------------------------------------------------------------------------------------

    def _subscribed(self, track: rtc.Track, *_: object) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._tasks.append(asyncio.create_task(self._listen(track)))

    async def _listen(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(track, sample_rate=16_000, num_channels=1, frame_size_ms=10)
        try:
            async for event in stream:
                frame, now = event.frame, time.time()
                loud = loud_samples(frame.data.cast("b"))
                if not loud:
                    continue
                # the frame's last sample is the newest one
                first, last = (now - (frame.samples_per_channel - at) / frame.sample_rate for at in loud)
                if not self.heard or first - self.heard[-1].end > 0.5:
                    self.heard.append(Heard(first, last))
                self.heard[-1].end = last
        finally:
            await stream.aclose()

    async def hears(self, after: float = 0.0, seconds: float = 90.0) -> Heard:
        """Wait until the agent is heard, after ``after`` (unix seconds); returns that piece, which may go on."""
        deadline = time.monotonic() + seconds
        while not (found := [piece for piece in self.heard if piece.start > after]):
            assert time.monotonic() < deadline, f"{self.room}: the agent was not heard within {seconds} s"
            await asyncio.sleep(0.02)
        return found[0]

    async def listen(self, after: float = 0.0, silence: float = 0.7, seconds: float = 90.0) -> None:
        """Wait until the agent is heard, as :meth:`hears` does, and has fallen silent."""
        await self.hears(after, seconds)
        while time.time() - self.heard[-1].end < silence:  # noqa: ASYNC110 (silence has no event)
            await asyncio.sleep(0.02)

    async def is_alone(self, seconds: float = 30.0) -> None:
        """Wait until the agent has left the room."""
        deadline = time.monotonic() + seconds
        while self.client.remote_participants:
            assert time.monotonic() < deadline, f"{self.room}: the agent was still there after {seconds} s"
            await asyncio.sleep(0.05)


async def ask(worker: Worker, caller: Caller, sentence: str) -> float:
    """Speak, until the agent begins to speak for the second time, after its greeting; who is not answered asks again.

    Returns that moment, unix seconds, by the agent's own log: what a caller on a busy machine hears may be the rest of
    the greeting.
    """

    def answered(seconds: float) -> float:
        worker.wait_for(caller.room, "speaking", seconds, 2)
        return float([line["at"] for line in worker.log_of(caller.room) if line["what"] == "speaking"][1])

    for _ in range(2):
        await caller.say(sentence)
        with contextlib.suppress(ServerError):
            return await asyncio.to_thread(answered, 25.0)
    await caller.say(sentence)
    return await asyncio.to_thread(answered, 60.0)


async def open_room(worker: Worker, room: str, *, metadata: str = "", dispatch: str = "") -> None:
    """A room with an agent of this worker dispatched to it; it is deleted a second after its last caller left."""
    async with api.LiveKitAPI(worker.server.http, KEY, SECRET) as client:
        agents = [api.RoomAgentDispatch(agent_name=worker.agent, metadata=dispatch)]
        request = api.CreateRoomRequest(
            name=room, empty_timeout=30, departure_timeout=1, metadata=metadata, agents=agents
        )
        await client.room.create_room(request)
