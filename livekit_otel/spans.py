"""SpanRecord: the waist of the library. Live and stored spans both become this; all that is derived starts here.

Attribute values are read here, too: a store may keep text only, cut a list to its JSON text, or return what no call
can have had. Whatever is not the type that was asked for is absent: None, false, or empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, cast

import msgspec

from . import attributes as attr
from ._json import NOT_JSON

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

__all__ = [
    "AttributeValue",
    "SpanRecord",
    "SpanStatus",
    "Values",
    "attribute_limit",
    "finite",
    "flag",
    "found_above",
    "from_sdk",
    "is_ours",
    "nanoseconds",
    "number",
    "numbers",
    "outcome",
    "seconds",
    "session_of",
    "text",
    "texts",
    "whole",
]

AttributeValue: TypeAlias = str | bool | int | float | Sequence[str] | Sequence[bool] | Sequence[int] | Sequence[float]
SpanStatus: TypeAlias = Literal["unset", "ok", "error"]
Values: TypeAlias = Mapping[str, object]

#: what an OTLP integer holds; no amount, count or time of a call is larger
_LARGEST = 2**63 - 1
#: read some fifty times for each turn
_KIND = attr.KIND


class SpanRecord(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One finished span, wherever it was stored.

    Attributes:
        trace_id: 32 lower-case hex digits.
        span_id: 16 lower-case hex digits.
        parent_id: 16 lower-case hex digits, or None for a root.
        name: span name.
        start_ns, end_ns: unix time in nanoseconds.
        attributes: typed values; sequences are tuples or lists of one type.
        status: ``unset``, ``ok`` or ``error``; ``status_message`` belongs to it.
        scope: name of the instrumentation scope.
        resource: resource attributes, shared between the spans of one resource.
        dropped_attributes: how many attributes a limit of the SDK took from the span.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, AttributeValue]
    status: SpanStatus = "unset"
    status_message: str = ""
    scope: str = attr.SCOPE
    resource: Mapping[str, AttributeValue] = {}
    dropped_attributes: int = 0

    @property
    def kind(self) -> str:
        """What the span is (``livekit_otel.kind``); empty for spans that are not ours."""
        kind = self.attributes.get(_KIND, "")
        return kind if type(kind) is str else str(kind)

    @property
    def session_id(self) -> str:
        """Grouping key of reports (``livekit_otel.session.id``); empty for spans that are not ours."""
        return str(self.attributes.get(attr.SESSION_ID, ""))

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return (self.end_ns - self.start_ns) / 1e9


def is_ours(span: ReadableSpan) -> bool:
    """Whether a span of the SDK is of the pipeline layer."""
    scope = span.instrumentation_scope
    return scope is not None and scope.name == attr.SCOPE


def session_of(span: ReadableSpan) -> str:
    """:attr:`SpanRecord.session_id` of a span of the SDK."""
    attributes = span.attributes
    # whether it is empty is slow to find out in the SDK's mapping
    return "" if attributes is None else str(attributes.get(attr.SESSION_ID, ""))


def attribute_limit(span: ReadableSpan) -> int | None:
    """How many attributes a span of the SDK keeps; None where that is not limited, or it does not say."""
    limit = getattr(getattr(span, "_limits", None), "max_span_attributes", None)
    return limit if isinstance(limit, int) else None


def from_sdk(span: ReadableSpan) -> SpanRecord:
    """The record of a span of the OpenTelemetry SDK that has ended (an open one ends where it starts)."""
    context = span.get_span_context()
    start = span.start_time or 0
    return SpanRecord(
        trace_id=format(context.trace_id, "032x") if context else "",
        span_id=format(context.span_id, "016x") if context else "",
        parent_id=format(span.parent.span_id, "016x") if span.parent else None,
        name=span.name,
        start_ns=start,
        end_ns=span.end_time or start,
        attributes=cast("Mapping[str, AttributeValue]", dict(span.attributes or {})),
        status=_STATUS[span.status.status_code.value],
        status_message=span.status.description or "",
        scope=span.instrumentation_scope.name if span.instrumentation_scope else "",
        resource=cast("Mapping[str, AttributeValue]", span.resource.attributes),
        dropped_attributes=span.dropped_attributes,
    )


class _Child(Protocol):
    @property
    def parent_id(self) -> str | None: ...


def found_above(span_id: str, spans: Mapping[str, _Child], known: dict[str, str]) -> str:
    """What is ``known`` of the nearest span above one, or of itself; empty where there is none. What was found is known
    then of each span on the way."""
    way: list[str] = []
    # a damaged file may hold circles
    while span_id in spans and span_id not in known:
        known[span_id] = ""
        way.append(span_id)
        span_id = spans[span_id].parent_id or ""
    found = known.get(span_id, "")
    known.update(dict.fromkeys(way, found))
    return found


_STATUS: tuple[SpanStatus, SpanStatus, SpanStatus] = ("unset", "ok", "error")


def finite(value: object) -> float | None:
    """A number, or the text of one, as a float; None for what is none, not finite, or too large for a span."""
    if type(value) is not float:
        if not isinstance(value, int | float | str):
            return None
        try:
            value = float(value)
        except (ValueError, OverflowError):
            return None
    return value if -_LARGEST <= value <= _LARGEST else None


def number(attributes: Values, name: str) -> float | None:
    """An attribute as a finite float; None when it is absent or something else."""
    value = attributes.get(name)
    if type(value) is float:
        return value if -_LARGEST <= value <= _LARGEST else None
    return None if value is None else finite(value)


def whole(attributes: Values, name: str) -> int | None:
    """An attribute as an integer, fractions cut off; None when it is absent or something else."""
    value = attributes.get(name)
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            pass
    if isinstance(value, int):
        return int(value) if -_LARGEST <= value <= _LARGEST else None
    found = finite(value)
    return None if found is None else int(found)


def flag(attributes: Values, name: str) -> bool:
    """An attribute as a boolean; absent is false."""
    value = attributes.get(name, False)
    return value.strip().lower() in ("true", "1") if isinstance(value, str) else bool(value)


def outcome(attributes: Values) -> str:
    """How a stage ended; completed where its span does not say."""
    return text(attributes, attr.OUTCOME) or attr.OUTCOME_COMPLETED


def text(attributes: Values, name: str) -> str:
    """An attribute as text; empty when it is absent."""
    value = attributes.get(name)
    return "" if value is None else str(value)


def texts(attributes: Values, name: str) -> list[str]:
    """An attribute as a list of strings, also from its JSON text; any other text is its only element."""
    value = attributes.get(name)
    if isinstance(value, str):
        try:
            return msgspec.json.decode(value, type=list[str])
        except NOT_JSON:
            return [value]
    return [str(one) for one in value] if isinstance(value, list | tuple) else []


def numbers(attributes: Values, name: str) -> list[float]:
    """An attribute as a list of finite numbers, also from its JSON text; empty when it is something else."""
    value = attributes.get(name)
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except NOT_JSON:
            return []
    if not isinstance(value, list | tuple):
        return []
    found = [finite(one) for one in value]
    return [one for one in found if one is not None] if None not in found else []


def nanoseconds(attributes: Values, name: str) -> int | None:
    """An attribute in seconds, not negative, as nanoseconds; None when it is absent, too large, or -1 for "none"."""
    value = attributes.get(name)
    if value is None:
        return None
    known = value if type(value) is float else finite(value)
    return round(known * 1e9) if known is not None and 0 <= known * 1e9 <= _LARGEST else None


def seconds(ns: int) -> float:
    """Nanoseconds as float seconds: the edge."""
    return ns / 1e9
