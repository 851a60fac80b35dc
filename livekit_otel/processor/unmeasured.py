"""Turns that have ended and of which metrics are not recorded yet: what the user does next can still change them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec
from opentelemetry.sdk.trace import ReadableSpan

from .live_turn import LiveTurn

__all__ = ["Ended", "Unmeasured"]


class Ended(msgspec.Struct, frozen=True):
    """A turn, its span, and how many interruptions it had when that ended."""

    turn: LiveTurn
    span: ReadableSpan
    interruptions: int


class Unmeasured:
    """Those of one session, at most ``LIMIT``: of more, the oldest is measured as it is."""

    LIMIT = 64

    def __init__(self) -> None:
        self._held: deque[Ended] = deque()

    def add(self, ended: Ended) -> None:
        self._held.append(ended)

    def take(self, *, others_open: bool, last: bool = False) -> Iterator[Ended]:
        """Those that nothing changes any more, in the order in which they ended.

        Args:
            others_open: other turns of the session are open: the user may speak already.
            last: the session is over, so all of them.
        """
        kept: deque[Ended] = deque()
        excess = len(self._held) - self.LIMIT
        for number, one in enumerate(self._held):
            if last or number < excess or one.turn.is_decided(others_open=others_open):
                yield one
            else:
                kept.append(one)
        self._held = kept
