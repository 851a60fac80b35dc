"""Jaeger as far as its query API is concerned, in version 3 and, for releases before 2.19, version 1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from .json_server import Asked, Reply

MISSING = Reply((Path(__file__).parent / "fixtures" / "backends" / "jaeger_missing.json").read_bytes(), 404)


class Stored(Protocol):
    """A trace as the file exporter wrote it."""

    @property
    def text(self) -> str: ...


class Jaeger:
    """Traces by service. ``texts_only`` answers as storage in Elasticsearch does: lists are JSON texts."""

    def __init__(self, *traces: Stored, texts_only: bool = False, before_2_19: bool = False) -> None:
        self._old = before_2_19
        self._services: dict[str, list[dict[str, Any]]] = {}
        for number, trace in enumerate(traces):
            messages = [json.loads(line) for line in trace.text.splitlines()]
            parts = [part for message in messages for part in message["resourceSpans"]]
            for part in parts if texts_only else ():
                _as_texts(part)
            self._services[f"agent-{number}"] = parts

    def __call__(self, asked: Asked) -> Reply:
        if asked.path == "/api/v3/services":
            return Reply({"services": ["jaeger", *self._services]})
        if asked.path.startswith("/api/v3/traces/"):
            return self._answer([part for parts in self._services.values() for part in parts], asked.path[15:])
        if asked.path == "/api/traces" and self._old:
            return self._v1(asked)
        if asked.path != "/api/v3/traces":
            return Reply(b"404 page not found", 404, {"content-type": "text/plain"})
        assert asked.one("query.rawTraces") == "true"
        assert asked.one("query.startTimeMin") < asked.one("query.startTimeMax")
        wanted = json.loads(asked.one("query.attributes"))
        found = [
            part
            for part in self._services.get(asked.one("query.serviceName"), [])
            if self._old or any(_matches(span, wanted, asked) for span in _spans(part))
        ]
        ids = {span["traceId"] for part in found for span in _spans(part)}
        kept = sorted(ids)[: int(asked.one("query.searchDepth"))]
        parts = self._services.get(asked.one("query.serviceName"), [])
        return self._answer(parts, *kept)

    def _v1(self, asked: Asked) -> Reply:
        assert 1_600_000_000_000_000 < int(asked.one("start")) < int(asked.one("end"))
        wanted = json.loads(asked.one("tags"))
        spans = [span for part in self._services.get(asked.one("service"), []) for span in _spans(part)]
        ids = sorted({span["traceId"] for span in spans if wanted.items() <= _texts(span).items()})
        found = [{"traceID": one.lstrip("0"), "spans": []} for one in ids[: int(asked.one("limit"))]]
        return Reply({"data": found, "total": 0, "errors": None})

    @staticmethod
    def _answer(parts: list[dict[str, Any]], *ids: str) -> Reply:
        found = [part for part in parts if any(span["traceId"] in ids for span in _spans(part))]
        return Reply({"result": {"resourceSpans": found}}) if found else MISSING


def _spans(part: dict[str, Any]) -> list[dict[str, Any]]:
    return [span for scope in part["scopeSpans"] for span in scope["spans"]]


def _matches(span: dict[str, Any], wanted: dict[str, str], asked: Asked) -> bool:
    return wanted.items() <= _texts(span).items() and asked.one("query.operationName", span["name"]) == span["name"]


def _texts(span: dict[str, Any]) -> dict[str, str]:
    return {pair["key"]: str(next(iter(pair["value"].values()))) for pair in span["attributes"]}


def _as_texts(part: dict[str, Any]) -> None:
    for span in _spans(part):
        for pair in span["attributes"]:
            if "arrayValue" in pair["value"]:
                values = [next(iter(value.values())) for value in pair["value"]["arrayValue"].get("values", [])]
                pair["value"] = {"stringValue": json.dumps(values)}
