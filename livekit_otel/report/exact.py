"""Exact percentiles over all turns of a call of any length."""

from __future__ import annotations

from collections.abc import Iterable

from .. import attributes as attr
from ..turns import Percentiles, TurnDerivation

__all__ = ["exact_latency"]

_POINTS = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}
#: seconds; longer times come from damaged spans
_LONGEST = 9.2e9


def exact_latency(turns: Iterable[TurnDerivation]) -> dict[str, Percentiles]:
    """Percentiles by the names of ``MetricsReport``, as observed values (nearest rank). Unused names are absent."""
    all_turns = list(turns)
    found = {}
    for name in attr.SUMMARY_LATENCIES:
        read = (getattr(turn.latency, name) for turn in all_turns)
        values = sorted(value for value in read if value is not None and abs(value) < _LONGEST)
        if values:
            points = {point: values[-(-len(values) * share // 100) - 1] for point, share in _POINTS.items()}
            found[name] = Percentiles(count=len(values), max=values[-1], **points)
    return found
