"""The words that models generated in a turn, whether or not they were heard."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from .. import attributes as attr
from .._json import NOT_JSON
from ..spans import SpanRecord
from .turns import Turn

__all__ = ["Made", "made_by"]

_DISCARDED = "not heard (made ahead, and thrown away)"


class Made(msgspec.Struct, frozen=True):
    """Words of one request. ``why``: why they were not heard, if the outcome shows that. ``at``: Unix seconds."""

    at: float
    text: str
    why: str = ""


def made_by(turn: Turn) -> list[Made]:
    """The words of the turn's requests, by start, without requests outside the conversation."""
    found = []
    for span in turn.stages:
        if span.kind in (attr.KIND_LLM, attr.KIND_REALTIME) and attr.LLM_OWN not in span.attributes:
            words = " ".join(_words(span)).strip()
            outcome = str(span.attributes.get(attr.OUTCOME, ""))
            if words:
                why = _DISCARDED if outcome == attr.OUTCOME_DISCARDED else ""
                found.append(Made(span.start_ns / 1e9, words, why))
    return found


def _words(span: SpanRecord) -> Iterator[str]:
    value = span.attributes.get(attr.OUTPUT_MESSAGES)
    if not isinstance(value, str):
        return
    try:
        messages = msgspec.json.decode(value)
    except NOT_JSON:
        return
    for message in messages if isinstance(messages, list) else ():
        parts = message.get("parts") if isinstance(message, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("content"), str):
                yield part["content"]
