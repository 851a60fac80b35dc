"""Tool calls: what was asked, what the tool raised, and what the model was given."""

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
        name: the tool's name; of one that the model made up, content.
        at: when it began, unix seconds; None where nobody knows.
        seconds: how long it ran; None where no span says it.
        arguments: as the model wrote them; content.
        given: what the model was given; content.
        raised: type and message of the exception; the message is content. Empty where it raised nothing.
        returned: what it returned, where that is not what the model was given; content.
        failed: it failed, or the model was told so.
        status: what LiveKit says of how it ended: ``done``, ``error`` or ``cancelled``; empty where it does not.
        span_id: its span; empty without one.
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
    """Each call by its id and, where it has a span, by that span's id, too."""
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
    # without an exception LiveKit itself refused the call: what it says is what the model was given
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
