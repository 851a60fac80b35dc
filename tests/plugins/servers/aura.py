"""Deepgram's ``/v1/speak`` (Aura): text until ``Flush``, then audio as binary frames, then ``Flushed``."""

from __future__ import annotations

import json
import uuid

from aiohttp import WSMsgType, web

from .voice import audio_of
from .world import refused, struck, world_of

_ERROR = {"type": "Error", "err_code": "INTERNAL", "err_msg": "synthesis failed"}


async def speak(request: web.Request) -> web.StreamResponse:
    """One connection."""
    if (refusal := await refused(request, "tts.connect")) is not None:
        return refusal
    world, socket = world_of(request), web.WebSocketResponse()
    identifier = f"aura-{uuid.uuid4().hex[:8]}"
    socket.headers["dg-request-id"] = identifier
    await socket.prepare(request)
    rate, text = int(request.query["sample_rate"]), ""
    world.note("tts connected", id=identifier)
    async for message in socket:
        if message.type != WSMsgType.TEXT:
            continue
        asked = json.loads(message.data)
        if asked["type"] == "Speak":
            text += asked["text"]
        elif asked["type"] == "Flush":
            whole, text = text.strip(), ""
            if not whole:
                await socket.send_json({"type": "Flushed", "sequence_id": 0})
                continue
            world.note("tts request", text=whole, id=identifier)
            if (fault := world.strikes("tts.request")) is not None:
                await struck(socket, fault, _ERROR)
                continue
            async for at, samples in audio_of(world, whole, rate):
                if socket.closed or await struck(socket, world.strikes("tts.answer", at)):
                    break
                await socket.send_bytes(samples)
            if not socket.closed:
                await socket.send_json({"type": "Flushed", "sequence_id": 0})
        elif asked["type"] == "Close":
            await socket.close()
    world.note("tts disconnected", id=identifier)
    return socket
