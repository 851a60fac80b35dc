"""A virtual clock: an event loop that jumps to its next timer, and time functions that follow it.

``install()`` must run before livekit and OpenTelemetry are imported: pydantic's ``default_factory=time.time`` and
``from time import time_ns`` keep the function that they find. Outside of :func:`run` the functions tell the real
time.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: unix time at which every virtual run begins
EPOCH = 1_700_000_000.0
_MONOTONIC = 1_000.0
_real: dict[str, Callable[[], Any]] = {}
#: nanoseconds since the run began: whole ones, so that it does not matter in how many jumps a moment is reached
_now: int | None = None
#: how far the wall clock has been moved since
_moved = 0


def install() -> None:
    """Replace the functions of ``time``; a second call does nothing."""
    if _real:
        return
    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"):
        _real[name] = getattr(time, name)
        setattr(time, name, _trampoline(name))


def _trampoline(name: str) -> Callable[[], Any]:
    real = _real[name]
    nanoseconds = name.endswith("_ns")
    base = EPOCH if name.startswith("time") else _MONOTONIC

    def now() -> Any:
        if _now is None:
            return real()
        at = _now + _moved if base == EPOCH else _now
        return round(base) * 1_000_000_000 + at if nanoseconds else base + at / 1e9

    now.__name__ = name
    return now


def elapsed() -> float:
    """Virtual seconds since the run began."""
    assert _now is not None, "no virtual run"
    return _now / 1e9


def set_wall_clock(seconds: float) -> None:
    """Move the wall clock by so much, as an administrator or NTP does; a run begins with a right one."""
    global _moved
    _moved += round(seconds * 1e9)


def busy(seconds: float) -> None:
    """Let time pass while nothing else on the loop runs."""
    global _now
    assert _now is not None, "no virtual run"
    _now += round(seconds * 1e9)


def real_perf_counter() -> float:
    """The real clock, also inside a virtual run."""
    return float(_real["perf_counter"]()) if _real else time.perf_counter()


class _Jump(selectors.SelectSelector):
    """Never sleeps: when nothing is ready, time moves to the next timer, unless a thread still works."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        global _now
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None or self.loop.threads_at_work:
            return super().select(0.005)
        assert _now is not None
        _now += max(1, round(timeout * 1e9))
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on the virtual clock."""

    def __init__(self) -> None:
        selector = _Jump()
        super().__init__(selector)
        selector.loop = self
        self._in_threads = 0

    def time(self) -> float:
        return elapsed() + _MONOTONIC

    @property
    def threads_at_work(self) -> bool:
        return self._in_threads > 0

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        future = super().run_in_executor(executor, func, *args)
        self._in_threads += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: Any) -> None:
        self._in_threads -= 1


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a fresh virtual loop that starts at :data:`EPOCH`."""
    global _now, _moved
    assert _real, "clock.install() has not run"
    assert _now is None, "virtual runs do not nest"
    _now = _moved = 0
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(coroutine)
    finally:
        try:
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            if tasks:
                loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()
            _now = None
