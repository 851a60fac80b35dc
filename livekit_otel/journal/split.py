"""Removes the content from the journal's data, by the table in ``livekit_otel.privacy``.

Content goes to a parallel stream of the journal, so that a journal without its ``pii`` keys keeps its structure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ..privacy import (
    CONTENT,
    IDENTIFIER,
    MEASURE,
    MODEL_USAGE,
    OBJECT,
    OBJECTS,
    REPORT,
    TAGGER,
    UNKNOWN,
    Mark,
    Rule,
    Shape,
)
from .format import Path

__all__ = ["Found", "Splitter", "plain", "text"]

#: removed content, with the place of each value
Found: TypeAlias = list[tuple[Path, Any]]

_NUMBERS = (bool, int, float)
_LISTS = (list, tuple, set, frozenset)
#: types of values that stay as they are; other values are examined further
_STAY = {
    MEASURE: frozenset({*_NUMBERS, type(None)}),
    IDENTIFIER: frozenset({str, type(None)}),
}
_NOTHING = frozenset({type(None)})


class _Plan:
    """The fields of an object: for each, the types that stay, and the rule for other values."""

    __slots__ = ("rules", "stay")

    def __init__(self, fields: Mapping[str, Rule]) -> None:
        self.stay = {
            name: _STAY.get(rule, _NOTHING) if isinstance(rule, Mark) else _NOTHING for name, rule in fields.items()
        }
        self.rules: dict[str, Mark | _Plan] = {
            name: _Plan(rule.fields) if isinstance(rule, Shape) else rule for name, rule in fields.items()
        }


_OBJECTS = {kind: _Plan(fields) for kind, fields in OBJECTS.items()}
_UNKNOWN = _Plan(UNKNOWN)
_SHAPES: dict[Rule, _Plan] = {shape: _Plan(shape.fields) for shape in (REPORT, MODEL_USAGE, TAGGER)}


class Splitter:
    """Removes content from dumps of LiveKit's objects. ``is_tool`` returns whether a tool of a name was registered."""

    def __init__(self, is_tool: Callable[[str], bool] | None = None) -> None:
        self._is_tool = is_tool

    def split(self, value: dict[str, Any], rule: Rule, path: Path, found: Found) -> dict[str, Any]:
        """Return a JSON-ready copy of ``value`` without its content, which is appended to ``found`` with its path.

        ``rule`` is ``OBJECT``, ``REPORT``, ``MODEL_USAGE`` or ``TAGGER``. Withheld text becomes ``""``, a withheld
        number null, a withheld list or dictionary empty. Values that JSON cannot hold (audio arrays, arbitrary
        objects) become null.
        """
        plan = _OBJECTS.get(str(value.get("type")), _UNKNOWN) if rule is OBJECT else _SHAPES[rule]
        return self._fields(value, plan, path, found)

    def _fields(self, value: dict[Any, Any], plan: _Plan, path: Path, found: Found) -> dict[str, Any]:
        """Most recorded values are plain; they are handled here, without a further call."""
        copy: dict[str, Any] = {}
        before, stay = len(found), plan.stay
        for name, item in value.items():
            try:
                types = stay[name]
            except KeyError:
                # the key may be content, too: the whole object is content, and its listed fields are shown besides
                found[before:] = [(path.copy(), plain(value))]
                return self._listed(value, plan, path)
            if type(item) in types:
                copy[name] = item
                continue
            path.append(name)
            copy[name] = self._value(item, plan.rules[name], path, found)
            path.pop()
        return copy

    def _listed(self, value: dict[Any, Any], plan: _Plan, path: Path) -> dict[str, Any]:
        return self._fields({name: item for name, item in value.items() if name in plan.stay}, plan, path.copy(), [])

    def _value(self, value: Any, rule: Mark | _Plan, path: Path, found: Found) -> Any:
        if rule is CONTENT:
            return _withhold(value, path, found)
        if rule is OBJECT or isinstance(rule, _Plan):
            if isinstance(value, dict):
                plan = rule if isinstance(rule, _Plan) else _OBJECTS.get(str(value.get("type")))
                return _withhold(value, path, found) if plan is None else self._fields(value, plan, path, found)
            if isinstance(value, _LISTS):
                return self._each(value, rule, path, found)
        elif rule is MEASURE:
            if isinstance(value, _NUMBERS):
                return value
        elif rule is IDENTIFIER or self._known(value):
            if isinstance(value, str):
                return text(value)
            if isinstance(value, _NUMBERS):
                return value
            if isinstance(value, _LISTS):
                return self._each(value, rule, path, found)
        return _withhold(value, path, found)

    def _each(self, values: Any, rule: Mark | _Plan, path: Path, found: Found) -> list[Any]:
        items = []
        for number, item in enumerate(values):
            path.append(number)
            items.append(self._value(item, rule, path, found))
            path.pop()
        return items

    def _known(self, name: Any) -> bool:
        """Whether a value marked ``TOOL_NAME`` is the name of a registered tool."""
        return isinstance(name, str) and (not name or self._is_tool is None or self._is_tool(name))


def _withhold(value: Any, path: Path, found: Found) -> Any:
    """Return the replacement for content; empty values reveal nothing and stay."""
    if isinstance(value, str):
        if value:
            found.append((path.copy(), text(value)))
        return ""
    value = plain(value)
    if value is None or value == [] or value == {}:
        return value
    found.append((path.copy(), value))
    return [] if isinstance(value, list) else {} if isinstance(value, dict) else None


def plain(value: Any) -> Any:
    """Return a JSON-ready copy; values that JSON cannot hold become null."""
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, _NUMBERS):
        return value
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, _LISTS):
        return [plain(item) for item in value]
    return None


def text(value: str) -> str:
    """Return a plain ``str``: LiveKit's enums and language codes are subclasses."""
    if type(value) is str:
        return value
    raw = getattr(value, "value", None)
    return raw if type(raw) is str else str.__str__(value)
