"""Compares two reports as JSON, and lists their differences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["differences"]

#: creation times of the reports: allowed difference in seconds and milliseconds
TOLERANCE = {"timestamp": 1.0, "duration_ms": 1000}


def differences(left: Any, right: Any, path: str = "") -> Iterator[str]:
    """``path: left != right`` for every difference between two JSON values; the order of keys matters."""
    if isinstance(left, dict) and isinstance(right, dict):
        if list(left) != list(right):
            yield f"{path or '.'}: keys {list(left)} != {list(right)}"
            return
        for key in left:
            if not path and key in TOLERANCE and _close(left[key], right[key], TOLERANCE[key]):
                continue
            yield from differences(left[key], right[key], f"{path}.{key}")
    elif isinstance(left, list) and isinstance(right, list):
        if len(left) != len(right):
            yield f"{path}: {len(left)} entries != {len(right)}"
        for number, (one, other) in enumerate(zip(left, right, strict=False)):
            yield from differences(one, other, f"{path}[{number}]")
    elif left != right or type(left) is not type(right):
        yield f"{path}: {left!r} != {right!r}"


def _close(left: Any, right: Any, tolerance: float) -> bool:
    return isinstance(left, int | float) and isinstance(right, int | float) and abs(left - right) <= tolerance
