"""Records of live or just ended spans, reduced to the data that derivation reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from opentelemetry.sdk.trace import ReadableSpan

from .. import attributes as attr
from ..spans import SpanRecord
from ..turns.stages import STAGE_ATTRIBUTES
from ..turns.usage import USAGE_ATTRIBUTES

__all__ = ["TURN_ATTRIBUTES", "number_of", "plain", "reduced_record"]

_STAGE = STAGE_ATTRIBUTES | USAGE_ATTRIBUTES
TURN_ATTRIBUTES = frozenset(
    {attr.KIND, attr.TURN_INDEX, attr.TURN_HAS_USER, attr.TURN_SPEECH_IDS, attr.AGENT_NAME}
    | {attr.TURN_SPEECH_END_SOURCE, attr.END_REASON}
    | {attr.reported(name) for name in attr.REPORTED_METRICS}
)


def plain(span: ReadableSpan) -> dict[str, Any]:
    """A copy of a span's attributes as a dictionary."""
    attributes = span.attributes
    return {} if attributes is None else cast("Any", attributes).copy()


def reduced_record(
    span: ReadableSpan, attributes: Mapping[str, Any], keep: frozenset[str] = _STAGE, end_ns: int | None = None
) -> SpanRecord:
    """The record of a span with only the data that derivation reads: long calls keep several hundred records.

    It has no parent: the processor knows the turn of each stage.
    """
    context = span.get_span_context()
    start = span.start_time or 0
    return SpanRecord(
        trace_id="",
        span_id=format(context.span_id, "016x") if context else "",
        parent_id=None,
        name=span.name,
        start_ns=start,
        end_ns=end_ns or span.end_time or start,
        attributes={name: attributes[name] for name in filter(keep.__contains__, attributes)},
    )


def number_of(span: ReadableSpan) -> int:
    context = span.get_span_context()
    return context.span_id if context is not None else 0
