"""Servers on the loopback interface that answer as the backends do, until an answer is damaged."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

import livekit_otel
from livekit_otel.otlp import protobuf
from livekit_otel.transport import client
from tests.clickhouse_double import ClickHouse
from tests.jaeger_double import Jaeger
from tests.json_server import Asked, JsonServer, Reply, serving
from tests.langfuse_double import PUBLIC, SECRET, Langfuse
from tests.phoenix_double import Phoenix

from . import corpus, damage

NAMES = ("one_tool", "realtime_conversation", "two_sessions_in_one_job", "redacted_session", "long_tool_result")
_QUERY = "since=2023-01-01"
Answer = Callable[[Asked], Reply]


@dataclass
class _Text:
    text: str


@cache
def _jaeger(name: str) -> Answer:
    return Jaeger(_Text(corpus.data(name).decode()), before_2_19=len(name) % 2 == 0)


@cache
def _phoenix(name: str) -> Answer:
    return Phoenix(list(livekit_otel.read_spans(corpus.TESTS / "data" / "golden" / f"{name}.jsonl.gz")), page=20)


@cache
def _langfuse(name: str, version: int) -> Answer:
    double = Langfuse(version=version, page=20)
    asked = Asked("POST", "/api/public/otel/v1/traces", {}, {}, b"")
    for message in corpus.messages(name):
        for part in protobuf.parts(message, "here"):
            asked.body = protobuf.encode([part.message], "protobuf")
            double._ingest(_allowed(asked))
    return double


def _allowed(asked: Asked) -> Asked:
    asked.headers = {"content-type": "application/x-protobuf", "x-langfuse-ingestion-version": "4"}
    return asked


def _clickhouse(name: str) -> Answer:
    return ClickHouse("map" if len(name) % 2 else "json")


def _otlp(name: str) -> Answer:
    return lambda asked: Reply({"partialSuccess": {"rejectedSpans": "1", "errorMessage": name}})


BACKENDS: dict[str, Callable[[str], Answer]] = {
    "jaeger": _jaeger,
    "phoenix": _phoenix,
    "langfuse": lambda name: _langfuse(name, 4),
    "langfuse3": lambda name: _langfuse(name, 3),
    "clickhouse": _clickhouse,
    "otlp": _otlp,
}
_URLS = {
    "jaeger": "jaeger://127.0.0.1:{port}?" + _QUERY,
    "phoenix": "phoenix://127.0.0.1:{port}/default?" + _QUERY,
    "langfuse": "langfuse+http://127.0.0.1:{port}?" + _QUERY,
    "langfuse3": "langfuse+http://127.0.0.1:{port}?" + _QUERY,
    "clickhouse": "clickhouse://127.0.0.1:{port}?" + _QUERY,
    "otlp": "http://127.0.0.1:{port}",
}


@dataclass
class Servers:
    """One server for each backend. ``damaged`` is what the answer of this number, and those after it, become."""

    answer: Answer = lambda asked: Reply(b"", 404)
    number: int = 0
    damaged: Callable[[Reply], Reply] = lambda reply: reply
    size: int = 0
    _count: int = -1
    _server: JsonServer | None = field(default=None)

    def __call__(self, asked: Asked) -> Reply:
        self._count += 1
        try:
            reply = self.answer(asked)
        except Exception:
            # it was asked for what an answer that was damaged had named
            reply = Reply({"error": "bad request"}, 400)
        if self._count >= self.number:
            reply = self.damaged(reply)
        self.size += len(reply.data)
        return reply

    def prepare(self, backend: str, name: str, number: int, damaged: Callable[[Reply], Reply]) -> str:
        """The address to ask."""
        assert self._server is not None
        self.answer, self.number, self.damaged = BACKENDS[backend](name), number, damaged
        self.size, self._count = 0, -1
        self._server.asked.clear()
        return _URLS[backend].format(port=self._server.port)


@contextmanager
def servers() -> Iterator[Servers]:
    """Servers inside of the block; nobody waits between attempts, and no keys come from the machine."""
    found = Servers()
    kept = dict(os.environ)
    wait = client._sleep
    with ExitStack() as stack:
        found._server = stack.enter_context(serving(found))
        os.environ |= {"LANGFUSE_PUBLIC_KEY": PUBLIC, "LANGFUSE_SECRET_KEY": SECRET}
        client._sleep = lambda seconds: None
        try:
            yield found
        finally:
            client._sleep = wait
            os.environ.clear()
            os.environ.update(kept)


def plan(chance: Random) -> tuple[str, int, Callable[[Reply], Reply]]:
    """The name of a call, the number of an answer, and what becomes of it and those after it."""
    seed, way = chance.getrandbits(64), chance.randrange(10)

    def damaged(reply: Reply) -> Reply:
        own = Random(seed)
        body: Any = reply.data
        if way < 4:
            try:
                changed = damage.of_json(json.loads(body), own)
                body = corpus.raw_numbers(json.dumps(changed)).encode()
            except ValueError:
                way_out = damage.of_bytes(body, own)
                return Reply(way_out, reply.status, reply.headers)
        elif way < 7:
            body = damage.of_bytes(body, own)
        elif way == 7:
            body = json.dumps(own.choice(damage.ODD)).encode("ascii")
        elif way == 8:
            status = own.choice((204, 301, 400, 401, 403, 404, 410, 413, 429, 500, 503))
            asked = own.choice(("0", "-1", "1e999", "x", "NaN", "99999999999", "Wed, 21 Oct 2099 07:28:00 GMT"))
            return Reply(body, status, {"retry-after": asked, "location": "/"})
        else:
            return Reply(body, reply.status, reply.headers, cut=True)
        return Reply(body, reply.status, reply.headers)

    return chance.choice(NAMES), chance.randrange(4), damaged
