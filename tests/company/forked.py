"""Runs functions in forked processes: what other tracing packages patch and set globally ends with the case.

The parent has imported LiveKit and the test kit once, so a case costs its own packages only. LiveKit's native library
starts its threads when the first room is made, which happens in the child.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import sys
import traceback
from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
#: seconds after which a case is ended
PATIENCE = 120.0
#: cases that run at the same time
AT_ONCE = 2


class Child:
    """A forked process that works out ``function()``."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._reading, writing = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._reading)
            _work(function, writing)
        os.close(writing)

    def result(self) -> Any:
        """What the function returned, pickled; raises AssertionError with the child's traceback where it raised."""
        ready, _, _ = select.select([self._reading], [], [], PATIENCE)
        if not ready:
            os.kill(self._pid, signal.SIGKILL)
        with os.fdopen(self._reading, "rb") as pipe:
            data = pipe.read()
        _, status = os.waitpid(self._pid, 0)
        assert data, f"the case's process ended without a result (status {status}; it has {PATIENCE:g} s)"
        failed, result = pickle.loads(data)
        assert not failed, f"in the case's process:\n{result}"
        return result


def forked(function: Callable[[], T]) -> T:
    """What ``function()`` returns in a process of its own."""
    return Child(function).result()  # type: ignore[no-any-return]


class Cases:
    """Results of cases by key: one process serves all tests of a case, and the next case runs meanwhile."""

    def __init__(self, run: Callable[..., Any], keys: Iterable[tuple[Hashable, ...]]) -> None:
        self._run = run
        self._waiting = dict.fromkeys(keys)
        self._running: dict[tuple[Hashable, ...], Child] = {}
        self._done: dict[tuple[Hashable, ...], Any] = {}

    def result(self, *key: Hashable) -> Any:
        """The result of this case; the failure of a case is the failure of each of its tests."""
        if key not in self._done:
            self._start(key)
            while self._waiting and len(self._running) < AT_ONCE:
                self._start(next(iter(self._waiting)))
            try:
                self._done[key] = self._running.pop(key).result()
            except AssertionError as error:
                self._done[key] = error
        if isinstance(self._done[key], AssertionError):
            raise AssertionError(str(self._done[key]))
        return self._done[key]

    def _start(self, key: tuple[Hashable, ...]) -> None:
        if key not in self._running:
            self._waiting.pop(key, None)
            self._running[key] = Child(lambda: self._run(*key))


def _work(function: Callable[[], Any], writing: int) -> None:
    try:
        data = pickle.dumps((False, function()))
    except BaseException:
        data = pickle.dumps((True, traceback.format_exc()))
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(data)
    sys.stdout.flush()
    sys.stderr.flush()
    # exit handlers are those of the parent, too
    os._exit(0)
