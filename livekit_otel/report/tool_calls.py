"""Tool calls: their arguments, exceptions and results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .. import attributes as attr
from ..spans import SpanRecord, number, text
from .model import SessionReport

__all__ = ["ToolCall", "tool_calls"]


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call.

    Attributes:
        name: the tool's name; content if the model made it up.
        at: start, Unix seconds; None if unknown.
        seconds: duration; None if no span has it.
        arguments: as the model wrote them; content.
        given: the output that the model received; content.
        raised: type and message of the exception; the message is content. Empty if it raised nothing.
        returned: the return value, if it differs from the output that the model received; content.
        failed: whether it failed, or the model received an error.
        status: LiveKit's status: ``done``, ``error`` or ``cancelled``; empty if unknown.
        span_id: ID of its span; empty without a span.
    """

    name: str
    at: float | None = None
    seconds: float | None = None
    arguments: str = ""
    given: str = ""
    raised: str = ""
    returned: str = ""
    failed: bool = False
    status: str = ""
    span_id: str = ""


def tool_calls(report: SessionReport) -> dict[str, ToolCall]:
    """Each call by its ID and, if it has a span, also by the span's ID."""
    spans = [span for span in report.spans if span.kind == attr.KIND_TOOL]
    by_call = {text(span.attributes, attr.TOOL_CALL_ID): span for span in spans}
    items: dict[str, dict[str, dict[str, Any]]] = {"function_call": {}, "function_call_output": {}}
    for item in report.history:
        kind = item.get("type")
        if isinstance(kind, str) and kind in items and item.get("call_id"):
            items[kind].setdefault(str(item["call_id"]), item)
    found: dict[str, ToolCall] = {}
    asked, given = items["function_call"], items["function_call_output"]
    for span in spans:
        call_id = text(span.attributes, attr.TOOL_CALL_ID)
        found[span.span_id] = _call(span, asked.get(call_id, {}), given.get(call_id, {}))
    for call_id, item in asked.items():
        own = by_call.get(call_id)
        found[call_id] = found[own.span_id] if own is not None else _call(None, item, given.get(call_id, {}))
    return found


def _call(span: SpanRecord | None, asked: Mapping[str, Any], answer: Mapping[str, Any]) -> ToolCall:
    values: Mapping[str, object] = {} if span is None else span.attributes
    given, returned = _plain(answer.get("output")), text(values, attr.TOOL_CALL_RESULT)
    message = text(values, attr.ERROR_MESSAGE)
    reason = text(values, attr.ERROR_TYPE)
    # without an exception, LiveKit itself rejected the call, and the model received its message
    raised = "" if reason in ("", attr.OTHER) else f"{reason}: {message}" if message else reason
    if not answer:
        given, returned = ("", returned) if raised else (returned, "")
    return ToolCall(
        name=text(values, attr.TOOL_MADE_UP_NAME) or _plain(asked.get("name")) or text(values, attr.TOOL_NAME),
        at=number(asked, "created_at") if span is None else span.start_ns / 1e9,
        seconds=None if span is None else span.duration,
        arguments=_plain(asked.get("arguments")) or text(values, attr.TOOL_CALL_ARGUMENTS),
        given=given,
        raised=raised,
        returned=returned if returned not in ("", given, message) else "",
        failed=bool(answer.get("is_error")) or values.get(attr.OUTCOME) == attr.OUTCOME_ERROR,
        status=text(values, attr.TOOL_STATUS),
        span_id="" if span is None else span.span_id,
    )


def _plain(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
