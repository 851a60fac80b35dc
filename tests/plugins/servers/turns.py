"""Recognizers that decide themselves when a turn is over: Deepgram's ``/v2/listen`` (Flux) and Cartesia's ``ink-2``."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from .hearing import beginning, words_of
from .listening import Listener, serve
from .world import World, struck

_CARTESIA = {
    "StartOfTurn": "turn.start",
    "Update": "turn.update",
    "EagerEndOfTurn": "turn.eager_end",
    "TurnResumed": "turn.resume",
    "EndOfTurn": "turn.end",
}


async def flux(request: web.Request) -> web.StreamResponse:
    """One connection of Deepgram's."""
    return await serve(request, _Flux)


async def ink(request: web.Request) -> web.StreamResponse:
    """One connection of Cartesia's."""
    return await serve(request, _Ink)


class _Stream(Listener):
    name = "turns"
    connected = "Connected"

    def __init__(self, world: World, socket: web.WebSocketResponse, rate: int) -> None:
        super().__init__(world, socket, rate)
        self._turn = 0
        self._open = False
        self._eager = False
        self._said: list[str] = []
        self._onset = self._update_at = 0.0

    async def begins(self) -> None:
        await self._socket.send_json({"type": self.connected, "request_id": self.id, "sequence_id": 0})

    async def ends(self, message: dict[str, Any]) -> bool:
        return "close" in message.get("type", "").lower()

    async def audio(self, data: bytes) -> bool:
        """The next samples; False when the connection is over."""
        for heard in self.ear.hear(data):
            if heard == "start":
                await self._start()
            elif heard == "going" and self._open:
                if await struck(self._socket, self._world.strikes("stt.answer", self.ear.spoken)):
                    return False
                if self.ear.now - self._update_at >= self._world.timing.interim:
                    self._update_at = self.ear.now
                    await self._send("Update", [*self._said, beginning(self._world.speaking())])
            elif heard == "end" and self._open:
                self._said.append(self._world.said().replace("/", ""))
                self._eager = True
                await self._send("EagerEndOfTurn", self._said)
        if self._eager and not self.ear.speaking and self.ear.quiet >= self._world.timing.end_of_turn:
            self._open = self._eager = False
            self._world.note("stt final", text=" ".join(self._said), id=self.id)
            await self._send("EndOfTurn", self._said)
            self._turn += 1
        return True

    async def _start(self) -> None:
        text, self._update_at = self._world.speaking(), self.ear.now
        if not self._open:
            self._open, self._said, self._onset = True, [], self.ear.onset
            self._world.note("stt onset", text=text)
            await self._send("StartOfTurn", [text.split()[0]])
        elif self._eager:
            self._eager = False
            await self._send("TurnResumed", self._said)

    async def _send(self, event: str, said: list[str]) -> None:
        if not self._socket.closed:
            await self._socket.send_json(self.message(event, " ".join(said)))

    def message(self, event: str, text: str) -> dict[str, Any]:
        raise NotImplementedError


class _Flux(_Stream):
    def message(self, event: str, text: str) -> dict[str, Any]:
        words = words_of(text, self._onset, self.ear.now)
        return {
            "type": "TurnInfo",
            "request_id": self.id,
            "event": event,
            "turn_index": self._turn,
            "audio_window_start": self._onset,
            "audio_window_end": self.ear.now,
            "transcript": text,
            "words": [{"word": one["word"], "confidence": one["confidence"]} for one in words],
            "end_of_turn_confidence": 0.8,
            "languages": ["en"],
        }


class _Ink(_Stream):
    connected = "connected"

    def message(self, event: str, text: str) -> dict[str, Any]:
        spoken = "" if event == "StartOfTurn" else text
        return {"type": _CARTESIA[event], "request_id": self.id, "transcript": spoken}
