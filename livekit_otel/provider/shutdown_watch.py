"""Watches the user's provider for a shutdown while sessions run: after it, nothing of these sessions is exported.

Processors may not report this themselves (the SDK's simple processor drops spans without a count).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeAlias

from opentelemetry import trace

from ..containment import contain
from . import export_watch, proxies

__all__ = ["watch"]

logger = logging.getLogger("livekit_otel")

Running: TypeAlias = Callable[[trace.TracerProvider], int]


class _Shutdown(export_watch.Watch):
    """``provider.shutdown()``."""

    name = "shutdown"

    def __init__(self, provider: Any, running: Running) -> None:
        self._running = running
        self._said = False
        super().__init__(provider)

    @property
    def waiting(self) -> int:
        return 0

    def around(self, original: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        try:
            return original(*args, **kwargs)
        finally:
            self.shut_down = True
            self.look()

    @contain("shutdown.look")
    def look(self) -> None:
        """Log once if the provider is shut down while sessions are traced to it."""
        if self._said or not self.shut_down or not (running := self._running(self.target)):
            return
        self._said = True
        parts = {
            id(getattr(one, name, None))
            for one in proxies.processors(self.target)
            for name in ("span_exporter", "_batch_processor")
        }
        for watch in export_watch.watches():
            watch.shut_down = watch.shut_down or id(watch.target) in parts
        logger.warning(
            "livekit_otel: the tracer provider was shut down while sessions were running (%d): their calls are not "
            "affected, but their traces end here. Shut it down after the sessions have closed",
            running,
        )


@contain("shutdown.watch")
def watch(provider: trace.TracerProvider, running: Running) -> None:
    """Watch a provider, once; if it was shut down before a session of it started, log that now.

    ``running``: returns the number of sessions that are traced to a provider.
    """
    core = proxies.core(provider)
    for one in export_watch.watches():
        if isinstance(one, _Shutdown) and one.target is core:
            one.look()
            return
    if callable(getattr(core, "shutdown", None)):
        export_watch.put(lambda: _Shutdown(core, running))
