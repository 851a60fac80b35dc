"""The session's clock: unix time that is unaffected by changes of the wall clock."""

from __future__ import annotations

import time

__all__ = ["SessionClock", "to_ns"]

#: maximum distance of a metric's timestamp into the future; beyond that it is not unix time
_AHEAD_NS = 1_000_000_000


def to_ns(seconds: float) -> int:
    """Convert a duration or unix time in seconds to nanoseconds."""
    return round(seconds * 1e9)


class SessionClock:
    """Wall time when the session started, plus a monotonic difference. All times are unix nanoseconds."""

    __slots__ = ("_monotonic", "started_ns")

    def __init__(self) -> None:
        self.started_ns = time.time_ns()
        self._monotonic = time.monotonic_ns()

    def now_ns(self) -> int:
        return self.started_ns + time.monotonic_ns() - self._monotonic

    def at_ns(self, seconds: float) -> int:
        """Convert a wall-clock timestamp of LiveKit's (unix seconds) to this clock. Call it soon after that time."""
        return self.now_ns() - (time.time_ns() - to_ns(seconds))

    def inside_ns(self, seconds: float) -> int:
        """Like :meth:`at_ns` for the timestamp of a metric; returns now if it is outside this session.

        Some plugins stamp metrics with a monotonic clock, or not at all.
        """
        at = self.at_ns(seconds)
        now = self.now_ns()
        return min(at, now) if self.started_ns <= at <= now + _AHEAD_NS else now

    @property
    def step_ns(self) -> int:
        """How far the wall clock was shifted since the session started, in nanoseconds; negative if set back."""
        return time.time_ns() - self.now_ns()
