"""Two values of reports: where they differ, by path."""

from __future__ import annotations

from collections.abc import Iterator
from math import isclose
from typing import Any

import msgspec

__all__ = ["MISSING", "Difference", "differences"]

#: sums and clocks of two languages differ in the last digits
_NUMBERS, _MOMENTS = 1e-6, 0.001


class _Missing:
    def __repr__(self) -> str:
        return "(missing)"


#: stands for what one of them does not have
MISSING = _Missing()


class Difference(msgspec.Struct, frozen=True):
    """A field that differs: its path, and both values; ``MISSING`` where one of them has no such thing."""

    path: str
    a: Any
    b: Any


def differences(path: str, a: Any, b: Any, tolerance: float | None = None) -> Iterator[Difference]:
    """The fields in which two values differ.

    Args:
        path: theirs.
        a, b: what JSON can hold.
        tolerance: by how much numbers may differ; else by rounding, and moments (``…_at``) by a millisecond.
    """
    if isinstance(a, dict) and isinstance(b, dict):
        for name in dict.fromkeys((*a, *b)):
            yield from differences(f"{path}.{name}", a.get(name, MISSING), b.get(name, MISSING), tolerance)
    elif isinstance(a, list) and isinstance(b, list):
        for at in range(max(len(a), len(b))):
            one, two = (value[at] if at < len(value) else MISSING for value in (a, b))
            yield from differences(f"{path}[{at}]", one, two, tolerance)
    elif not _equal(a, b, tolerance if tolerance is not None else _MOMENTS if path.endswith("_at") else _NUMBERS):
        yield Difference(path, a, b)


def _equal(a: Any, b: Any, tolerance: float) -> bool:
    if _is_number(a) and _is_number(b):
        return a == b or isclose(a, b, rel_tol=0.0, abs_tol=tolerance) or (a != a and b != b)
    return type(a) is type(b) and bool(a == b)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
