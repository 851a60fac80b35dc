"""Ended turns whose metrics are not recorded yet, because the user's next action can still change them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec
from opentelemetry.sdk.trace import ReadableSpan

from .live_turn import LiveTurn

__all__ = ["Ended", "Unmeasured"]


class Ended(msgspec.Struct, frozen=True):
    """A turn, its span, and its number of interruptions when the span ended."""

    turn: LiveTurn
    span: ReadableSpan
    interruptions: int


class Unmeasured:
    """The unmeasured turns of one session, at most ``LIMIT``; beyond that, the oldest is measured as it is."""

    LIMIT = 64

    def __init__(self) -> None:
        self._held: deque[Ended] = deque()

    def add(self, ended: Ended) -> None:
        self._held.append(ended)

    def take(self, *, others_open: bool, last: bool = False) -> Iterator[Ended]:
        """Remove and yield the turns that can no longer change, in the order in which they ended.

        Args:
            others_open: whether other turns of the session are open, in which the user may already be speaking.
            last: whether the session is over; then all turns are yielded.
        """
        kept: deque[Ended] = deque()
        excess = len(self._held) - self.LIMIT
        for number, one in enumerate(self._held):
            if last or number < excess or one.turn.is_decided(others_open=others_open):
                yield one
            else:
                kept.append(one)
        self._held = kept
