"""What the connections of all recognizers have in common."""

from __future__ import annotations

import json
import uuid
from typing import Any, ClassVar

from aiohttp import WSMsgType, web

from .hearing import Ear
from .world import World, refused, world_of


class Listener:
    """One connection of a recognizer: samples come in, messages of its protocol go out."""

    name: ClassVar[str]

    def __init__(self, world: World, socket: web.WebSocketResponse, rate: int) -> None:
        self.id = f"{self.name}-{uuid.uuid4().hex[:8]}"
        self.ear = Ear(world, rate)
        self._world = world
        self._socket = socket

    async def begins(self) -> None:
        """The client has connected."""

    async def audio(self, data: bytes) -> bool:
        """The next samples; False when the connection is over."""
        raise NotImplementedError

    async def ends(self, message: dict[str, Any]) -> bool:
        """A message of the client; True if it closes the connection."""
        raise NotImplementedError


async def serve(request: web.Request, kind: type[Listener]) -> web.StreamResponse:
    """One connection."""
    if (refusal := await refused(request, "stt.connect")) is not None:
        return refusal
    world, socket = world_of(request), web.WebSocketResponse()
    await socket.prepare(request)
    listener = kind(world, socket, int(request.query["sample_rate"]))
    world.note("stt connected", id=listener.id, model=request.query.get("model", ""))
    await listener.begins()
    try:
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                if await listener.ends(json.loads(message.data)):
                    break
            elif not await listener.audio(message.data):
                break
    finally:
        world.note("stt disconnected", id=listener.id)
    return socket
