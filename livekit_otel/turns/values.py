"""Attribute values as numbers, whatever a store made of them; seconds become integer nanoseconds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["flag", "nanoseconds", "number", "seconds"]


def number(attributes: Mapping[str, Any], name: str) -> float | None:
    """An int or a float, finite; None when it is absent or something else."""
    value = attributes.get(name)
    if value is None or type(value) is int:
        return value
    if not isinstance(value, int | float):
        try:
            value = float(value)
        except (TypeError, ValueError):
            return None
    return value if math.isfinite(value) else None


def flag(attributes: Mapping[str, Any], name: str) -> bool:
    """A boolean; absent is false."""
    value = attributes.get(name, False)
    return value.strip().lower() in ("true", "1") if isinstance(value, str) else bool(value)


def nanoseconds(attributes: Mapping[str, Any], name: str) -> int | None:
    """An amount of seconds, not negative, in nanoseconds; None when it is absent, or -1 for "none"."""
    value = number(attributes, name)
    return round(value * 1e9) if value is not None and value >= 0 else None


def seconds(ns: int) -> float:
    """Nanoseconds as float seconds: the edge."""
    return ns / 1e9
