"""LiveKit's own session reports among files: each becomes one record that carries the report as JSON text."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from .. import attributes as attr
from .._json import NOT_JSON
from ..otlp.message import Message, decode_file
from ..otlp.parse import Malformed, NotAMessage
from ..spans import SpanRecord

__all__ = ["decode_any"]

_HISTORY, _ITEMS = "chat_history", "items"


def decode_any(data: bytes) -> list[Message | list[Message]] | SpanRecord:
    """The messages of an OTLP document, or the record of a session report (see ``attributes.REPORT_SCOPE``).

    Raises:
        Malformed: the data is no JSON.
        NotAMessage: it is neither.
    """
    try:
        return decode_file(data)
    except (Malformed, NotAMessage):
        report = _report(data)
        if report is None:
            raise
        return report


def _report(data: bytes) -> SpanRecord | None:
    """The record of a session report; None for other JSON. Raises NotAMessage for a report that is damaged."""
    # other JSON may be large, and decoded it takes a multiple of its size
    if f'"{_HISTORY}"'.encode() not in data:
        return None
    try:
        # Python's json writes NaN and lone surrogates, and reads them
        found: Any = json.loads(data.decode())
    except NOT_JSON:
        return None
    if not isinstance(found, dict) or _HISTORY not in found:
        return None
    history = found[_HISTORY]
    items = history.get(_ITEMS) if isinstance(history, dict) else None
    if not isinstance(items, list) or not all(isinstance(one, dict) and type(one.get("type")) is str for one in items):
        raise NotAMessage("a LiveKit session report whose chat_history holds no list of items")
    text = json.dumps(found)
    # a report has no id of its own: equal reports are one session, whatever their layout
    digest = hashlib.sha256(text.encode()).hexdigest()
    return SpanRecord(
        trace_id=digest[:32], span_id=digest[32:48], parent_id=None, name=attr.REPORT_SCOPE, start_ns=0, end_ns=0,
        attributes={attr.REPORT_DOCUMENT: text}, scope=attr.REPORT_SCOPE,
    )  # fmt: skip
