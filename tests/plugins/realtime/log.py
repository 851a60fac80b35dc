"""What a server got and sent, with unix times: the truth that traces are held against."""

from __future__ import annotations

import asyncio
import math
import struct
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from aiohttp import web

RATE = 24_000


@dataclass
class ServerLog:
    """Lines ``(seconds of unix time, what happened, id)``, in order."""

    lines: list[tuple[float, str, str]] = field(default_factory=list)

    def note(self, what: str, which: str = "") -> None:
        self.lines.append((time.time(), what, which))

    def times(self, what: str, which: str | None = None) -> list[float]:
        """When something happened, each time."""
        return [at for at, name, one in self.lines if name == what and which in (None, one)]


@dataclass
class Reply:
    """What the model answers: ``messages`` are spoken one after the other, then ``calls`` are made.

    ``delay``: until the response is created; ``think``: from there to its first output; ``pace``: seconds of audio sent
    in a second. ``fault``: a name of ``faults.FAULTS``.
    """

    text: str = ""
    seconds: float = 0.8
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    delay: float = 0.2
    think: float = 0.1
    pace: float = 4.0
    fault: str | None = None
    #: what the server says that the user said (Gemini's words come with the answer)
    heard: str | None = None
    #: when these words come: ``before`` the answer, in the ``middle`` of it, or after all of it (``late``)
    heard_at: str = "before"
    #: how many usage messages there are
    usages: int = 1


def tone(seconds: float) -> bytes:
    """Audio that is no silence, 16 bit mono."""
    return (_second() * math.ceil(seconds))[: int(seconds * RATE) * 2]


@cache
def _second() -> bytes:
    return b"".join(struct.pack("<h", int(6000 * math.sin(2 * math.pi * 220 * n / RATE))) for n in range(RATE))


class LoopbackServer:
    """A websocket server on a free port of the loopback interface."""

    def __init__(self, tls: Any = None) -> None:
        self.log = ServerLog()
        self.replies: list[Reply] = []
        self.port = 0
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ids = 0

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self.serve)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        raise NotImplementedError

    def background(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def new_id(self, kind: str) -> str:
        self._ids += 1
        return f"{kind}_{self._ids:04d}"

    def next_reply(self) -> Reply:
        return self.replies.pop(0) if self.replies else Reply("A reply that no script has.")
