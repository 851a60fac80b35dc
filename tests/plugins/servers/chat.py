"""OpenAI's ``/v1/chat/completions``: an answer as a stream of tokens, or a call of a tool, with usage at the end."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Any

from aiohttp import web

from .world import ToolCall, World, refused, world_of

_MODEL = "gpt-4o-mini-2024-07-18"
_BETWEEN_TOKENS = 0.015


async def complete(request: web.Request) -> web.StreamResponse:
    """One request."""
    world, asked = world_of(request), await request.json()
    identifier = f"chatcmpl-{uuid.uuid4().hex[:8]}"
    world.note("llm request", id=identifier, messages=len(asked["messages"]))
    if (refusal := await refused(request, "llm.request")) is not None:
        return refusal
    await asyncio.sleep(world.timing.token)
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    answer = _Answer(world, response, identifier)
    try:
        await answer.send(_reply(world, asked["messages"]), request)
    except (ConnectionError, asyncio.CancelledError):
        world.note("llm cancelled", id=identifier)
        raise
    return response


def _reply(world: World, messages: list[dict[str, Any]]) -> str | ToolCall:
    last = messages[-1]
    if last["role"] == "tool":
        return f"The answer is {last['content']}."
    content = last["content"]
    return world.answer(content if isinstance(content, str) else " ".join(part.get("text", "") for part in content))


class _Answer:
    def __init__(self, world: World, response: web.StreamResponse, identifier: str) -> None:
        self._world = world
        self._response = response
        self._id = identifier

    async def send(self, reply: str | ToolCall, request: web.Request) -> None:
        await self._chunk({"role": "assistant", "content": ""})
        if isinstance(reply, ToolCall):
            function = {"name": reply.name, "arguments": json.dumps(reply.arguments)}
            call = {"index": 0, "id": f"call_{self._id[-8:]}", "type": "function", "function": function}
            self._world.note("llm first token", id=self._id)
            await self._chunk({"tool_calls": [call]})
            tokens = 5
        else:
            words = reply.split(" ")
            tokens = len(words)
            for number, word in enumerate(words):
                if self._world.strikes("llm.answer", number) is not None and request.transport is not None:
                    request.transport.abort()
                    return
                if number == 0:
                    self._world.note("llm first token", id=self._id)
                await self._chunk({"content": word if number == 0 else f" {word}"})
                await asyncio.sleep(_BETWEEN_TOKENS)
        await self._chunk({}, "tool_calls" if isinstance(reply, ToolCall) else "stop")
        usage = {"prompt_tokens": 20, "completion_tokens": tokens, "total_tokens": 20 + tokens}
        await self._event({"choices": [], "usage": {**usage, "prompt_tokens_details": {"cached_tokens": 4}}})
        await self._response.write(b"data: [DONE]\n\n")
        self._world.note("llm done", id=self._id)

    async def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> None:
        await self._event({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})

    async def _event(self, part: dict[str, Any]) -> None:
        head = {"id": self._id, "object": "chat.completion.chunk", "created": int(time.time()), "model": _MODEL}
        await self._response.write(b"data: " + json.dumps({**head, **part}).encode() + b"\n\n")
