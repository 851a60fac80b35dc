"""AssemblyAI's ``/v3/ws``: turns that grow word by word, and are sent once more when they are formatted."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Any

from aiohttp import WSMsgType, web

from .hearing import Ear, beginning, words_of
from .world import World, refused, struck, world_of

#: from the speech to ``SpeechStarted``
_NOTICED = 0.25


async def listen(request: web.Request) -> web.StreamResponse:
    """One connection."""
    if (refusal := await refused(request, "stt.connect")) is not None:
        return refusal
    world, socket = world_of(request), web.WebSocketResponse()
    await socket.prepare(request)
    stream = _Stream(world, socket, int(request.query["sample_rate"]))
    world.note("stt connected", id=stream.id)
    await socket.send_json({"type": "Begin", "id": stream.id, "expires_at": int(time.time()) + 3600})
    try:
        async for message in socket:
            if message.type != WSMsgType.TEXT:
                if not await stream.audio(message.data):
                    break
            elif json.loads(message.data)["type"] == "Terminate":
                seconds = {"audio_duration_seconds": stream.ear.now, "session_duration_seconds": stream.ear.now}
                await socket.send_json({"type": "Termination", **seconds})
                break
    finally:
        world.note("stt disconnected", id=stream.id)
    return socket


class _Stream:
    def __init__(self, world: World, socket: web.WebSocketResponse, rate: int) -> None:
        self.id = f"assembly-{uuid.uuid4().hex[:8]}"
        self.ear = Ear(world, rate)
        self._world = world
        self._socket = socket
        self._order = 0
        self._noticed = False
        self._update_at = 0.0

    async def audio(self, data: bytes) -> bool:
        """The next samples; False when the connection is over."""
        for heard in self.ear.hear(data):
            if heard == "start":
                self._noticed, self._update_at = False, self.ear.now
                self._world.note("stt onset", text=self._world.speaking())
            elif heard == "going":
                if await struck(self._socket, self._world.strikes("stt.answer", self.ear.spoken)):
                    return False
                await self._going()
            else:
                text = self._world.said().replace("/", "")
                await self._turn(text, final=False, utterance=text)
                await asyncio.sleep(self._world.timing.final)
                await self._turn(text, final=True)
                self._order += 1
        return True

    async def _going(self) -> None:
        if not self._noticed and self.ear.spoken >= _NOTICED:
            self._noticed = True
            milliseconds = int(self.ear.onset * 1000)
            await self._socket.send_json({"type": "SpeechStarted", "timestamp": milliseconds, "confidence": 0.9})
        if self.ear.now - self._update_at >= self._world.timing.interim:
            self._update_at = self.ear.now
            await self._turn(beginning(self._world.speaking()), final=False)

    async def _turn(self, text: str, *, final: bool, utterance: str = "") -> None:
        if self._socket.closed:
            return
        end = max(self.ear.last, self.ear.onset + 0.1)
        words: list[dict[str, Any]] = [
            {
                "text": one["word"],
                "start": int(one["start"] * 1000),
                "end": int(one["end"] * 1000),
                "confidence": 0.9,
                "word_is_final": final,
            }
            for one in words_of(text, self.ear.onset, end)
        ]
        await self._socket.send_json(
            {
                "type": "Turn",
                "turn_order": self._order,
                "turn_is_formatted": final,
                "end_of_turn": final,
                "transcript": text if final else "",
                "utterance": utterance,
                "end_of_turn_confidence": 1.0 if final else 0.3,
                "words": words,
                "language_code": "en",
                "language_confidence": 0.99,
            }
        )
        self._world.note("stt final" if final else "stt interim", text=text, id=self.id)
