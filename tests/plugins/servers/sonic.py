"""Cartesia's ``/tts/websocket`` (sonic): contexts on one connection, audio as base64, timestamps of words."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from aiohttp import WSMsgType, web

from .hearing import words_of
from .voice import PER_CHARACTER, audio_of
from .world import World, refused, struck, world_of


async def speak(request: web.Request) -> web.StreamResponse:
    """One connection; each context is worked off in its own order."""
    if (refusal := await refused(request, "tts.connect")) is not None:
        return refusal
    world, socket = world_of(request), web.WebSocketResponse()
    await socket.prepare(request)
    contexts: dict[str, _Context] = {}
    world.note("tts connected")
    async for message in socket:
        if message.type != WSMsgType.TEXT:
            continue
        asked = json.loads(message.data)
        name = asked["context_id"]
        if asked.get("cancel"):
            if name in contexts:
                contexts[name].task.cancel()
            continue
        if name not in contexts:
            contexts[name] = _Context(world, socket, name)
        if asked["transcript"].strip():
            world.note("tts request", text=asked["transcript"].strip(), id=name)
        contexts[name].asked.put_nowait(asked)
    for context in contexts.values():
        context.task.cancel()
    world.note("tts disconnected")
    return socket


class _Context:
    def __init__(self, world: World, socket: web.WebSocketResponse, name: str) -> None:
        self._world = world
        self._socket = socket
        self._name = name
        self._said = 0.0
        self.asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.task = asyncio.ensure_future(self._work())

    async def _work(self) -> None:
        while not self._socket.closed:
            asked = await self.asked.get()
            text = asked["transcript"].strip()
            if text and not await self._speak(text, asked["output_format"]["sample_rate"]):
                return
            if not asked["continue"]:
                await self._send({"type": "done", "done": True, "status_code": 200})
                return

    async def _speak(self, text: str, rate: int) -> bool:
        """Whether the context continues."""
        error = {"type": "error", "error": "synthesis failed", "status_code": 500, "done": False}
        if await struck(self._socket, self._world.strikes("tts.request"), {**error, "context_id": self._name}):
            return False
        first = True
        async for at, samples in audio_of(self._world, text, rate):
            if self._socket.closed or await struck(self._socket, self._world.strikes("tts.answer", at)):
                return False
            if first:
                first = False
                await self._words(text)
            chunk = base64.b64encode(samples).decode()
            await self._send({"type": "chunk", "data": chunk, "done": False, "status_code": 206, "step_time": 1})
        self._said += len(text) * PER_CHARACTER
        return True

    async def _words(self, text: str) -> None:
        words = words_of(text, self._said, self._said + len(text) * PER_CHARACTER)
        stamps = {
            "words": [one["punctuated_word"] for one in words],
            "start": [one["start"] for one in words],
            "end": [one["end"] for one in words],
        }
        await self._send({"type": "timestamps", "done": False, "status_code": 206, "word_timestamps": stamps})

    async def _send(self, message: dict[str, Any]) -> None:
        if not self._socket.closed:
            await self._socket.send_json({**message, "context_id": self._name})
