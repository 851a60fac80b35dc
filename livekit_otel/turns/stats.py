"""Percentiles in bounded memory whose result does not depend on the order of the values."""

from __future__ import annotations

from array import array
from operator import attrgetter

from .. import attributes as attr
from ..spans import seconds
from ..thresholds import DEFAULTS, Thresholds
from .flags import FlagTally, flags_of
from .model import Percentiles, TurnDerivation

__all__ = ["LONGEST", "LatencyStats", "Quantiles"]

EXACT = 512
_POINTS = (50, 90, 95, 99)
#: number of bits of a value that select its bucket: 1/128 is finer than 1 %
_BITS = 8


#: seconds; longer times come from damaged spans and do not fit a count of nanoseconds
LONGEST = 9.2e9


_latencies = attrgetter(*attr.SUMMARY_LATENCIES)


class Quantiles:
    """Values in nanoseconds. Up to ``EXACT`` values are stored; beyond that, buckets less than 1 % wide count them."""

    __slots__ = ("_buckets", "_exact", "_max", "count")

    def __init__(self) -> None:
        self.count = 0
        self._max = 0
        self._exact: array[int] = array("q")
        self._buckets: dict[int, int] = {}

    def add(self, ns: int) -> None:
        self.count += 1
        if ns > self._max:
            self._max = ns
        if self.count <= EXACT:
            self._exact.append(ns)
            return
        if self._exact:
            for one in self._exact:
                self._bucket(one)
            self._exact = array("q")
        self._bucket(ns)

    def _bucket(self, ns: int) -> None:
        shift = max(0, ns.bit_length() - _BITS)
        key = (ns >> shift) << shift
        self._buckets[key] = self._buckets.get(key, 0) + 1

    def copy(self) -> Quantiles:
        other = Quantiles()
        other.count, other._max = self.count, self._max
        other._exact, other._buckets = self._exact[:], dict(self._buckets)
        return other

    def result(self) -> Percentiles:
        """The percentiles; requires at least one value."""
        values = sorted(self._exact) if self._exact else None
        points = [self._rank(values, -(-self.count * point // 100)) for point in _POINTS]
        p50, p90, p95, p99 = (seconds(min(point, self._max)) for point in points)
        return Percentiles(count=self.count, p50=p50, p90=p90, p95=p95, p99=p99, max=seconds(self._max))

    def _rank(self, values: list[int] | None, rank: int) -> int:
        if values is not None:
            return values[rank - 1]
        seen = 0
        for key in sorted(self._buckets):
            seen += self._buckets[key]
            if seen >= rank:
                return key + (1 << max(0, key.bit_length() - _BITS)) // 2
        return self._max


class LatencyStats:
    """Statistics over the turns of a session: percentiles, silence by stage, counts, flags by ``thresholds``."""

    __slots__ = (
        *("_quantiles", "_thresholds", "false_cutoffs", "flags", "gap_ns", "interrupted", "replaced", "silence_ns"),
        *("spoken", "turns"),
    )

    def __init__(self, thresholds: Thresholds = DEFAULTS) -> None:
        self._thresholds = thresholds
        self.flags = FlagTally()
        self._quantiles: dict[str, Quantiles] = {}
        self.silence_ns: dict[str, int] = {}
        self.gap_ns: dict[str, int] = {}
        self.turns = 0
        self.spoken = 0
        self.interrupted = 0
        self.false_cutoffs = 0
        self.replaced = 0

    def add(self, turn: TurnDerivation) -> None:
        self.turns += 1
        self.false_cutoffs += turn.false_cutoff
        self.replaced += turn.replaced
        self.flags.add(flags_of(turn, self._thresholds))
        if turn.answered_ns is not None:
            self.spoken += 1
            self.interrupted += bool(turn.interruptions)
        for name, value in zip(attr.SUMMARY_LATENCIES, _latencies(turn.latency), strict=True):
            if value is not None and abs(value) < LONGEST:
                quantiles = self._quantiles.get(name)
                if quantiles is None:
                    quantiles = self._quantiles[name] = Quantiles()
                quantiles.add(round(value * 1e9))
        for stage, value in turn.silence.items():
            # most stages took no time; a single entry records that there was a path
            if value or not self.silence_ns:
                self.silence_ns[stage] = self.silence_ns.get(stage, 0) + round(value * 1e9)
        for stage, value in turn.gap_stages.items():
            self.gap_ns[stage] = self.gap_ns.get(stage, 0) + round(value * 1e9)

    def copy(self) -> LatencyStats:
        other = LatencyStats(self._thresholds)
        other.flags = self.flags.copy()
        other._quantiles = {name: one.copy() for name, one in self._quantiles.items()}
        other.silence_ns, other.gap_ns = dict(self.silence_ns), dict(self.gap_ns)
        other.false_cutoffs, other.replaced = self.false_cutoffs, self.replaced
        other.turns, other.spoken, other.interrupted = self.turns, self.spoken, self.interrupted
        return other

    def latency(self) -> dict[str, Percentiles]:
        found = self._quantiles
        return {name: found[name].result() for name in attr.SUMMARY_LATENCIES if name in found}

    def silence(self) -> dict[str, float]:
        """Seconds by stage, all stages present; empty if no turn has a path."""
        if not self.silence_ns:
            return {}
        return {stage: seconds(self.silence_ns.get(stage, 0)) for stage in attr.SILENCE_STAGES}

    def gap_stages(self) -> dict[str, float]:
        """Seconds of dead air by stage, for the stages that were waited for."""
        return {stage: seconds(self.gap_ns[stage]) for stage in attr.SILENCE_STAGES if stage in self.gap_ns}

    @property
    def interruption_rate(self) -> float | None:
        return self.interrupted / self.spoken if self.spoken else None
