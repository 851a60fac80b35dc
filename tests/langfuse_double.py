"""Langfuse as far as spans are concerned: what it makes of an OTLP request, and how its two APIs answer.

No Langfuse can run in these tests. This follows ``OtelIngestionProcessor``, ``ObservationTypeMapper`` and the public
API of Langfuse 4.16, rule by rule, and refuses what it refuses.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .json_server import Asked, Reply

PUBLIC, SECRET = "pk-lf-11", "sk-lf-22-very-secret"
_AUTH = "Basic " + base64.b64encode(f"{PUBLIC}:{SECRET}".encode()).decode()
_IO_KEYS = {
    "langfuse.observation.input",
    "langfuse.observation.output",
    "gen_ai.system_instructions",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "lk.input_text",
    "lk.user_transcript",
    "lk.chat_ctx",
    "lk.response.text",
    "input",
    "output",
}
_TYPES = {"span", "generation", "event", "embedding", "agent", "tool", "chain", "retriever", "guardrail", "evaluator"}
_OPERATIONS = {
    "chat": "GENERATION",
    "generate_content": "GENERATION",
    "invoke_agent": "AGENT",
    "execute_tool": "TOOL",
}


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
            resource = _plain_attributes(resource_spans.resource.attributes)
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    if len(span.span_id) != 8 or len(span.trace_id) != 16:
                        return Reply({"error": "Invalid OTLP trace export"}, 400)
                    made.append(_observation(span, scope_spans.scope.name, resource))
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
            shown["metadata"] = {name: _json_parse(value) for name, value in flat.items()}
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


def _observation(span: Any, scope: str, resource: dict[str, Any]) -> dict[str, Any]:
    attributes = _plain_attributes(span.attributes)
    ending = attributes.get("langfuse.observation.completion_start_time")
    if ending is not None:
        ending = ending.strip('"')  # LiveKit quotes it twice, which Langfuse knows
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)", ending), ending
    usage = json.loads(attributes.get("langfuse.observation.usage_details", "null"))
    model = attributes.get("gen_ai.response.model") or attributes.get("gen_ai.request.model")
    if attributes.get("gen_ai.operation.name") == "invoke_agent":
        usage = model = None
    elif usage is None:
        usage = _guessed_usage(attributes)
    counts = {name: n for name, n in (usage or {}).items() if isinstance(n, int) and n >= 0}
    if counts and "total" not in counts:
        counts["total"] = sum(counts.values())
    given_in, given_out = attributes.get("langfuse.observation.input"), attributes.get("langfuse.observation.output")
    level = attributes.get("langfuse.observation.level")
    return {
        "id": span.span_id.hex(),
        "traceId": span.trace_id.hex(),
        "parentObservationId": span.parent_span_id.hex() or None,
        "name": attributes.get("gen_ai.tool.name") or span.name,
        "type": _type(attributes, scope),
        "startTime": _iso(span.start_time_unix_nano),
        "endTime": _iso(span.end_time_unix_nano),
        "completionStartTime": ending,
        "level": level or ("ERROR" if span.status.code == 2 else "DEFAULT"),
        "statusMessage": attributes.get("langfuse.observation.status_message") or span.status.message or None,
        "environment": attributes.get("langfuse.environment", "default"),
        "release": attributes.get("langfuse.release"),
        "sessionId": _first(attributes, "langfuse.session.id", "session.id", "gen_ai.conversation.id"),
        "userId": _first(attributes, "langfuse.user.id", "user.id"),
        "traceName": attributes.get("langfuse.trace.name"),
        "tags": attributes.get("langfuse.trace.tags", []),
        "isRoot": not span.parent_span_id or attributes.get("langfuse.internal.as_root") is True,
        "model": model,
        "usageDetails": counts,
        "input": given_in or _first(attributes, "gen_ai.input.messages", "gen_ai.tool.call.arguments"),
        "output": given_out or _first(attributes, "gen_ai.output.messages", "gen_ai.tool.call.result"),
        "metadata": {
            "attributes": {name: value for name, value in attributes.items() if name not in _IO_KEYS},
            "resourceAttributes": resource,
            "scope": {"name": scope, "attributes": {}},
        },
    }


def _type(attributes: dict[str, Any], scope: str) -> str:
    own = attributes.get("langfuse.observation.type")
    if own in _TYPES:
        return str(own).upper()
    if (operation := attributes.get("gen_ai.operation.name")) in _OPERATIONS:
        return _OPERATIONS[operation]
    if attributes.get("gen_ai.tool.name"):
        return "TOOL"
    has_model = any(attributes.get(name) for name in ("gen_ai.request.model", "gen_ai.response.model"))
    return "GENERATION" if has_model else "SPAN"


def _guessed_usage(attributes: dict[str, Any]) -> dict[str, Any]:
    """Every key becomes a bucket: what the preset is there to prevent."""
    return {name[13:]: value for name, value in attributes.items() if name.startswith("gen_ai.usage.")}


def _plain_attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _plain(pair.value) for pair in pairs}


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(one) for one in value.array_value.values]
    found = getattr(value, kind)
    # a JavaScript number
    return float(found) if kind == "int_value" and abs(found) > 2**53 else found


def _first(attributes: dict[str, Any], *names: str) -> Any:
    return next((attributes[name] for name in names if attributes.get(name)), None)


def _iso(ns: int) -> str:
    moment = datetime.fromtimestamp(ns // 1_000_000_000, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ns // 1_000_000 % 1000:03d}Z"


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


def _json_parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


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
    io = {name: _json_parse(one[name]) if isinstance(one[name], str) else one[name] for name in ("input", "output")}
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
