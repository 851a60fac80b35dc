"""Containment: a fault of ours is logged once per kind, counted and swallowed; the call goes on."""

from __future__ import annotations

import functools
import logging
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

__all__ = ["contain", "contained", "faults", "report", "where"]

logger = logging.getLogger("livekit_otel")

P = ParamSpec("P")
R = TypeVar("R")

_lock = threading.Lock()
_faults: Counter[str] = Counter()


def faults() -> dict[str, int]:
    """How often each kind of fault was contained in this process."""
    with _lock:
        return dict(_faults)


def where(error: BaseException) -> str:
    """Where an exception was raised, and its type. Not its message: it may quote what people said (a key that is
    missing, a value that does not parse), and a log is no place for that.
    """
    return "".join(traceback.format_tb(error.__traceback__)) + type(error).__qualname__


def report(kind: str, error: BaseException) -> None:
    """Count a fault of ours; log where it happened the first time its kind appears."""
    with _lock:
        _faults[kind] += 1
        first = _faults[kind] == 1
    if first:
        logger.error(
            "livekit_otel: %s failed and was contained; the call is not affected, this kind is logged once\n%s",
            kind,
            where(error),
        )


class _Contained:
    """A class because a generator's context manager costs three times as much, and a turn passes some fifty of them."""

    __slots__ = ("_kind",)

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        report(self._kind, error)
        return True


@functools.lru_cache(maxsize=256)
def contained(kind: str) -> _Contained:
    """Run a block of ours; an exception in it never reaches the agent. One object serves all blocks of its kind."""
    return _Contained(kind)


def contain(kind: str) -> Callable[[Callable[P, R]], Callable[P, R | None]]:
    """Decorator form of :func:`contained`: the function returns None when it fails."""

    def decorate(function: Callable[P, R]) -> Callable[P, R | None]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R | None:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                report(kind, error)
                return None

        return call

    return decorate
