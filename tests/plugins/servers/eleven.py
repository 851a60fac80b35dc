"""ElevenLabs' ``multi-stream-input``: contexts on one connection, audio as base64, times of characters."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from aiohttp import WSMsgType, web

from .voice import PER_CHARACTER, audio_of
from .world import World, refused, struck, world_of


async def speak(request: web.Request) -> web.StreamResponse:
    """One connection."""
    if (refusal := await refused(request, "tts.connect")) is not None:
        return refusal
    world, socket = world_of(request), web.WebSocketResponse()
    await socket.prepare(request)
    rate = int(request.query["output_format"].split("_")[1])
    contexts: dict[str, _Context] = {}
    world.note("tts connected")
    async for message in socket:
        if message.type != WSMsgType.TEXT:
            continue
        asked = json.loads(message.data)
        if "context_id" not in asked:
            continue
        name = asked["context_id"]
        if name not in contexts:
            if asked.get("close_context"):
                continue
            contexts[name] = _Context(world, socket, name, rate)
        elif asked.get("text", "").strip():
            world.note("tts request", text=asked["text"].strip(), id=name)
        contexts[name].asked.put_nowait(asked)
    for context in contexts.values():
        context.task.cancel()
    world.note("tts disconnected")
    return socket


class _Context:
    def __init__(self, world: World, socket: web.WebSocketResponse, name: str, rate: int) -> None:
        self._world = world
        self._socket = socket
        self._name = name
        self._rate = rate
        self.asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.task = asyncio.ensure_future(self._work())

    async def _work(self) -> None:
        text = ""
        while not self._socket.closed:
            asked = await self.asked.get()
            text += asked.get("text", "")
            if (asked.get("flush") or asked.get("close_context")) and text.strip():
                whole, text = text.strip(), ""
                if not await self._speak(whole):
                    return
            if asked.get("close_context"):
                await self._send({"audio": None, "isFinal": True})
                return

    async def _speak(self, text: str) -> bool:
        """Whether the context continues."""
        error = {"error": "quota_exceeded", "message": "no more", "code": 1008, "contextId": self._name}
        if await struck(self._socket, self._world.strikes("tts.request"), error):
            return False
        times = _times(text)
        async for at, samples in audio_of(self._world, text, self._rate):
            if self._socket.closed or await struck(self._socket, self._world.strikes("tts.answer", at)):
                return False
            stamps = times if at == 0 else None
            chunk = base64.b64encode(samples).decode()
            await self._send({"audio": chunk, "isFinal": None, "alignment": stamps, "normalizedAlignment": stamps})
        return True

    async def _send(self, message: dict[str, Any]) -> None:
        if not self._socket.closed:
            await self._socket.send_json({**message, "contextId": self._name})


def _times(text: str) -> dict[str, Any]:
    each, characters = int(PER_CHARACTER * 1000), list(f"{text} ")
    starts = [number * each for number in range(len(characters))]
    return {"chars": characters, "charStartTimesMs": starts, "charDurationsMs": [each] * len(characters)}
