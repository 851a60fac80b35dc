"""Loopback servers, one small module a protocol. They run on a loop of their own, in a thread."""

from __future__ import annotations

import asyncio
import threading

from aiohttp import web

from . import assembly, aura, chat, eleven, nova, sonic, turns
from .world import FAULTS, Fault, Timing, ToolCall, World

__all__ = ["FAULTS", "Fault", "Servers", "Timing", "ToolCall", "World"]

_ROUTES = (
    ("GET", "/v1/listen", nova.listen),
    ("GET", "/v2/listen", turns.flux),
    ("GET", "/stt/turns/websocket", turns.ink),
    ("GET", "/v3/ws", assembly.listen),
    ("GET", "/v1/speak", aura.speak),
    ("GET", "/tts/websocket", sonic.speak),
    ("GET", "/v1/text-to-speech/{voice}/multi-stream-input", eleven.speak),
    ("POST", "/v1/chat/completions", chat.complete),
)


class Servers:
    """A thread with a loop, on which each call gets all servers behind a port of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="servers", daemon=True).start()

    def start(self, world: World) -> int:
        """Serve a call; returns the port on 127.0.0.1."""
        return asyncio.run_coroutine_threadsafe(_serve(world), self._loop).result(10)


async def _serve(world: World) -> int:
    app = web.Application()
    app["world"] = world
    for method, path, handler in _ROUTES:
        app.router.add_route(method, path, handler)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port: int = runner.addresses[0][1]
    return port
