"""OTLP JSON as typed structures.

Decoding is lenient: 64-bit integers may be strings or numbers, enums names or numbers, ids hex or base64; unknown
fields are ignored. The spans of a scope are decoded only if the scope is relevant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec

from .._json import NOT_JSON
from .parse import SHAPE, NotAMessage, parse

__all__ = [
    "NO_COUNT",
    "KeyValue",
    "Message",
    "PartialMessage",
    "ResourceSpans",
    "Span",
    "Value",
    "decode_file",
    "decode_message",
]

_Time = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_T = TypeVar("_T")
#: Default of a count. Counts are not decoded here, so that an invalid count does not lose the span.
NO_COUNT = msgspec.Raw(b"0")


class Value(msgspec.Struct, gc=False):
    stringValue: str | None = None
    intValue: int | None = None
    doubleValue: float | None = None
    boolValue: bool | None = None
    arrayValue: _Values | None = None
    bytesValue: str | None = None
    kvlistValue: _KeyValues | None = None


class _Values(msgspec.Struct, gc=False):
    values: list[Value] = []


class KeyValue(msgspec.Struct, gc=False):
    key: str = ""
    value: Value | None = None


class _KeyValues(msgspec.Struct, gc=False):
    values: list[KeyValue] = []


class _Status(msgspec.Struct, gc=False):
    code: int | str | None = None
    message: str | None = None


class Span(msgspec.Struct, gc=False):
    traceId: str = ""
    spanId: str = ""
    parentSpanId: str | None = None
    name: str = ""
    startTimeUnixNano: _Time = 0
    endTimeUnixNano: _Time = 0
    attributes: list[KeyValue] | None = None
    droppedAttributesCount: msgspec.Raw = NO_COUNT
    status: _Status | None = None


class _Scope(msgspec.Struct, gc=False):
    name: str | None = None


class _ScopeSpans(msgspec.Struct, gc=False):
    scope: _Scope | None = None
    spans: msgspec.Raw = msgspec.Raw(b"null")


class _Resource(msgspec.Struct, gc=False):
    attributes: list[KeyValue] | None = None


class ResourceSpans(msgspec.Struct, gc=False):
    resource: _Resource | None = None
    scopeSpans: list[_ScopeSpans] | None = None


class Message(msgspec.Struct, gc=False):
    """A message with spans, plain or wrapped: ``result`` is Jaeger's wrapper, ``batches`` and ``trace`` are Tempo's."""

    resourceSpans: list[ResourceSpans] | None = None
    batches: list[ResourceSpans] | None = None
    result: Message | None = None
    trace: Message | None = None

    @property
    def known(self) -> bool:
        """Whether any of the fields is present."""
        return any(one is not None for one in (self.resourceSpans, self.batches, self.result, self.trace))


class _Signals(msgspec.Struct, gc=False):
    """Other signals that a collector may write to the same file."""

    resourceLogs: msgspec.Raw = msgspec.Raw(b"")
    resourceMetrics: msgspec.Raw = msgspec.Raw(b"")


class PartialMessage(Message):
    """A message with unreadable parts; ``problems`` describes them. Never decoded directly."""

    problems: list[str] = []


class _LooseResourceSpans(msgspec.Struct, gc=False):
    resource: msgspec.Raw = msgspec.Raw(b"null")
    scopeSpans: msgspec.Raw = msgspec.Raw(b"null")


class _LooseMessage(msgspec.Struct, gc=False):
    resourceSpans: list[msgspec.Raw] | None = None
    batches: list[msgspec.Raw] | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")
    trace: msgspec.Raw = msgspec.Raw(b"null")


_message: msgspec.json.Decoder[Message | list[Message]] = msgspec.json.Decoder(Message | list[Message], strict=False)
_loose_resource: msgspec.json.Decoder[_LooseResourceSpans] = msgspec.json.Decoder(_LooseResourceSpans)
_scope_spans: msgspec.json.Decoder[_ScopeSpans] = msgspec.json.Decoder(_ScopeSpans, strict=False)
_resource: msgspec.json.Decoder[_Resource | None] = msgspec.json.Decoder(_Resource | None, strict=False)
_raws: msgspec.json.Decoder[list[msgspec.Raw] | None] = msgspec.json.Decoder(list[msgspec.Raw] | None)


def decode_message(data: bytes) -> Message | list[Message]:
    """Decode as much of a message as is readable. Raises msgspec.DecodeError, UnicodeDecodeError or RecursionError."""
    try:
        return _message.decode(data)
    except msgspec.ValidationError:
        try:
            message = _loose(data)
        except NOT_JSON:
            message = PartialMessage()
        if message.resourceSpans or message.result or message.trace:
            return message
        raise


def decode_file(data: bytes) -> list[Message | list[Message]]:
    """The messages of a JSON document; other signals become messages without spans. Raises Malformed, NotAMessage."""
    return parse(_decode_known, data)


def _decode_known(data: bytes) -> Message | list[Message]:
    message = decode_message(data)
    if message == [] or any(one.known for one in (message if isinstance(message, list) else [message])):
        return message
    other = msgspec.json.decode(data, type=_Signals) if isinstance(message, Message) else _Signals()
    if not bytes(other.resourceLogs) and not bytes(other.resourceMetrics):
        raise NotAMessage(SHAPE)
    return Message()


def _loose(data: bytes | msgspec.Raw) -> PartialMessage:
    """Decode a message that has values of unexpected types; each part is decoded separately."""
    found = msgspec.json.decode(data, type=_LooseMessage)
    problems: list[str] = []
    parts = [_loose_part(raw, problems) for raw in (*(found.resourceSpans or ()), *(found.batches or ()))]
    message = PartialMessage(resourceSpans=[part for part in parts if part is not None], problems=problems)
    for name, raw in (("result", found.result), ("trace", found.trace)):
        if bytes(raw) != b"null":
            inner = _tried(_loose, raw, f"{name!r} was", problems)
            if inner is not None:
                setattr(message, name, inner)
    return message


def _loose_part(raw: msgspec.Raw, problems: list[str]) -> ResourceSpans | None:
    part = _tried(
        lambda data: msgspec.json.decode(data, type=_LooseResourceSpans), raw, "the spans of a resource were", problems
    )
    if part is None:
        return None
    resource = _tried(_resource.decode, part.resource, "the attributes of a resource were", problems)
    scopes = _tried(_raws.decode, part.scopeSpans, "the spans of a resource were", problems) or []
    each = [_tried(_scope_spans.decode, scope, "the spans of a scope were", problems) for scope in scopes]
    return ResourceSpans(resource, [scope for scope in each if scope is not None])


def _tried(decode: Callable[[msgspec.Raw], _T], raw: msgspec.Raw, what: str, problems: list[str]) -> _T | None:
    try:
        return decode(raw)
    except NOT_JSON as error:
        problems.append(f"{what} skipped: {error}")
        return None
