"""Flags of turns and sessions: which turns to look at, and why. Flags never change the numbers they are based on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from .. import attributes as attr
from ..thresholds import DEFAULTS, Thresholds
from .model import Flag, TurnDerivation

__all__ = ["FlagTally", "flags_of", "largest"]

_SECONDS, _FAILURES, _INTERRUPTIONS = "s", "{failure}", "{interruption}"
#: seconds after the commit within which a user who continues to speak counts as cut off (see ``cutoff``)
_CUTOFF = 1.0


def flags_of(turn: TurnDerivation, thresholds: Thresholds = DEFAULTS) -> tuple[Flag, ...]:
    """The flags of a turn, by name.

    Args:
        turn: its numbers.
        thresholds: seconds by name, all of ``thresholds.DEFAULTS``.
    """
    return tuple(sorted(_flags(turn, thresholds), key=lambda one: one.name))


def _flags(turn: TurnDerivation, thresholds: Thresholds) -> Iterator[Flag]:
    stopped, latency = turn.latency.stopped_speaking_at, turn.latency
    if latency.e2e_latency is not None and latency.e2e_latency >= thresholds[attr.FLAG_SLOW]:
        limit = thresholds[attr.FLAG_SLOW]
        yield _flag(turn, attr.FLAG_SLOW, latency.e2e_latency, limit, stage=largest(turn.silence), at=stopped)
    if latency.dead_air is not None and latency.dead_air >= thresholds[attr.FLAG_DEAD_AIR]:
        longest = max(turn.gaps, key=lambda one: round(one.seconds, 3), default=None)
        at = stopped if longest is None else longest.start_ns / 1e9
        limit, stage = thresholds[attr.FLAG_DEAD_AIR], largest(turn.gap_stages)
        yield _flag(turn, attr.FLAG_DEAD_AIR, latency.dead_air, limit, stage=stage, at=at)
    if turn.answered == "no":
        waited = largest(turn.gap_stages) or largest(turn.silence)
        yield _flag(turn, attr.FLAG_NEVER_ANSWERED, latency.wait, stage=waited, at=stopped)
    if turn.end_reason == attr.END_FAILED:
        happened = turn.incidents.get(attr.FLAG_FAILED)
        failures = 1.0 if happened is None or happened.value is None else happened.value
        stage = None if happened is None else happened.stage
        at = None if happened is None else happened.at
        yield _flag(turn, attr.FLAG_FAILED, failures, unit=_FAILURES, stage=stage, at=at)
    if turn.false_cutoff:
        happened = turn.incidents.get(attr.FLAG_FALSE_CUTOFF)
        passed, at = (None, None) if happened is None else (happened.value, happened.at)
        yield _flag(turn, attr.FLAG_FALSE_CUTOFF, passed, _CUTOFF, stage=attr.SILENCE_EOU, at=at)
    if turn.interruptions:
        happened = turn.incidents.get(attr.FLAG_INTERRUPTED)
        at, count = None if happened is None else happened.at, float(turn.interruptions)
        yield _flag(turn, attr.FLAG_INTERRUPTED, count, unit=_INTERRUPTIONS, at=at)


def _flag(
    turn: TurnDerivation,
    name: str,
    value: float | None,
    threshold: float | None = None,
    *,
    unit: str = _SECONDS,
    stage: str | None = None,
    at: float | None,
) -> Flag:
    return Flag(name=name, value=value, threshold=threshold, unit=unit, turn=turn.index, stage=stage, at=at)


def largest(stages: Mapping[str, float]) -> str | None:
    """The stage that took most of a wait, to the millisecond; of equals the first. Backends round times."""
    stage = max(stages, key=lambda one: round(stages[one], 3), default=None)
    return stage if stage is not None and stages[stage] > 0 else None


def _grave(flag: Flag) -> tuple[float, int]:
    """Sort key: larger is worse, but for a cutoff an earlier continuation is. Among equals, the first turn wins."""
    value = -1.0 if flag.value is None else flag.value
    return (-value if flag.name == attr.FLAG_FALSE_CUTOFF else value), -flag.turn


class FlagTally:
    """The flags of a session's turns: the worst of each name, and the number of turns with it. Turns in any order."""

    __slots__ = ("counts", "worst")

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.worst: dict[str, Flag] = {}

    def add(self, flags: Iterable[Flag]) -> None:
        """Add the flags of a turn."""
        for flag in flags:
            self.counts[flag.name] = self.counts.get(flag.name, 0) + 1
            known = self.worst.get(flag.name)
            if known is None or _grave(flag) > _grave(known):
                self.worst[flag.name] = flag

    def copy(self) -> FlagTally:
        other = FlagTally()
        other.counts, other.worst = dict(self.counts), dict(self.worst)
        return other

    def flags(self) -> tuple[Flag, ...]:
        """The worst flag of each name, by name."""
        return tuple(self.worst[name] for name in sorted(self.worst))

    def sums(self) -> dict[str, int]:
        """The number of turns with each flag, by name."""
        return dict(sorted(self.counts.items()))
