"""Langfuse as far as spans are concerned: what it makes of an OTLP request, and how its two APIs answer.

No Langfuse can run in these tests. This follows the public API of Langfuse 4.16 and refuses what it refuses;
:mod:`.langfuse_mapper` makes observations of spans.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .json_server import Asked, Reply
from .langfuse_mapper import json_parse, observation, plain_attributes

PUBLIC, SECRET = "pk-lf-11", "sk-lf-22-very-secret"
_AUTH = "Basic " + base64.b64encode(f"{PUBLIC}:{SECRET}".encode()).decode()


@dataclass
class Langfuse:
    """The server's function. ``version`` 4 or 3; ``page`` is the largest page that it gives."""

    version: int = 4
    page: int = 1000
    cut: bool = False
    observations: list[dict[str, Any]] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)

    def __call__(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != _AUTH:
            return Reply({"message": "Invalid credentials. Confirm that you've configured the correct host."}, 401)
        if asked.path == "/api/public/otel/v1/traces":
            return self._ingest(asked)
        if asked.path == "/api/public/v2/observations" and self.version == 4:
            return self._v2(asked)
        if asked.path == "/api/public/observations" and self.version == 3:
            return self._v1(asked)
        if asked.path == "/api/public/traces" and self.version == 3:
            return self._traces(asked)
        return Reply(b"<!DOCTYPE html><html>404</html>", 404, {"content-type": "text/html"})

    # --- ingestion ---------------------------------------------------------------------------------

    def _ingest(self, asked: Asked) -> Reply:
        assert asked.headers["content-type"] == "application/x-protobuf"
        assert asked.headers["x-langfuse-ingestion-version"] == "4"
        message = ExportTraceServiceRequest.FromString(asked.body)
        made = []
        for resource_spans in message.resource_spans:
            resource = plain_attributes(resource_spans.resource.attributes)
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    if len(span.span_id) != 8 or len(span.trace_id) != 16:
                        return Reply({"error": "Invalid OTLP trace export"}, 400)
                    made.append(observation(span, scope_spans.scope.name, resource))
        self.requests.append(len(asked.body))
        self.observations += made
        return Reply(b"", headers={"content-type": "application/x-protobuf"})

    # --- reading -----------------------------------------------------------------------------------

    def _matching(self, asked: Asked) -> list[dict[str, Any]]:
        found = list(self.observations)
        filters = asked.one("filter")
        if filters:
            for condition in json.loads(filters):
                found = [one for one in found if _passes(one, condition)]
        else:
            for name in ("name", "sessionId", "traceId"):
                if name in asked.query and (name != "sessionId" or self.version == 4):
                    found = [one for one in found if one[name] == asked.one(name)]
            if "fromStartTime" in asked.query:
                found = [one for one in found if one["startTime"] >= _milliseconds(asked.one("fromStartTime"))]
            if "toStartTime" in asked.query:
                found = [one for one in found if one["startTime"] < _milliseconds(asked.one("toStartTime"))]
        return sorted(found, key=lambda one: (one["startTime"], one["traceId"], one["id"]), reverse=True)

    def _v2(self, asked: Asked) -> Reply:
        limit = int(asked.one("limit", "50"))
        if limit > 1000:
            return Reply({"message": "Invalid request data", "error": "limit"}, 400)
        fields = asked.one("fields").split(",")
        found = self._matching(asked)
        start = int(base64.b64decode(asked.one("cursor")).decode()) if "cursor" in asked.query else 0
        page = found[start : start + min(limit, self.page)]
        end = start + len(page)
        meta = {"cursor": base64.b64encode(str(end).encode()).decode()} if end < len(found) else {}
        return Reply({"data": [self._shown_v2(one, fields) for one in page], "meta": meta})

    def _shown_v2(self, one: dict[str, Any], fields: list[str]) -> dict[str, Any]:
        core = ("id", "traceId", "startTime", "endTime", "parentObservationId", "type")
        basic = ("name", "level", "statusMessage", "environment", "userId", "sessionId")
        shown = {name: one[name] for name in core}
        if "basic" in fields:
            shown |= {name: one[name] for name in basic}
        if "io" in fields:
            shown |= {name: _raw(one[name]) for name in ("input", "output")}
        if "metadata" in fields:
            flat = {name: _js(value) for name, value in _flat(one["metadata"]).items()}
            if "io" not in fields or self.cut:
                flat = {name: value[:200] for name, value in flat.items()}
            shown["metadata"] = {name: json_parse(value) for name, value in flat.items()}
        return shown

    def _v1(self, asked: Asked) -> Reply:
        limit, number = int(asked.one("limit", "50")), int(asked.one("page", "1"))
        if limit > 100:
            return Reply({"message": "Invalid request data"}, 400)
        limit = min(limit, self.page)
        found = self._matching(asked)
        page = found[(number - 1) * limit : number * limit]
        meta = {"page": number, "limit": limit, "totalItems": len(found), "totalPages": -(-len(found) // limit)}
        return Reply({"data": [_shown_v1(one) for one in page], "meta": meta})

    def _traces(self, asked: Asked) -> Reply:
        ids = dict.fromkeys(one["traceId"] for one in self.observations if one["sessionId"] == asked.one("sessionId"))
        data = [{"id": trace_id, "name": "voice call", "metadata": {}} for trace_id in ids]
        return Reply({"data": data, "meta": {"page": 1, "limit": 100, "totalItems": len(data), "totalPages": 1}})


def _milliseconds(text: str) -> str:
    return re.sub(r"\.(\d{3})\d*Z", r".\1Z", text)


def _js(value: Any) -> str:
    """As version 4 stores a value: strings as they are, all else as JSON of JavaScript."""
    if value is None:
        return ""
    return (
        value if isinstance(value, str) else json.dumps(_js_numbers(value), separators=(",", ":"), ensure_ascii=False)
    )


def _js_numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_js_numbers(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _raw(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, one in value.items():
        path = f"{prefix}.{name}" if prefix else name
        found.update(_flat(one, path) if isinstance(one, dict) else {path: one})
    return found


def _shown_v1(one: dict[str, Any]) -> dict[str, Any]:
    metadata = one["metadata"]
    strings = {name: _js(value) for name, value in metadata["attributes"].items()}
    shown = {name: value for name, value in one.items() if name not in ("sessionId", "userId", "isRoot")}
    io = {name: json_parse(one[name]) if isinstance(one[name], str) else one[name] for name in ("input", "output")}
    return {**shown, **io, "metadata": {**metadata, "attributes": strings}}


def _passes(one: dict[str, Any], condition: dict[str, Any]) -> bool:
    column, operator, value = condition["column"], condition["operator"], condition["value"]
    if column == "metadata":
        assert condition["type"] == "stringObject"
        key = condition["key"]
        found = _flat(one["metadata"]).get(key) if operator == "=" else json.dumps(one["metadata"].get(key))
        return found == value if operator == "=" else value in str(found)
    if condition["type"] == "datetime":
        assert column == "startTime"
        found, value = one[column], _milliseconds(value)
        return found >= value if operator == ">=" else found < value
    assert condition["type"] == "string"
    assert operator == "="
    return one[column] == value
