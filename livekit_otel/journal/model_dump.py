"""``model_dump()`` for LiveKit's small events, at a tenth of the cost if all fields are plain values."""

from __future__ import annotations

from typing import Any

__all__ = ["dump"]

_SCALARS = (str, int, float, bool, type(None))
_EXACT = frozenset(_SCALARS)
_SERIALIZERS = ("field_serializers", "model_serializers", "computed_fields")
#: names of the fields that a class dumps, or None if pydantic has to dump it
_plans: dict[type, tuple[str, ...] | None] = {}


def dump(model: Any, without: str | None = None) -> dict[str, Any]:
    """Return ``model.model_dump()`` with null for the field ``without``, which is not read."""
    cls = type(model)
    names = _plans[cls] if cls in _plans else _plan(model)
    if names is not None:
        fields = model.__dict__
        out = {name: None if name == without else fields[name] for name in names}
        # few values are of a subclass (an enum, a language code), so checking all exact types at once is cheaper
        if _EXACT.issuperset(map(type, out.values())) or all(isinstance(one, _SCALARS) for one in out.values()):
            return out
    whole: dict[str, Any] = model.model_dump()
    if without is not None:
        whole[without] = None
    return whole


def _plan(model: Any) -> tuple[str, ...] | None:
    """Return the fields that can be read directly. Decided once for each class, by its first object."""
    cls = type(model)
    names: tuple[str, ...] | None = None
    decorators, config = cls.__pydantic_decorators__, cls.model_config
    special = any(getattr(decorators, kind, None) for kind in _SERIALIZERS) or any(
        hasattr(note, "when_used") for field in cls.model_fields.values() for note in field.metadata
    )
    if not special and config.get("extra") != "allow" and not config.get("serialize_by_alias"):
        found = tuple(name for name, field in cls.model_fields.items() if not field.exclude)
        if found == tuple(model.model_dump()) and set(found) <= model.__dict__.keys():
            names = found
    _plans[cls] = names
    return names
