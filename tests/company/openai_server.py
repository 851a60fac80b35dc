"""An OpenAI-compatible chat endpoint on 127.0.0.1, inside the event loop of the session, so on its clock, too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

MODEL = "gpt-4.1-mini"
PROMPT_TOKENS, COMPLETION_TOKENS = 100, 4
ANSWER = "It is sunny in Oslo today."


@dataclass
class Server:
    """``url`` without a path; ``requests`` are the bodies of chat requests and the paths of all others."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path = head.split(" ", 2)[1]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if path.endswith("/chat/completions"):
            request = json.loads(body)
            self.requests.append(request)
            kind, data = self._chat(request)
        else:
            self.other.append(path)
            kind, data = "application/json", b'{"city": "Oslo"}'
        # a request that takes no time at all has no rate of tokens
        await asyncio.sleep(0.2)
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n".encode())
        writer.write(b"connection: close\r\n\r\n" + data)
        await writer.drain()
        writer.close()

    def _chat(self, request: dict[str, Any]) -> tuple[str, bytes]:
        message = _message(request)
        usage = {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": COMPLETION_TOKENS,
            "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
        }
        reason = "tool_calls" if "tool_calls" in message else "stop"
        common = {"id": f"chatcmpl-{len(self.requests)}", "created": 1_700_000_000, "model": MODEL}
        if not request.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": reason}
            answer = {**common, "object": "chat.completion", "choices": [choice], "usage": usage}
            return "application/json", json.dumps(answer).encode()
        chunk = {**common, "object": "chat.completion.chunk"}
        parts = [
            {**chunk, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
            {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
        ]
        if (request.get("stream_options") or {}).get("include_usage"):
            parts.append({**chunk, "choices": [], "usage": usage})
        lines = [f"data: {json.dumps(part)}\n\n" for part in parts]
        return "text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode()


def _message(request: dict[str, Any]) -> dict[str, Any]:
    """The tool where there is one and it has not run yet, else a sentence."""
    last = request["messages"][-1]
    if last["role"] == "user" and request.get("tools"):
        function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
        call = {"index": 0, "id": f"call_{len(request['messages'])}", "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    return {"role": "assistant", "content": ANSWER}


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    """A server inside of the block, in the running event loop."""
    server = Server()
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
