"""Attribute values as the type they were written with: some stores keep text only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import msgspec

__all__ = ["clock", "flag", "number", "texts", "whole"]


def whole(attributes: Mapping[str, Any], name: str) -> int | None:
    """An integer, or None when it is absent or something else."""
    try:
        return int(attributes[name])
    except (KeyError, TypeError, ValueError):
        return None


def number(attributes: Mapping[str, Any], name: str) -> float | None:
    """A float, or None when it is absent or something else."""
    try:
        return float(attributes[name])
    except (KeyError, TypeError, ValueError):
        return None


def flag(attributes: Mapping[str, Any], name: str) -> bool:
    """A boolean; absent is false."""
    value = attributes.get(name, False)
    return value.strip().lower() in ("true", "1") if isinstance(value, str) else bool(value)


def texts(attributes: Mapping[str, Any], name: str) -> list[str]:
    """A list of strings, also from its JSON text."""
    value = attributes.get(name)
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            return [value]
    return [str(one) for one in value] if isinstance(value, list | tuple) else []


def clock(seconds: float | None) -> str:
    """A unix time for people, in UTC."""
    if seconds is None:
        return "unknown"
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return "unknown"
