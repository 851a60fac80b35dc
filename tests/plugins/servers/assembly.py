"""AssemblyAI's ``/v3/ws``: turns that grow word by word, and are sent once more when they are formatted."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiohttp import web

from .hearing import beginning, words_of
from .listening import Listener, serve
from .world import World, struck

#: from the speech to ``SpeechStarted``
_NOTICED = 0.25


async def listen(request: web.Request) -> web.StreamResponse:
    """One connection."""
    return await serve(request, _Stream)


class _Stream(Listener):
    name = "assembly"

    def __init__(self, world: World, socket: web.WebSocketResponse, rate: int) -> None:
        super().__init__(world, socket, rate)
        self._order = 0
        self._noticed = False
        self._update_at = 0.0

    async def begins(self) -> None:
        await self._socket.send_json({"type": "Begin", "id": self.id, "expires_at": int(time.time()) + 3600})

    async def ends(self, message: dict[str, Any]) -> bool:
        if message["type"] != "Terminate":
            return False
        seconds = {"audio_duration_seconds": self.ear.now, "session_duration_seconds": self.ear.now}
        await self._socket.send_json({"type": "Termination", **seconds})
        return True

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
