"""Completes texts that were cut on turn spans from the chat history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import attributes as attr

__all__ = ["Said", "message_text"]

#: Texts on turn spans are cut at 1,900 bytes; near that length, the history is used.
_CUT_BYTES = attr.PIECE_BYTES - 20
#: characters; a text of that many bytes has at least as many
_BEGINNING = 400


class Said:
    """The long texts of a history, for completing cut texts."""

    def __init__(self, history: Sequence[Mapping[str, Any]]) -> None:
        self._history = history
        self._found: dict[tuple[str, str], list[str]] | None = None

    def whole(self, value: Any, role: str) -> str:
        """The complete text of a text that may be cut."""
        if value is None:
            return ""
        text = str(value)
        if len(text.encode("utf-8", "replace")) < _CUT_BYTES:
            return text
        start = text.rstrip("…\ufffd")
        found = self._beginnings().get((role, start[:_BEGINNING]), ())
        return next((one for one in found if one.startswith(start)), text)

    def _beginnings(self) -> dict[tuple[str, str], list[str]]:
        """The long texts by role and beginning, because a call can have thousands of them."""
        if self._found is None:
            self._found = {}
            for item in self._history:
                text, role = message_text(item), item.get("role")
                if len(text) >= _BEGINNING and isinstance(role, str):
                    self._found.setdefault((role, text[:_BEGINNING]), []).append(text)
        return self._found


def message_text(item: Mapping[str, Any]) -> str:
    """The words of a history item of type ``message``."""
    content = item.get("content")
    return "\n".join(part for part in content if isinstance(part, str)) if isinstance(content, list) else ""
