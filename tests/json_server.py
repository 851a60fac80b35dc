"""A real HTTP server on 127.0.0.1 that answers with what a function says, and remembers what it was asked."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes = b""

    def one(self, name: str, default: str = "") -> str:
        return self.query.get(name, [default])[0]


@dataclass
class Reply:
    """``body``: bytes are sent as they are, anything else as JSON. ``cut`` sends half of it and hangs up."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class JsonServer:
    def __init__(self, answer: Callable[[Asked], Reply]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server._handle(self)

            do_POST = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        if handler.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.command, unquote(parts.path), parse_qs(parts.query), headers, body)
        reply = self.answer(asked)
        self.asked.append(asked)
        data = reply.data
        handler.send_response(reply.status)
        for name, value in {"content-type": "application/json", **reply.headers}.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[: len(data) // 2] if reply.cut else data)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def serving(answer: Callable[[Asked], Reply]) -> Iterator[JsonServer]:
    """A server inside of the block."""
    server = JsonServer(answer)
    try:
        yield server
    finally:
        server.close()


class Failing:
    """An answering function whose ``n``-th requests (from 0) get other replies; ``then`` for all from the last on."""

    def __init__(
        self, answer: Callable[[Asked], Reply], replies: dict[int, Reply], *, then: Reply | None = None
    ) -> None:
        self._answer, self._replies, self._then = answer, replies, then
        self._count = -1

    def __call__(self, asked: Asked) -> Reply:
        self._count += 1
        if self._count in self._replies:
            return self._replies[self._count]
        if self._then is not None and self._count > max(self._replies, default=-1):
            return self._then
        return self._answer(asked)
