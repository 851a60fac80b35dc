"""The server's side of Gemini Live, over TLS as its client insists on."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from aiohttp import WSMsgType, web

from .faults import FAULTS, Fault
from .log import LoopbackServer, Reply, tone

USAGE = {
    "promptTokenCount": 210,
    "responseTokenCount": 75,
    "totalTokenCount": 285,
    "cachedContentTokenCount": 40,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 110}, {"modality": "AUDIO", "tokenCount": 100}],
    "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 40}],
    "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 70}, {"modality": "TEXT", "tokenCount": 5}],
}
_PIECE = 0.1


class GeminiServer(LoopbackServer):
    """Answers what the client asks with its ``replies``, a tool's result with ``after_tools``."""

    def __init__(self, tls: Any) -> None:
        super().__init__(tls)
        self.after_tools: list[Reply] = []
        self._socket: web.WebSocketResponse | None = None
        self._speaking: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        self.log.note("connected")
        async for message in socket:
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                continue
            event = json.loads(message.data)
            if "setup" in event:
                self._socket = socket
                await self._send(setupComplete={})
                await self._send(sessionResumptionUpdate={"newHandle": self.new_id("handle"), "resumable": True})
            else:
                await self._received(event)
        self.log.note("disconnected")
        return socket

    async def _received(self, event: dict[str, Any]) -> None:
        heard = event.get("realtime_input") or event.get("realtimeInput") or {}
        if "activity_start" in heard or "activityStart" in heard:
            self.log.note("activity start")
            await self.user_interrupts()
        asked = event.get("client_content") or event.get("clientContent") or {}
        if asked.get("turn_complete") or asked.get("turnComplete"):
            self.log.note("asked")
            self.answer(self.next_reply())
        if event.get("tool_response") or event.get("toolResponse"):
            self.log.note("tool result")
            if self.after_tools:
                self.answer(self.after_tools.pop(0))

    async def user_interrupts(self) -> None:
        """The server hears the user speak over the answer."""
        if self._speaking is not None and not self._speaking.done():
            self.log.note("interrupted")
            self._speaking.cancel()
            await asyncio.wait([self._speaking])

    def answer(self, reply: Reply) -> None:
        """The model begins to answer, asked for or not."""
        self._speaking = self.background(self._respond(reply))

    async def _respond(self, reply: Reply) -> None:
        await asyncio.sleep(reply.delay)
        fault = FAULTS[reply.fault] if reply.fault else None
        try:
            if reply.heard and reply.heard_at == "before":
                for word in reply.heard.split():
                    await self._heard(f" {word}")
                await asyncio.sleep(reply.think)
            if reply.calls:
                calls = [{"id": self.new_id("call"), "name": name, "args": args} for name, args in reply.calls]
                await self._send(toolCall={"functionCalls": calls})
                await self._send(usageMetadata=USAGE)
                self.log.note("tool call")
                return
            if await self._say(reply, fault):
                return
            await self._send(serverContent={"turnComplete": True}, usageMetadata=USAGE)
            self.log.note("turn complete")
        except asyncio.CancelledError:
            await self._send(serverContent={"interrupted": True})
            await self._send(serverContent={"turnComplete": True}, usageMetadata={"promptTokenCount": 20})

    async def _say(self, reply: Reply, fault: Fault | None) -> bool:
        """The answer; True where the connection goes in the middle of it."""
        words, sound = reply.text.split(), tone(reply.seconds)
        pieces = max(len(words), round(reply.seconds / _PIECE))
        step = len(sound) // max(1, round(reply.seconds / _PIECE)) // 2 * 2
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for number in range(pieces):
            if fault is not None and number == fault.after:
                await self._lose(fault)
                return True
            piece = sound[number * step : (number + 1) * step]
            if piece:
                data = {"mimeType": "audio/pcm;rate=24000", "data": base64.b64encode(piece).decode()}
                await self._send(serverContent={"modelTurn": {"parts": [{"inlineData": data}]}})
            if number == 0:
                self.log.note("first output")
            if number < len(words):
                await self._send(serverContent={"outputTranscription": {"text": f"{words[number]} "}})
            if reply.heard and reply.heard_at == "middle" and number == 2:
                await self._heard(reply.heard)
            if reply.usages > 1 and number == 1:
                await self._send(usageMetadata=USAGE)
            await asyncio.sleep(_PIECE / reply.pace)
        await self._send(serverContent={"generationComplete": True})
        if reply.heard and reply.heard_at == "late":
            await self._heard(reply.heard)
        # Gemini says that the turn is complete when it takes the answer for heard
        await asyncio.sleep(max(0.0, begun + reply.seconds - loop.time()))
        return False

    async def _heard(self, words: str) -> None:
        await self._send(serverContent={"inputTranscription": {"text": words}})
        self.log.note("words")

    async def _lose(self, fault: Fault) -> None:
        if fault.go_away:
            self.log.note("go away")
            await self._send(goAway={"timeLeft": "1s"})
        elif self._socket is not None:
            self.log.note("dropped")
            await self._socket.close(code=fault.close, message=b"Internal error")

    async def _send(self, **message: Any) -> None:
        socket = self._socket
        if socket is not None and not socket.closed:
            await socket.send_bytes(json.dumps(message).encode())
