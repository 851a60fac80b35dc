"""SpanRecord: the waist of the library. Live and stored spans both become this; all that is derived starts here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import msgspec

from . import attributes as attr

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["AttributeValue", "SpanRecord", "SpanStatus", "from_sdk"]

AttributeValue: TypeAlias = str | bool | int | float | Sequence[str] | Sequence[bool] | Sequence[int] | Sequence[float]
SpanStatus: TypeAlias = Literal["unset", "ok", "error"]


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

    @property
    def kind(self) -> str:
        """What the span is (``livekit_otel.kind``); empty for spans that are not ours."""
        return str(self.attributes.get(attr.KIND, ""))

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
    return str((span.attributes or {}).get(attr.SESSION_ID, ""))


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
    )


_STATUS: tuple[SpanStatus, SpanStatus, SpanStatus] = ("unset", "ok", "error")
