"""Splits a dumped event into what is content and what is not.

The journal keeps content in a parallel attribute, so that stripping ``pii`` keys leaves a journal of the same shape: a
content string becomes ``""`` in the main part, and ``[entry, path, value]`` in the other.
"""

from __future__ import annotations

from typing import Any

#: String fields of LiveKit's events and items that say nothing about what people said. Any other string is content,
#: so that a field of a newer LiveKit is withheld rather than leaked.
_PLAIN = frozenset(
    {
        "agent_name",
        "audio_recording_path",
        "call_id",
        "close_reason",
        "endpointing_mode",
        "group_id",
        "id",
        "item_id",
        "job_id",
        "label",
        "language",
        "mode",
        "model",
        "model_name",
        "model_provider",
        "name",
        "new_agent_id",
        "new_state",
        "old_agent_id",
        "old_state",
        "provider",
        "provider_request_ids",
        "reason",
        "role",
        "room_id",
        "sdk_version",
        "source",
        "speech_id",
        "status",
        "tags",
        "tools_added",
        "tools_removed",
        "type",
        "update_ids",
        "usage",
    }
)
#: Below these keys every string is content, whatever it is called: user payloads have names of their own.
_OPAQUE = frozenset({"content", "extra"})
_STRUCTURE = frozenset({"type"})
_NUMBERS = (bool, int, float, type(None))
_EXACT_NUMBERS = frozenset(_NUMBERS)

Path = list[str | int]
Found = list[tuple[Path, Any]]


def split(value: dict[Any, Any], found: Found, path: Path) -> dict[str, Any]:
    """A JSON-ready copy of ``value`` without its content; the content is appended to ``found`` with its path.

    Values that JSON cannot hold (audio arrays, arbitrary objects) become null.
    """
    return _split_dict(value, found, path, _PLAIN)


def _split(value: Any, found: Found, path: Path, key: str, plain: frozenset[str]) -> Any:
    if isinstance(value, str):
        if not value or key in plain:
            return _text(value)
        found.append((path.copy(), _text(value)))
        return ""
    if isinstance(value, dict):
        return _split_dict(value, found, path, plain)
    if isinstance(value, _NUMBERS):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        items = []
        for number, item in enumerate(value):
            path.append(number)
            items.append(_split(item, found, path, key, plain))
            path.pop()
        return items
    return None


def _split_dict(value: dict[Any, Any], found: Found, path: Path, plain: frozenset[str]) -> dict[str, Any]:
    """``plain``: keys whose strings are no content. Most of what is recorded are plain values: done on the spot."""
    copy: dict[str, Any] = {}
    for name, item in value.items():
        kind = type(item)
        if kind in _EXACT_NUMBERS or (kind is str and (not item or name in plain)):
            copy[str(name)] = item
            continue
        name = str(name)
        path.append(name)
        copy[name] = _split(item, found, path, name, _STRUCTURE if name in _OPAQUE else plain)
        path.pop()
    return copy


def _text(value: str) -> str:
    """A plain ``str``: LiveKit's enums and language codes are subclasses."""
    if type(value) is str:
        return value
    raw = getattr(value, "value", None)
    return raw if type(raw) is str else str.__str__(value)
