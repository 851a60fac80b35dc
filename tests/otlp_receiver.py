"""A real OTLP/HTTP receiver on 127.0.0.1 that keeps what it is sent, and answers as it is told."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes
    spans: list[Span] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [span.span_id.hex() for span in self.spans]

    @property
    def message(self) -> ExportTraceServiceRequest:
        return ExportTraceServiceRequest.FromString(self.body)


@dataclass
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = ExportTraceServiceResponse().SerializeToString()
    content_type: str = "application/x-protobuf"
    hang_up: bool = False


class Receiver:
    """``requests`` is all that came whole, ``accepted`` what was answered with 200."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.accepted: list[Request] = []
        self.answer: Callable[[Request], Answer] = lambda request: Answer()
        self.delay = 0.0
        self._connections = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def handle(self) -> None:
                receiver._connections += 1
                super().handle()
                receiver._connections -= 1

            def do_POST(self) -> None:
                receiver._handle(self)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        size = int(handler.headers.get("content-length", 0))
        body = handler.rfile.read(size)
        if len(body) != size:
            return
        if handler.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        request = Request(handler.path, {name.lower(): value for name, value in handler.headers.items()}, body)
        if request.headers.get("content-type") == "application/x-protobuf":
            request.spans = [
                span for one in request.message.resource_spans for scope in one.scope_spans for span in scope.spans
            ]
        answer = self.answer(request)
        self.requests.append(request)
        if answer.status == 200 and not answer.hang_up:
            self.accepted.append(request)
        time.sleep(self.delay)
        if answer.hang_up:
            return
        try:
            handler.send_response(answer.status)
            for name, value in {"content-type": answer.content_type, **answer.headers}.items():
                handler.send_header(name, value)
            handler.send_header("content-length", str(len(answer.body)))
            handler.end_headers()
            handler.wfile.write(answer.body)
        except OSError:
            pass

    @property
    def ids(self) -> list[str]:
        return [one for request in self.accepted for one in request.ids]

    def settle(self) -> None:
        """Wait until all is in that a sender, which is gone by now, had sent."""
        before = None
        while before != (before := (len(self.requests), self._connections)) or self._connections:
            time.sleep(0.1)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
