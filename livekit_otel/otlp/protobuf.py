"""Converts stored OTLP JSON to OTLP requests, with every scope and every field.

The protobuf classes are the common model. Their JSON mapping accepts numbers as strings and enums as names or
numbers; OTLP JSON differs from it in that ids are hex.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from .ids import either, entries_of, prepared_span
from .message import Message, decode_message
from .parse import SHAPE, NotAMessage, parse

__all__ = [
    "Part",
    "decode_file",
    "decode_request",
    "encode",
    "encode_json",
    "left_out",
    "mark_of",
    "one_by_one",
    "parts",
]

_SIGNALS = ("resourceLogs", "resourceMetrics")
_SPANS = ("resourceSpans", "batches")
_WRAPPERS = ("result", "trace")


@dataclass
class Part:
    """Spans of one line that share a resource and a scope.

    Attributes:
        message: the spans.
        where: file and line, for messages.
        end: number of spans of the line that are sent when this part is sent.
        mark: ids of the last span.
        problems: the parts that were skipped, each with the reason.
    """

    message: ResourceSpans
    where: str
    end: int
    mark: str
    problems: list[str] = field(default_factory=list)

    @property
    def spans(self) -> int:
        return sum(len(scope.spans) for scope in self.message.scope_spans)


def decode_file(data: bytes) -> Any:
    """The messages of a JSON document as plain objects; messages of other signals have no spans. Raises Malformed,
    NotAMessage."""
    return parse(_decode_known, data)


def _decode_known(data: bytes) -> Any:
    found = msgspec.json.decode(data)
    for one in found if isinstance(found, list) else [found]:
        if not isinstance(one, dict) or not any(key in one for key in (*_SPANS, *_WRAPPERS, *_SIGNALS)):
            # read_spans reads such files, so that they can be among traces
            report = isinstance(one, dict) and "chat_history" in one
            raise NotAMessage("a session report of LiveKit, which has no spans to send" if report else SHAPE)
    return found


def encode_json(request: ExportTraceServiceRequest) -> bytes:
    """A request as OTLP JSON, where ids are hex; protobuf's own JSON mapping encodes them as base64."""
    found = json_format.MessageToDict(request, use_integers_for_enums=True)
    for _, _, spans in _groups(found):
        for span in spans:
            for one in (span, *span.get("links", ())):
                for key in ("traceId", "spanId", "parentSpanId"):
                    if key in one:
                        one[key] = base64.b64decode(one[key]).hex()
    return msgspec.json.encode(found)


def parts(found: Any, where: str, *, skip: int = 0, size: int = 512) -> Iterator[Part]:
    """Split the spans of a document, without the first ``skip``, into parts of at most ``size`` spans."""
    at = 0
    for resource, scope, spans in _groups(found):
        for start in range(max(0, skip - at), len(spans), size):
            chunk = spans[start : start + size]
            problems: list[str] = []
            message = _message(resource, scope, chunk, problems)
            yield Part(message, where, at + start + len(chunk), mark(chunk[-1]), problems)
        at += len(spans)


def mark_of(found: Any, number: int) -> str:
    """The mark of the span with this number, or an empty string."""
    for _, _, spans in _groups(found):
        if number < len(spans):
            return mark(spans[number])
        number -= len(spans)
    return ""


def mark(span: Any) -> str:
    """The ids that identify a span."""
    if not isinstance(span, dict):
        return "?"
    return f"{either(span, 'traceId', 'trace_id')}/{either(span, 'spanId', 'span_id')}"


def encode(messages: list[ResourceSpans], encoding: str) -> bytes:
    """The body of a request."""
    request = ExportTraceServiceRequest(resource_spans=messages)
    if encoding != "json":
        return request.SerializeToString()
    return encode_json(request)


def decode_request(data: bytes) -> Message | list[Message]:
    """The messages of a protobuf request, decoded as OTLP JSON so that a single decoder handles spans.

    Raises:
        google.protobuf.message.DecodeError: the data is not a request.
    """
    return decode_message(encode_json(ExportTraceServiceRequest.FromString(data)))


def one_by_one(part: Part) -> list[Part]:
    """Split a part into parts of one span each."""
    found: list[Part] = []
    for scope in part.message.scope_spans:
        for span in scope.spans:
            message = ResourceSpans(resource=part.message.resource, schema_url=part.message.schema_url)
            own = message.scope_spans.add(scope=scope.scope, schema_url=scope.schema_url)
            own.spans.append(span)
            found.append(Part(message, part.where, part.end, span.span_id.hex()))
    return found


def left_out(found: Any) -> list[str]:
    """Descriptions of values found in place of spans that cannot contain spans."""
    problems: list[str] = []
    for _ in _groups(found, problems):
        pass
    return problems


def _groups(
    found: Any, problems: list[str] | None = None
) -> Iterator[tuple[dict[str, Any], dict[str, Any], list[Any]]]:
    """(resource spans, scope spans, spans) in order, from lists and wrappers at any depth."""
    waiting = [found]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += reversed(one)
        if not isinstance(one, dict):
            continue
        for resource in [entry for key in _SPANS for entry in entries_of(one.get(key), "a resource", problems)]:
            scopes = either(resource, "scopeSpans", "scope_spans")
            for scope in entries_of(scopes, "a resource", problems):
                spans = entries_of(scope.get("spans"), "a scope", problems, of=object)
                if spans:
                    yield resource, scope, spans
        waiting += [one[key] for key in reversed(_WRAPPERS) if isinstance(one.get(key), dict)]


def _message(resource: dict[str, Any], scope: dict[str, Any], spans: list[Any], problems: list[str]) -> ResourceSpans:
    prepared = [span for span in (prepared_span(span, problems) for span in spans) if span is not None]
    try:
        return _parse(resource, scope, prepared)
    except json_format.ParseError:
        pass
    readable: list[dict[str, Any]] = []
    for span in prepared:
        try:
            _parse({}, {}, [span])
            readable.append(span)
        except json_format.ParseError as error:
            problems.append(f"a span was skipped: {_reason(error)}")
    try:
        return _parse(resource, scope, readable)
    except json_format.ParseError as error:
        problems.append(f"{len(readable)} spans were skipped: {_reason(error)}")
        return ResourceSpans()


def _parse(resource: dict[str, Any], scope: dict[str, Any], spans: list[dict[str, Any]]) -> ResourceSpans:
    whole = {key: value for key, value in resource.items() if key not in ("scopeSpans", "scope_spans")}
    whole["scopeSpans"] = [{**scope, "spans": spans}]
    return json_format.ParseDict(whole, ResourceSpans(), ignore_unknown_fields=True)


_FIELD = re.compile(r"Failed to parse (\w+) field: ")


def _reason(error: Exception) -> str:
    """The innermost field and its error."""
    text = str(error).rstrip(".")
    fields: list[str] = _FIELD.findall(text)
    return ": ".join([*fields[-1:], _FIELD.sub("", text)])[:200]
