"""Contains internal errors: each is logged once per kind, counted and suppressed, and the call continues."""

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
    """Number of contained errors of each kind in this process."""
    with _lock:
        return dict(_faults)


def where(error: BaseException) -> str:
    """The location and type of an exception. Its message is left out, because it may quote what people said (a missing
    key, a value that cannot be parsed) and must not reach a log.
    """
    return "".join(traceback.format_tb(error.__traceback__)) + type(error).__qualname__


def report(kind: str, error: BaseException) -> None:
    """Count an internal error; log its location the first time that its kind occurs."""
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
    """A class, because a generator-based context manager costs three times as much; a turn uses about fifty of them."""

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
    """Run a block of internal code; its exceptions never reach the agent. One object serves all blocks of its kind."""
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
