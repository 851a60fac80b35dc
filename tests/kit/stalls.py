"""How long an event loop was kept from its next look at the world, and by what.

Another process that takes the processor away is nobody's fault in this one, and on a busy machine it lasts longer
than anything that is measured here. So a turn of the loop counts with the time that its thread computed; and where
the thread gave up the processor of its own accord (it waited for a lock, a socket, the interpreter) with all of the
time that passed.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from dataclasses import dataclass, field
from typing import Any

from . import clock


@dataclass
class Stalls:
    """``turns``: seconds of each turn of the loop, longest first."""

    turns: list[float] = field(default_factory=list)
    _began: tuple[float, float, int] | None = None

    @property
    def longest(self) -> float:
        return max(self.turns, default=0.0)

    _selector: Any = None

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Measure from now on; call it in the loop. The garbage collector rests: it walks the whole process."""
        self._selector = loop._selector  # type: ignore[attr-defined]
        wait = self._selector.select
        gc.collect()
        gc.disable()

        def select(timeout: float | None = None) -> Any:
            self._ended()
            try:
                return wait(timeout)
            finally:
                self._began = _now()

        self._selector.select = select

    def stop(self) -> None:
        """Measure no more."""
        self._ended()
        self._began = None
        del self._selector.select
        gc.enable()

    def _ended(self) -> None:
        if self._began is None:
            return
        wall, computed, waits = (now - began for now, began in zip(_now(), self._began, strict=True))
        self.turns.append(wall if waits else computed)


def _now() -> tuple[float, float, int]:
    return clock.real_perf_counter(), time.thread_time(), resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
