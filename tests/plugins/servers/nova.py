"""Deepgram's ``/v1/listen`` (nova-3): interim and final transcripts, ``SpeechStarted``, usage by the client."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from .hearing import beginning, words_of
from .listening import Listener, serve
from .world import World, struck

#: an utterance with a slash in its text gives its first part as a final after so many seconds
_PIECE = 1.2


async def listen(request: web.Request) -> web.StreamResponse:
    """One connection."""
    return await serve(request, _Stream)


class _Stream(Listener):
    name = "nova"

    def __init__(self, world: World, socket: web.WebSocketResponse, rate: int) -> None:
        super().__init__(world, socket, rate)
        self._interim_at = 0.0
        #: where the next transcript begins, once a first part of the utterance was final
        self._since: float | None = None

    async def ends(self, message: dict[str, Any]) -> bool:
        if message["type"] != "CloseStream":
            return False
        await self._socket.send_json({"type": "Metadata", "request_id": self.id, "duration": self.ear.now})
        return True

    async def audio(self, data: bytes) -> bool:
        """The next samples; False when the connection is over."""
        for heard in self.ear.hear(data):
            if heard == "start":
                text, self._interim_at, self._since = self._world.speaking(), self.ear.now, None
                self._world.note("stt onset", text=text)
                await self._socket.send_json({"type": "SpeechStarted", "channel": [0], "timestamp": self.ear.onset})
            elif heard == "going":
                if await struck(self._socket, self._world.strikes("stt.answer", self.ear.spoken)):
                    return False
                await self._going()
            else:
                await self._end()
        return True

    async def _going(self) -> None:
        first, _, rest = self._world.speaking().partition("/")
        if rest and self._since is None and self.ear.spoken > _PIECE:
            await self._results(first.strip(), self.ear.onset, self.ear.now, final=True, over=False)
            self._since = self.ear.now
        elif self.ear.now - self._interim_at >= self._world.timing.interim:
            self._interim_at = self.ear.now
            text = beginning(rest if self._since is not None else first)
            await self._results(text, self.ear.onset, self.ear.now, final=False, over=False)

    async def _end(self) -> None:
        first, _, rest = self._world.said().partition("/")
        last, onset = self.ear.last, self._since or self.ear.onset
        text = (rest if self._since is not None else f"{first} {rest}").strip()
        await asyncio.sleep(self._world.timing.final)
        await self._results(text, onset, last, final=True, over=True)

    async def _results(self, text: str, start: float, end: float, *, final: bool, over: bool) -> None:
        if self._socket.closed:
            return
        alternative = {"transcript": text, "confidence": 0.98, "words": words_of(text, start, end)}
        await self._socket.send_json(
            {
                "type": "Results",
                "channel_index": [0, 1],
                "start": start,
                "duration": end - start,
                "is_final": final,
                "speech_final": over,
                "from_finalize": False,
                "channel": {"alternatives": [alternative]},
                "metadata": {"request_id": self.id, "model_info": {}, "model_uuid": "x"},
            }
        )
        self._world.note("stt final" if final else "stt interim", text=text, id=self.id)
