"""Converts LiveKit's values into attribute values: typed, short enough, and valid UTF-8."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from ..privacy import IDENTIFIER, MEASURE, METRICS, Rule, Shape

_PLAIN = frozenset({bool, int, float})
_SAID_ELSEWHERE = frozenset({"label", "speech_id"})
#: cached results of :func:`_defaults`
_zeros: dict[type, frozenset[str]] = {}


def now_ns() -> int:
    """Return unix time in nanoseconds (looked up on the module, so that a test clock can replace it)."""
    return time.time_ns()


def to_ns(seconds: float) -> int:
    """Convert LiveKit's unix seconds to nanoseconds."""
    return round(seconds * 1e9)


def clip(text: str, limit: int = attr.PIECE_BYTES) -> str:
    """Truncate ``text`` to ``limit`` bytes of UTF-8 at a character boundary; lone surrogates become ``?``.

    A lone surrogate (models do stream them) would make an exporter fail on the whole batch.
    """
    if len(text) * 4 <= limit and text.isascii():
        return text
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode("utf-8")
    return data[: limit - 3].decode("utf-8", "ignore") + "…"


def value(raw: object) -> AttributeValue | None:
    """Return an attribute value for a scalar or a list of strings; None if the value cannot be converted."""
    if isinstance(raw, (bool, int, float)):
        return raw
    if isinstance(raw, str):
        return clip(str(raw))
    if isinstance(raw, list | tuple | set | frozenset):
        items = sorted(raw, key=str) if isinstance(raw, set | frozenset) else raw
        return tuple(clip(str(item)) for item in items)
    return None


def flatten(stage: str, metrics: Any) -> dict[str, AttributeValue]:
    """Return the fields of a LiveKit metrics object as attributes; nested models become dotted paths.

    Zero or False is omitted if it is the default in LiveKit's class, and so are fields that the span has under another
    name: ``label`` (its provider and model) and ``speech_id``. Numbers that a newer LiveKit adds keep their own names;
    strings that ``privacy.METRICS`` does not list are content and are omitted.
    """
    out: dict[str, AttributeValue] = {}
    given = {name: raw for name, raw in vars(metrics).items() if name not in _SAID_ELSEWHERE}
    _walk(stage, "", given, METRICS, out, _defaults(type(metrics)))
    return out


def _defaults(cls: type) -> frozenset[str]:
    """Return the fields of a metrics class whose default is 0 or False."""
    found = _zeros.get(cls)
    if found is None:
        fields: Mapping[str, Any] = getattr(cls, "model_fields", {})
        zeros = (name for name, one in fields.items() if type(one.default) in _PLAIN and not one.default)
        found = _zeros[cls] = frozenset(zeros)
    return found


def _walk(
    stage: str,
    prefix: str,
    fields: Mapping[str, Any],
    rules: Mapping[str, Rule],
    out: dict[str, AttributeValue],
    defaults: frozenset[str] = frozenset(),
) -> None:
    for name, raw in fields.items():
        if type(raw) in _PLAIN:
            if not raw and name in defaults:
                continue
            out[attr.metric(stage, prefix + name)] = raw
            continue
        if raw is None or (name == "type" and not prefix):
            continue
        rule = rules.get(name)
        nested = rule.fields if isinstance(rule, Shape) else {}
        if hasattr(raw, "model_dump"):
            _walk(stage, f"{prefix}{name}.", vars(raw), nested, out, _defaults(type(raw)))
        elif isinstance(raw, Mapping):
            # its keys may be arbitrary
            listed = {key: one for key, one in raw.items() if key in nested}
            _walk(stage, f"{prefix}{name}.", listed, nested, out)
        elif rule in (IDENTIFIER, MEASURE) and (converted := value(raw)) is not None:
            out[attr.metric(stage, prefix + name)] = converted


def model_attributes(metrics: Any, *, generates: bool = False) -> dict[str, AttributeValue]:
    """Return GenAI model and provider from ``metrics.metadata``; if it ``generates``, also as the response model."""
    metadata = getattr(metrics, "metadata", None)
    if metadata is None:
        return {}
    out = named_model(metadata.model_provider, metadata.model_name)
    if generates and attr.REQUEST_MODEL in out:
        out[attr.RESPONSE_MODEL] = out[attr.REQUEST_MODEL]
    return out


def named_model(provider: str | None, model: str | None) -> dict[str, AttributeValue]:
    """Return GenAI attributes of a model, without unknown ones."""
    out: dict[str, AttributeValue] = {}
    if provider and provider != "unknown":
        out[attr.PROVIDER_NAME] = clip(provider)
    if model and model != "unknown":
        out[attr.REQUEST_MODEL] = clip(model)
    return out
