"""Reads spans of LiveKit's own instrumentation into fields that do not depend on its release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .. import attributes as attr
from .._json import NOT_JSON
from ..spans import SpanRecord, flag, number, text

__all__ = ["NODE", "PYTHON", "NativeSpan", "decoded", "is_native", "objects", "read"]

PYTHON, NODE = "native python", "native node"
#: attribute -> field, for all dialects: no name has two meanings
_FIELDS: dict[str, str] = {
    name: field
    for names in (attr.NATIVE_NODE, attr.NATIVE_PYTHON_OLDER, attr.NATIVE_PYTHON)
    for field, name in names.items()
}
#: attributes that identify a span if a backend renamed it
_BY_FIELD = {
    "tool_call_id": "function_tool",
    "llm_metrics": "llm_request",
    "tts_metrics": "tts_request",
}
_LANGUAGE = "telemetry.sdk.language"
#: nanoseconds. Times are read to the microsecond, because stores keep no more (Phoenix), or make a span of no length
#: 1 ns long (Jaeger), and the order of events of one moment must not depend on that
_MICROSECOND = 1_000


class NativeSpan(msgspec.Struct, gc=False):
    """One LiveKit span.

    Attributes:
        trace_id, span_id, parent_id, start_ns, end_ns: as in :class:`~livekit_otel.SpanRecord`.
        name: one of :data:`~livekit_otel.attributes.NATIVE_SPANS`.
        failed: whether its status is an error.
        fields: its values, by the fields of :data:`~livekit_otel.attributes.NATIVE_PYTHON`.
        node: whether the SDK for JavaScript recorded it.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    failed: bool
    fields: dict[str, Any]
    node: bool

    @property
    def model(self) -> tuple[str, str]:
        """Provider and name of its model; empty if absent."""
        return self.text(attr.PROVIDER_NAME), self.text(attr.REQUEST_MODEL)

    def text(self, field: str) -> str:
        """A field as text; empty if absent."""
        return text(self.fields, field)

    def number(self, field: str) -> float | None:
        """A field as a finite number; None if it is absent or not one."""
        return number(self.fields, field)

    def flag(self, field: str) -> bool:
        """A field as a boolean; false if absent."""
        return flag(self.fields, field)


def is_native(span: SpanRecord) -> bool:
    """Whether LiveKit's own instrumentation recorded a span, even if a backend lost its scope or its name."""
    if span.scope:
        return span.scope == attr.NATIVE_SCOPE
    return attr.KIND not in span.attributes and _name(span.name, span.attributes) in attr.NATIVE_SPANS


def _name(name: str, attributes: Mapping[str, Any]) -> str:
    if name in attr.NATIVE_SPANS:
        return name
    for field, own in _BY_FIELD.items():
        if attr.NATIVE_PYTHON[field] in attributes:
            return own
    return name


def read(span: SpanRecord) -> NativeSpan | None:
    """The values of a span that a report needs; None if it needs none."""
    name = span.name if span.name in attr.NATIVE_SPANS else _name(span.name, span.attributes)
    if name not in attr.NATIVE_SPANS:
        return None
    known, fields = _FIELDS, {}
    for key, value in span.attributes.items():
        field = known.get(key)
        if field is not None:
            fields[field] = value
    return NativeSpan(
        span.trace_id, span.span_id, span.parent_id, name, _rounded(span.start_ns),
        _rounded(max(span.start_ns, span.end_ns)), span.status == "error", fields,
        span.resource.get(_LANGUAGE) == "nodejs",
    )  # fmt: skip


def _rounded(ns: int) -> int:
    return (ns + _MICROSECOND // 2) // _MICROSECOND * _MICROSECOND


_decode = msgspec.json.Decoder().decode


def decoded(value: Any) -> Any:
    """Decode JSON text. A value that a backend has already decoded is returned unchanged, any other value as None."""
    if not isinstance(value, str):
        return value
    try:
        return _decode(value)
    except NOT_JSON:
        return None


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The items of a chat context, or a list of calls, from its JSON text or decoded. Objects whose ID or type is not a
    text are left out."""
    found = decoded(value)
    listed = found.get("items") if isinstance(found, Mapping) else found
    return [one for one in listed if _is_item(one)] if isinstance(listed, list) else []


def _is_item(one: Any) -> bool:
    return isinstance(one, Mapping) and all(isinstance(one.get(name), str | None) for name in ("id", "type"))
