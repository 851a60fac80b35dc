"""A different secret in every string, number and key of LiveKit's objects, and how privacy.py marks each of them."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import is_dataclass
from enum import Enum
from typing import Any, Literal, get_args, get_origin, get_type_hints

from livekit.agents.llm import ChatItem
from livekit.agents.metrics import AgentMetrics
from livekit.agents.voice.events import AgentEvent
from pydantic import BaseModel

from livekit_otel import privacy

#: what a field of these types can hold is no JSON, or LiveKit leaves it out
_NO_JSON = ("VideoFrame", "AudioFrame", "SpeechHandle", "ndarray", "NDArray", "bytes", "CacheBreakpoint")


def options(union: Any) -> list[Any]:
    """The members of a union, annotated or not."""
    if get_origin(union) is typing.Annotated:
        return options(get_args(union)[0])
    if get_origin(union) in (typing.Union, types.UnionType):
        return [one for arg in get_args(union) for one in options(arg)]
    return [union]


#: ``speech_created`` holds no more than a handle, which only a session makes
EVENTS: list[type[BaseModel]] = [one for one in options(AgentEvent) if one.__name__ != "SpeechCreatedEvent"]
ITEMS: list[type[BaseModel]] = options(ChatItem)
METRICS: list[type[BaseModel]] = options(AgentMetrics)


def _resolved(annotation: Any, model: type) -> Any:
    if isinstance(annotation, typing.ForwardRef):
        return eval(annotation.__forward_arg__, vars(sys.modules[model.__module__]))
    return annotation


def _no_json(kind: Any) -> bool:
    return getattr(kind, "__name__", str(kind)).partition("[")[0] in _NO_JSON


def kind_of(model: type[BaseModel]) -> str:
    return str(model.model_fields["type"].default) if "type" in model.model_fields else ""


class Secrets:
    """Fills models with secrets. ``content`` are those that may not leave, ``shown`` those that the table lets out."""

    def __init__(self) -> None:
        self.content: set[str] = set()
        self.shown: set[str] = set()
        self._count = 0

    def new(self, kind: str, *, content: bool) -> str:
        """One more secret; ``kind`` is a word for what it is, or "number", "seconds" and "time" for digits alone."""
        self._count += 1
        forms = {
            "number": f"16{self._count:08d}",
            "seconds": f"0.5{self._count:06d}7",
            "time": f"17000{self._count:05d}.5",
        }
        secret = forms.get(kind, f"{kind}-{self._count:05d}-secret")
        (self.content if content else self.shown).add(secret)
        return secret

    def fill(
        self, model: type[BaseModel], variant: int = 0, rules: Mapping[str, privacy.Rule] | None = None
    ) -> BaseModel:
        """An instance with all fields; where several types are allowed, the ``variant``-th."""
        if rules is None:
            rules = privacy.OBJECTS.get(kind_of(model), {})
        values = {
            name: self.value(_resolved(field.annotation, model), rules.get(name, privacy.CONTENT), variant)
            for name, field in model.model_fields.items()
            if name != "type"
        }
        # spans have these times: they must be some
        values |= {
            name: float(self.new("time", content=rules[name] is not privacy.MEASURE))
            for name in values
            if name.endswith("_at") or name == "timestamp"
        }
        return model(**values)

    def value(self, annotation: Any, rule: privacy.Rule, variant: int) -> Any:
        found = [one for one in options(annotation) if one is not type(None) and not _no_json(one)]
        return self._one(found[variant % len(found)], rule, variant) if found else None

    def _one(self, kind: Any, rule: privacy.Rule, variant: int) -> Any:
        content = rule not in (privacy.IDENTIFIER, privacy.MEASURE)
        fields = rule.fields if isinstance(rule, privacy.Shape) else None
        origin = get_origin(kind)
        if kind is type(None):
            return None
        if origin is Literal:
            return get_args(kind)[0]
        if origin is list:
            inner = [self.value(get_args(kind)[0], rule, at) for at in range(variant, variant + 3)]
            return [one for one in inner if one is not None]
        if hasattr(kind, "__total__"):
            return {
                name: self.value(hint, (fields or {}).get(name, privacy.CONTENT), variant)
                for name, hint in get_type_hints(kind).items()
            }
        if kind is Any or origin is dict or kind is dict:
            return self.payload()
        if isinstance(kind, type):
            if issubclass(kind, BaseModel):
                return self.fill(kind, variant, fields)
            if is_dataclass(kind):
                hints = get_type_hints(kind)
                return kind(**{name: self.value(hints[name], (fields or {})[name], variant) for name in hints})
            if issubclass(kind, Enum):
                return next(iter(kind))
            if issubclass(kind, bool):
                return True
            if issubclass(kind, int | float):
                return kind(self.new("seconds" if kind is float else "number", content=content))
            if kind.__name__ == "LanguageCode":
                return "en"
            if issubclass(kind, str):
                return self.new("text", content=content)
            if issubclass(kind, BaseException):
                return RuntimeError(self.new("error", content=True))
        return Stranger(self.new("repr", content=True))

    def payload(self, depth: int = 2) -> dict[str, Any]:
        """A payload of the user's, with keys that LiveKit's own fields have."""
        made: dict[str, Any] = {
            self.new("key", content=True): self.new("text", content=True),
            "type": self.new("text", content=True),
            "id": self.new("text", content=True),
            "name": self.new("text", content=True),
            self.new("key", content=True): int(self.new("number", content=True)),
            "list": [self.new("text", content=True), int(self.new("number", content=True))],
        }
        if depth:
            made[self.new("key", content=True)] = self.payload(depth - 1)
        return made


class Stranger:
    """An object that LiveKit knows nothing about, and writes as its repr."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return f"<Stranger {self._secret}>"
