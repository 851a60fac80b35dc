"""Phoenix as far as its spans API is concerned, which gives spans without resource and scope."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from livekit_otel import SpanRecord

from .json_server import Asked, Reply

_NULLS = ("array_value", "bool_value", "bytes_value", "double_value", "int_value", "kvlist_value", "string_value")


class Phoenix:
    """One project. ``page`` is the largest page that it gives."""

    def __init__(self, spans: Sequence[SpanRecord], *, project: str = "default", page: int = 1000) -> None:
        self._path = f"/v1/projects/{project}/spans/otlpv1"
        self._spans = [_stored(span) for span in spans]
        self._page = page

    def __call__(self, asked: Asked) -> Reply:
        if asked.path != self._path:
            name = asked.path.split("/")[3]
            return Reply(f"Project with name {name} not found".encode(), 404, {"content-type": "text/plain"})
        if int(asked.one("limit", "100")) > 1000:
            return Reply({"detail": "limit"}, 422)
        found = [span for span in reversed(self._spans) if self._matches(span, asked)]
        start = int(asked.one("cursor", "0"))
        end = start + min(self._page, int(asked.one("limit", "100")))
        return Reply({"data": found[start:end], "next_cursor": str(end) if end < len(found) else None})

    @staticmethod
    def _matches(span: dict[str, Any], asked: Asked) -> bool:
        for name in ("trace_id", "name"):
            if name in asked.query and span[name] not in asked.query[name]:
                return False
        for bound, sign in (("start_time", 1), ("end_time", -1)):
            if bound in asked.query:
                moment = datetime.fromisoformat(asked.one(bound)[:26] + "+00:00").timestamp()
                if sign * (span["start_time_unix_nano"] / 1e9 - moment) < 0:
                    return False
        attributes = {pair["key"]: pair["value"] for pair in span["attributes"]}
        for condition in asked.query.get("attribute", []):
            key, value = condition.split(":", 1)
            if attributes.get(key, {}).get("string_value") != json.loads(value):
                return False
        return True


def _stored(span: SpanRecord) -> dict[str, Any]:
    """To the microsecond, by way of floats; without resource and scope."""
    pairs = [{"key": name, "value": _value(one)} for name, one in span.attributes.items()]
    return {
        "attributes": pairs[::-1],
        "dropped_attributes_count": None,
        "end_time_unix_nano": int(round(span.end_ns / 1000) / 1e6 * 1_000_000_000),
        "events": [],
        "kind": None,
        "links": None,
        "name": span.name,
        "parent_span_id": span.parent_id,
        "span_id": span.span_id,
        "start_time_unix_nano": int(round(span.start_ns / 1000) / 1e6 * 1_000_000_000),
        "status": {"code": 2 if span.status == "error" else 0, "message": None},
        "trace_id": span.trace_id,
    }


def _value(value: Any) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(_NULLS)
    if isinstance(value, list | tuple):
        return empty | {"array_value": {"values": [_value(one) for one in value]}}
    kinds = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}
    return empty | {kinds[type(value)]: value}
