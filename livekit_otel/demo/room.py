"""The same call in a room of a LiveKit server: agent and caller are two participants, with WebRTC in between."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from livekit import api, rtc
from livekit.agents.testing import fake_job_context

from .._display import visible
from ..errors import EndpointError, OptionError
from .call import Echo, FlowerShop, make_session, talk
from .espeak import Engine

__all__ = ["run_room_call"]

KEY, SECRET = "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"
_FRAME_SECONDS = 0.02
_QUEUE_MS = 200


class RoomVoice:
    """The caller's microphone: a track that is published in the room."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._pending = bytearray()
        self._source = rtc.AudioSource(rate, 1, queue_size_ms=_QUEUE_MS)

    def play(self, samples: bytes) -> None:
        """Say these 16-bit mono samples."""
        self._pending += samples

    async def publish(self, room: rtc.Room) -> asyncio.Task[None]:
        """Publish the track, and speak from now on; until the task is cancelled."""
        track = rtc.LocalAudioTrack.create_audio_track("caller", self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await room.local_participant.publish_track(track, options)
        return asyncio.create_task(self._speak())

    async def _speak(self) -> None:
        size = int(self._rate * _FRAME_SECONDS) * 2
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + _FRAME_SECONDS, loop.time() - 0.5)
            await asyncio.sleep(max(0.0, due - loop.time()))
            data = bytes(self._pending[:size]).ljust(size, b"\0")
            del self._pending[:size]
            await self._source.capture_frame(rtc.AudioFrame(data, self._rate, 1, size // 2))


async def run_room_call(url: str, echo: Echo) -> dict[str, Any]:
    """Hold the call in a new room of the server at ``url``, which is deleted afterwards; returns LiveKit's own report.

    Raises:
        OptionError: the keys are not in the environment.
        EndpointError: the server cannot be reached, or refuses the keys.
    """
    key, secret = os.environ.get(KEY), os.environ.get(SECRET)
    if not key or not secret:
        raise OptionError(f"a call in a room needs the server's keys: set {KEY} and {SECRET}")
    name = f"livekit-otel-demo-{secrets.token_hex(4)}"

    def token(identity: str, kind: Any = "standard") -> str:
        grants = api.VideoGrants(room_join=True, room=name, agent=kind == "agent", can_update_own_metadata=True)
        return api.AccessToken(key, secret).with_identity(identity).with_kind(kind).with_grants(grants).to_jwt()

    async with _joined(url, token("agent", "agent")) as agent, _joined(url, token("caller")) as caller:
        echo(f"  (in the room {name})")
        voice = RoomVoice(Engine.shared().sample_rate)
        speaking = await voice.publish(caller)
        try:
            with fake_job_context(room=agent) as context:
                session = make_session(echo)
                await session.start(FlowerShop(), room=agent)
                return await talk(context, session, voice)
        finally:
            speaking.cancel()
            await _delete(url, key, secret, name)


@asynccontextmanager
async def _joined(url: str, token: str) -> AsyncIterator[rtc.Room]:
    room = rtc.Room()
    # LiveKit logs a token that was refused, maybe when this is over, and its error quotes it
    logging.getLogger("livekit").addFilter(lambda record: token not in record.getMessage())
    try:
        await room.connect(url, token)
    except rtc.ConnectError as error:
        why = visible(str(error).replace(token, "…"))
        raise EndpointError(f"cannot join a room: {why}", f"check the URL, {KEY} and {SECRET}") from None
    try:
        yield room
    finally:
        await room.disconnect()


async def _delete(url: str, key: str, secret: str, name: str) -> None:
    """The room goes by itself, too, when it has been empty for a while."""
    with contextlib.suppress(Exception):
        async with api.LiveKitAPI(url, key, secret) as client:
            await client.room.delete_room(api.DeleteRoomRequest(room=name))
