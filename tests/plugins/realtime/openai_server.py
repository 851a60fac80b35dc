"""The server's side of OpenAI's realtime protocol, which Azure and xAI speak, too."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from aiohttp import WSMsgType, web

from .faults import FAULTS, Fault
from .log import LoopbackServer, Reply, tone

USAGE = {
    "total_tokens": 253,
    "input_tokens": 127,
    "output_tokens": 126,
    "input_token_details": {
        "text_tokens": 119,
        "audio_tokens": 8,
        "image_tokens": 0,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 4, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 96},
}
WORDS_USAGE = {
    "type": "tokens",
    "input_tokens": 11,
    "output_tokens": 4,
    "total_tokens": 15,
    "input_token_details": {"audio_tokens": 11, "text_tokens": 0},
}
#: audio is sent in pieces of this length
_PIECE = 0.1


class OpenAIServer(LoopbackServer):
    """Answers ``response.create`` with its ``replies``, and hears the user when the script says so."""

    def __init__(self) -> None:
        super().__init__()
        self.text_only = False
        #: words of audio that the client commits, and after how many seconds they come
        self.committed_words: list[tuple[str, float]] = []
        self._socket: web.WebSocketResponse | None = None
        self._tail: str | None = None
        self._speaking: asyncio.Task[None] | None = None
        self._cancel_reason = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        self._socket, self._tail = socket, None
        self.log.note("connected")
        await self._send("session.created", session={"id": self.new_id("sess"), "type": "realtime"})
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                event = json.loads(message.data)
                if event["type"] != "input_audio_buffer.append":
                    await self._received(event)
        self.log.note("disconnected")
        return socket

    async def _received(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        self.log.note(f"got {kind}")
        if kind == "session.update":
            await self._send("session.updated", session=event["session"])
        elif kind == "conversation.item.create":
            item = {"id": self.new_id("item"), "status": "completed", **event["item"]}
            if item["type"] == "force_message":
                self.answer(Reply(item["content"][0]["text"]))
                return
            before = event.get("previous_item_id")
            await self._add(item, None if before == "root" else before or self._tail)
        elif kind == "conversation.item.delete":
            await self._send("conversation.item.deleted", item_id=event["item_id"])
        elif kind == "conversation.item.truncate":
            await self._send("conversation.item.truncated", **{n: event[n] for n in ("item_id", "content_index")})
        elif kind == "input_audio_buffer.commit":
            item_id = await self._commit(self.new_id("item"))
            if self.committed_words:
                self.background(self._transcribe(item_id, *self.committed_words.pop(0)))
        elif kind == "response.cancel":
            await self._cancel("client_cancelled")
        elif kind == "response.create":
            await self._asked(event)

    async def _asked(self, event: dict[str, Any]) -> None:
        reply = self.next_reply()
        if reply.fault == "rejected":
            fault = FAULTS[reply.fault]
            self.log.note("rejected")
            error = {"type": fault.kind, "code": fault.code, "message": "No.", "event_id": event.get("event_id")}
            await self._send("error", error=error)
            return
        self.answer(reply, (event.get("response") or {}).get("metadata"))

    # --- the user's side ---------------------------------------------------------------------------

    async def user_speaks(
        self,
        seconds: float = 0.6,
        *,
        words: str | None = None,
        words_after: float = 0.1,
        reply: Reply | None = None,
        silence: float = 0.2,
    ) -> str:
        """The server's detection hears the user for so long, and says so ``silence`` seconds after they stopped."""
        item_id = self.new_id("item")
        await self._send("input_audio_buffer.speech_started", audio_start_ms=0, item_id=item_id)
        self.log.note("speech started", item_id)
        await self._cancel("turn_detected")
        await asyncio.sleep(seconds + silence)
        await self._send("input_audio_buffer.speech_stopped", audio_end_ms=0, item_id=item_id)
        self.log.note("speech stopped", item_id)
        await self._commit(item_id)
        if words is not None:
            self.background(self._transcribe(item_id, words, words_after))
        if reply is not None:
            self.answer(reply)
        return item_id

    async def noise(self, *, stops_after: float | None = None) -> None:
        """What the server took for speech, of which no item comes."""
        item_id = self.new_id("item")
        await self._send("input_audio_buffer.speech_started", audio_start_ms=0, item_id=item_id)
        self.log.note("noise", item_id)
        if stops_after is not None:
            await asyncio.sleep(stops_after)
            await self._send("input_audio_buffer.speech_stopped", audio_end_ms=0, item_id=item_id)

    async def _commit(self, item_id: str) -> str:
        await self._send("input_audio_buffer.committed", item_id=item_id, previous_item_id=self._tail)
        content = [{"type": "input_audio", "transcript": None}]
        item = {"id": item_id, "type": "message", "role": "user", "status": "completed", "content": content}
        await self._add(item, self._tail)
        self.log.note("user item", item_id)
        return item_id

    async def _transcribe(self, item_id: str, words: str, after: float) -> None:
        await asyncio.sleep(after)
        name = "conversation.item.input_audio_transcription"
        await self._send(f"{name}.delta", item_id=item_id, content_index=0, delta=words.split()[0])
        await self._send(f"{name}.completed", item_id=item_id, content_index=0, transcript=words, usage=WORDS_USAGE)
        self.log.note("words", item_id)

    # --- the model's side --------------------------------------------------------------------------

    def answer(self, reply: Reply, metadata: Any = None) -> None:
        """A response begins, asked for or not."""
        self._speaking = self.background(self._respond(reply, metadata))

    async def _cancel(self, reason: str) -> None:
        if self._speaking is not None and not self._speaking.done():
            self._cancel_reason = reason
            self._speaking.cancel()
            await asyncio.wait([self._speaking])

    async def _respond(self, reply: Reply, metadata: Any) -> None:
        await asyncio.sleep(reply.delay)
        fault = FAULTS[reply.fault] if reply.fault else None
        response = {"id": self.new_id("resp"), "object": "realtime.response", "output": [], "metadata": metadata}
        await self._send("response.created", response={**response, "status": "in_progress"})
        self.log.note("response created", response["id"])
        try:
            if fault is None or fault.after or fault.close:
                await asyncio.sleep(reply.think)
                for text in reply.messages or ([reply.text] if reply.text else []):
                    if await self._say(response["id"], text, reply, fault):
                        break
                if fault is not None and fault.close:
                    await self._drop(fault)
                    return
                for name, arguments in reply.calls:
                    await self._call(response["id"], name, arguments)
            done = _end_of(fault)
        except asyncio.CancelledError:
            done = {"status": "cancelled", "status_details": {"type": "cancelled", "reason": self._cancel_reason}}
        usage = None if fault is not None and fault.status == "failed" and not fault.after else USAGE
        await self._send("response.done", response={**response, **done, "usage": usage})
        self.log.note("response done", response["id"])

    async def _say(self, response_id: str, text: str, reply: Reply, fault: Fault | None) -> bool:
        """One message; True where the fault cuts it off."""
        item_id = self.new_id("item")
        item = {"id": item_id, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        where = {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}
        part = {"type": "text", "text": ""} if self.text_only else {"type": "audio", "transcript": ""}
        await self._send("response.output_item.added", response_id=response_id, output_index=0, item=item)
        await self._add(item, self._tail)
        await self._send("response.content_part.added", **where, part=part)
        words, sound = text.split(), tone(reply.seconds)
        pieces = max(len(words), round(reply.seconds / _PIECE))
        step = len(sound) // max(1, round(reply.seconds / _PIECE)) // 2 * 2
        text_event = "response.output_text.delta" if self.text_only else "response.output_audio_transcript.delta"
        for number in range(pieces):
            if fault is not None and number >= fault.after:
                return True
            if number < len(words):
                await self._send(text_event, **where, delta=f"{words[number]} ")
            piece = sound[number * step : (number + 1) * step]
            if piece and not self.text_only:
                await self._send("response.output_audio.delta", **where, delta=base64.b64encode(piece).decode())
            if number == 0:
                self.log.note("first output", response_id)
            await asyncio.sleep(_PIECE / reply.pace)
        done = {**item, "status": "completed", "content": [{**part, next(reversed(part)): text}]}
        await self._send("response.output_item.done", response_id=response_id, output_index=0, item=done)
        return False

    async def _call(self, response_id: str, name: str, arguments: dict[str, Any]) -> None:
        item_id, call_id = self.new_id("item"), self.new_id("call")
        item = {"id": item_id, "type": "function_call", "status": "in_progress", "name": name, "call_id": call_id}
        await self._send(
            "response.output_item.added", response_id=response_id, output_index=0, item={**item, "arguments": ""}
        )
        await self._add({**item, "arguments": ""}, self._tail)
        done = {**item, "status": "completed", "arguments": json.dumps(arguments)}
        await self._send("response.output_item.done", response_id=response_id, output_index=0, item=done)

    async def _drop(self, fault: Fault) -> None:
        self.log.note("dropped")
        if self._socket is not None:
            await self._socket.close(code=fault.close)

    async def _add(self, item: dict[str, Any], before: str | None) -> None:
        self._tail = item["id"]
        await self._send("conversation.item.added", item=item, previous_item_id=before)

    async def _send(self, kind: str, **fields: Any) -> None:
        socket = self._socket
        if socket is not None and not socket.closed:
            await socket.send_str(json.dumps({"type": kind, "event_id": self.new_id("event"), **fields}))


def _end_of(fault: Fault | None) -> dict[str, Any]:
    if fault is None:
        return {"status": "completed", "status_details": None}
    details: dict[str, Any] = {"type": fault.status}
    if fault.code:
        details["error"] = {"type": fault.kind, "code": fault.code, "message": "Refused."}
    if fault.reason:
        details["reason"] = fault.reason
    return {"status": fault.status, "status_details": details}
