"""The end of a job: what has ended reaches the exporter before the process is gone.

LiveKit's job processes end with ``os._exit`` (forkserver), where ``atexit`` does not run, and since 1.8.2 LiveKit's
own root span ends after every shutdown callback. ``multiprocessing``'s finalizers do run, after both: there
sessions that never closed get their end, and the provider is flushed, in a thread that is waited for only so long.
Nothing is shut down: the provider is not ours.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from multiprocessing import util
from typing import Any

from opentelemetry.trace import TracerProvider

from .._display import visible
from ..containment import contain
from . import export_watch, proxies
from .export_losses import losses

__all__ = ["flush_at_exit", "flush_now"]

logger = logging.getLogger("livekit_otel")

#: higher than multiprocessing's own finalizers: they tear down what an exporter may still need
_PRIORITY = 100
_registered: proxies.ByIdentity[TracerProvider, util.Finalize] = proxies.ByIdentity()


@contain("shutdown.register")
def flush_at_exit(provider: TracerProvider, timeout: float, before: Callable[[], None]) -> None:
    """Flush this provider when the process ends, waiting at most ``timeout`` seconds; once per process.

    ``before`` is called first, so that what is still open can end.
    """
    provider = proxies.core(provider)
    registered = _registered.get(provider)
    # a child's bootstrap forgets all finalizers, also those of modules that were imported before it
    if timeout <= 0 or not hasattr(provider, "force_flush") or (registered is not None and registered.still_active()):
        return
    finalizer = util.Finalize(
        None, _flush, args=(proxies.reference(provider), timeout, os.getpid(), before), exitpriority=_PRIORITY
    )
    _registered.set(provider, finalizer)


def flush_now() -> None:
    """What happens at the end of the process, now: for one that is about to be killed."""
    for finalizer in _registered.values():
        if finalizer.still_active():
            finalizer()


@contain("shutdown.flush")
def _flush(reference: Callable[[], Any], timeout: float, pid: int, before: Callable[[], None]) -> None:
    provider = reference()
    if provider is None or os.getpid() != pid:
        return
    before()
    # an exporter may hang for longer than its own time-outs add up to: the process does not wait for it
    worker = threading.Thread(
        target=provider.force_flush,
        kwargs={"timeout_millis": int(timeout * 1000)},
        name="livekit_otel-flush",
        daemon=True,
    )
    try:
        worker.start()
    except RuntimeError:
        # an interpreter that ends in the ordinary way makes no threads any more (Python 3.12): the provider's own exit
        # handler has run, or runs next, and has its own bound
        return
    worker.join(timeout)
    if worker.is_alive():
        count = f"{waiting:,} spans" if (waiting := export_watch.waiting()) else "spans"
        _say(f"livekit_otel: {count} were not delivered within {timeout:.1f} s at the end of the process")
    if message := losses.unsaid():
        _say(message)


def _say(message: str) -> None:
    """Log; where the log has closed before us (LiveKit's job processes), on stderr."""
    logger.warning(message)
    handlers: list[logging.Handler] = []
    one: logging.Logger | None = logger
    while one is not None:
        handlers += one.handlers
        one = one.parent if one.propagate else None
    if handlers and all(getattr(handler, "_closed", False) for handler in handlers):
        print(visible(message), file=sys.stderr, flush=True)
