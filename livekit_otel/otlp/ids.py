"""Span ids in plain OTLP JSON, and access to JSON whose values may have unexpected types."""

from __future__ import annotations

import base64
import binascii
from typing import Any

__all__ = ["either", "entries_of", "prepared_span"]


def entries_of(value: Any, what: str, problems: list[str] | None = None, of: type = dict) -> list[Any]:
    """The entries of a list that have the given type."""
    entries = value if isinstance(value, list) else []
    found = [one for one in entries if isinstance(one, of)]
    if problems is not None and (len(found) < len(entries) or not isinstance(value, list | None)):
        problems.append(f"the spans of {what} were skipped: expected {'objects in a list' if entries else 'a list'}")
    return found


def either(value: dict[str, Any], *keys: str) -> Any:
    return next((value[key] for key in keys if value.get(key) is not None), None)


def prepared_span(span: Any, problems: list[str]) -> dict[str, Any] | None:
    """A span with its ids encoded as protobuf's JSON mapping requires."""
    try:
        if not isinstance(span, dict):
            raise ValueError("it is not an object")
        found = _with_ids(span)
        if parent := _id(either(span, "parentSpanId", "parent_span_id"), 8, optional=True):
            found["parentSpanId"] = parent
    except ValueError as error:
        problems.append(f"a span was skipped: {error}")
        return None
    if links := entries_of(span.get("links"), "a link"):
        found["links"] = []
        for link in links:
            try:
                found["links"].append(_with_ids(link))
            except ValueError as error:
                problems.append(f"a link was skipped: {error}")
    return found


def _with_ids(one: dict[str, Any]) -> dict[str, Any]:
    ids = ("traceId", "trace_id", "spanId", "span_id", "parentSpanId", "parent_span_id")
    found = {key: value for key, value in one.items() if key not in ids}
    found["traceId"] = _id(either(one, "traceId", "trace_id"), 16)
    found["spanId"] = _id(either(one, "spanId", "span_id"), 8)
    return found


def _id(text: Any, size: int, *, optional: bool = False) -> str | None:
    """An id, given as hex or (by some servers) as base64; returned as base64."""
    found = b""
    try:
        if isinstance(text, str):
            found = bytes.fromhex(text) if len(text) == 2 * size else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    if len(found) == size and any(found):
        return base64.b64encode(found).decode()
    if optional and (not text or len(found) == size):
        return None
    raise ValueError(f"{str(text)[:40]!r} is not an id of {2 * size} hex digits")
