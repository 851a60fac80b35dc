"""Converts single values of a span to Langfuse's formats."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode
from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from ..._json import NOT_JSON

__all__ = ["Attributes", "exact", "first_token", "level", "request", "size_of", "text", "transportable"]

Attributes = dict[str, AttributeValue]
_SAFE_INTEGER = 2**53
_DAY = 86_400.0
_FIRST = {
    attr.KIND_LLM: attr.TIME_TO_FIRST_CHUNK,
    attr.KIND_REALTIME: attr.REALTIME_FIRST_AUDIO,
    attr.KIND_TTS: attr.TTS_FIRST_BYTE,
}


def size_of(span: ReadableSpan) -> int:
    """The approximate size of a span's attributes in characters."""
    return sum(
        len(name) + (len(value) if isinstance(value, str) else 16) for name, value in (span.attributes or {}).items()
    )


def transportable(span: ReadableSpan) -> Attributes:
    """Attributes without values that JavaScript cannot represent: it rounds large integers and rejects NaN."""
    found: Attributes = {}
    for name, value in (span.attributes or {}).items():
        if isinstance(value, float) and not math.isfinite(value):
            continue
        large = isinstance(value, int) and not isinstance(value, bool) and abs(value) > _SAFE_INTEGER
        found[name] = str(value) if large else value
    return found


def text(attributes: Any, name: str) -> str | None:
    """A non-empty text, or None."""
    value = attributes.get(name)
    return value if isinstance(value, str) and value else None


def request(attributes: Attributes) -> str | None:
    """The messages of a request as Langfuse shows them, with the instructions first."""
    messages, instructions = text(attributes, attr.INPUT_MESSAGES), text(attributes, attr.SYSTEM_INSTRUCTIONS)
    if instructions is None:
        return messages
    try:
        parts, rest = json.loads(instructions), json.loads(messages) if messages else []
    except NOT_JSON:
        return "\n".join(filter(None, (instructions, messages)))
    whole = [{"role": "system", "parts": parts}, *rest]
    plain = json.dumps(whole, ensure_ascii=False, separators=(",", ":"))
    # lone surrogates can only be sent escaped
    return plain if plain.isascii() or _encodable(plain) else json.dumps(whole, separators=(",", ":"))


def _encodable(plain: str) -> bool:
    try:
        plain.encode()
    except UnicodeEncodeError:
        return False
    return True


def first_token(span: ReadableSpan, kind: str, attributes: Attributes) -> str | None:
    """The time of the first token, audio or byte: ISO 8601 with time zone."""
    seconds = attributes.get(_FIRST.get(kind, ""))
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < _DAY:
        return None
    whole, rest = divmod((span.start_time or 0) + round(seconds * 1e9), 1_000_000_000)
    moment = datetime.fromtimestamp(whole, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{rest // 1000:06d}Z"


def level(span: ReadableSpan, attributes: Attributes) -> Attributes:
    """Langfuse's level for a span, and the reason."""
    outcome = attributes.get(attr.OUTCOME)
    if span.status.status_code is StatusCode.ERROR or outcome == attr.OUTCOME_ERROR:
        kind, message = text(attributes, attr.ERROR_TYPE), text(attributes, attr.ERROR_MESSAGE)
        reason = span.status.description or ": ".join(filter(None, (kind, message))) or "failed"
        return {attr.LANGFUSE_LEVEL: "ERROR", attr.LANGFUSE_STATUS_MESSAGE: reason}
    if outcome == "cancelled":
        return {attr.LANGFUSE_LEVEL: "WARNING", attr.LANGFUSE_STATUS_MESSAGE: "cancelled"}
    if outcome == attr.OUTCOME_DISCARDED:
        return {attr.LANGFUSE_STATUS_MESSAGE: "discarded: the user's turn continued"}
    return {attr.LANGFUSE_LEVEL: "DEBUG"} if attributes.get(attr.KIND) in attr.BOOKKEEPING_KINDS else {}


def exact(span: ReadableSpan) -> str:
    """Start and end in nanoseconds; Langfuse truncates times to milliseconds."""
    return f"{span.start_time or 0}-{span.end_time or 0}"
