"""Applies the user's ``redact`` to the journal's content, by the table in ``livekit_otel.privacy``.

Other values do not change: the rules are those of :mod:`.split`, which removes the content afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..privacy import IDENTIFIER, MEASURE, OBJECT, OBJECTS, TOOL_NAME, UNKNOWN, Rule, Shape
from ..redaction import Redaction, kinds

__all__ = ["ContentRedactor"]

#: incomplete texts: a number may continue in the next event
_FRAGMENTS = {
    "user_input_transcribed": frozenset({"transcript"}),
    "user_turn_exceeded": frozenset({"transcript", "accumulated_transcript"}),
}
_KINDS = {
    ("function_call", "arguments"): kinds.TOOL_ARGUMENTS,
    ("function_call_output", "output"): kinds.TOOL_RESULT,
    ("tool_call_updated", "message"): kinds.TOOL_RESULT,
    ("tool_call_ended", "message"): kinds.TOOL_RESULT,
    ("agent_config_update", "instructions"): kinds.INSTRUCTIONS,
    ("agent_false_interruption", "extra_instructions"): kinds.INSTRUCTIONS,
    ("user_input_transcribed", "transcript"): kinds.USER,
}
_ERRORS = frozenset({"error", *(kind for kind in OBJECTS if kind.endswith("_error"))})
#: fields of the same kind as the value that contains them
_WORDS = frozenset({("message", "content"), ("audio_content", "transcript")})
#: an image itself cannot be redacted as text and is withheld; its address is a text
_IMAGE = ("image_content", "image")
_NUMBERS = (bool, int, float)


class _Around(NamedTuple):
    """The context of a value: the kind of its texts, and whether they are truncated."""

    kind: str = kinds.OTHER
    cut: bool = False


class ContentRedactor:
    """Redacts dumps of LiveKit's objects. ``is_tool`` returns whether a tool of a name was registered."""

    def __init__(self, redaction: Redaction, is_tool: Callable[[str], bool] | None = None) -> None:
        self._redaction = redaction
        self._is_tool = is_tool

    def form(self, form: dict[str, Any], rule: Rule, *, whole: bool = False) -> dict[str, Any]:
        """Return a redacted copy of a dump. ``whole``: transcripts are known to be complete; else they are withheld."""
        if not whole and (fragments := _FRAGMENTS.get(str(form.get("type")))):
            form = {name: "" if name in fragments and one else one for name, one in form.items()}
        redacted: dict[str, Any] = self._value(form, rule, _Around())
        return redacted

    def _value(self, value: Any, rule: Rule, around: _Around) -> Any:
        if self._stays(value, rule):
            return value
        if isinstance(value, list | tuple | set | frozenset):
            return [self._value(one, rule, around) for one in value]
        if isinstance(value, dict) and isinstance(rule, Shape):
            return self._fields(value, rule.fields, around)
        if isinstance(value, dict) and rule is OBJECT:
            if value.get("type") == "message":
                around = _Around(kinds.of_role(value.get("role")), bool(value.get("interrupted")))
            return self._fields(value, OBJECTS.get(str(value.get("type")), UNKNOWN), around)
        if around.cut and isinstance(value, str):
            return self._redaction.cut_off(value, around.kind)
        return self._redaction.value(value, around.kind)

    def _fields(self, value: Mapping[Any, Any], fields: Mapping[str, Rule], around: _Around) -> dict[str, Any]:
        out: dict[str, Any] = {}
        own = str(value.get("type"))
        # fields that no table lists may be content, and so may their names
        unlisted = {name: one for name, one in value.items() if name not in fields}
        others = iter(self._redaction.value(unlisted, kinds.OTHER).items())
        for name, one in value.items():
            if (own, name) == _IMAGE and isinstance(one, str) and one.startswith("data:"):
                out[name] = ""
            elif name in fields:
                inner = around if (own, name) in _WORDS else _Around(_kind(own, name))
                out[name] = self._value(one, fields[name], inner)
            else:
                shown, redacted = next(others)
                out[shown] = redacted
        return out

    def _stays(self, value: Any, rule: Rule) -> bool:
        """Whether a value is not content, by the rules of :mod:`.split`."""
        if rule is MEASURE:
            return isinstance(value, _NUMBERS)
        if rule is IDENTIFIER or (rule is TOOL_NAME and isinstance(value, str) and self._known(value)):
            return isinstance(value, (str, *_NUMBERS))
        return value is None

    def _known(self, name: str) -> bool:
        return self._is_tool is None or self._is_tool(name)


def _kind(own: str, name: str) -> str:
    return kinds.ERROR if name == "error" and own in _ERRORS else _KINDS.get((own, name), kinds.OTHER)
