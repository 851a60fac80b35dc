"""SIGTERM to a job's process: what is open ends and is flushed before the process dies of it, as it would have anyway.

LiveKit wants its job processes to ignore SIGTERM, since their worker ends them. Under its forkserver they do not, and
whatever signals a whole group of processes (a container's runtime, a terminal) kills them at once, with all that waits
in a batch processor. Where a process ignores or handles the signal, that is left alone.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable

from ..containment import contain, contained

__all__ = ["before_termination"]

#: how long the event loop may take to come to it, beside the flush
_PATIENCE = 1.0


@contain("termination.register")
def before_termination(timeout: float, finish: Callable[[], None]) -> None:
    """Call ``finish`` before SIGTERM ends this process, in the event loop that runs here; once for each process.

    Only in a child process of multiprocessing whose SIGTERM does what it does by default; nothing happens elsewhere.
    ``timeout``: seconds that ``finish`` takes at most; 0: nothing is done.
    """
    if timeout <= 0 or multiprocessing.parent_process() is None:
        return
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return
    loop = asyncio.get_running_loop()

    def die() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def end() -> None:
        with contained("termination.finish"):
            finish()
        die()

    def on_signal(*_: int | object) -> None:
        # a second signal kills at once
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        late = threading.Timer(timeout + _PATIENCE, die)
        late.daemon = True
        late.start()
        # not here: this code may have interrupted anything, an exporter that holds its lock for example
        loop.call_soon_threadsafe(end)

    signal.signal(signal.SIGTERM, on_signal)
