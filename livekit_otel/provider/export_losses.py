"""Spans that the user's exporters lost in this process: counted by trace and by cause, logged once per minute."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import Any

__all__ = ["Losses", "losses"]

logger = logging.getLogger("livekit_otel")

SAY_INTERVAL = 60.0
_MAX_TRACES = 1_024


class Losses:
    """The spans lost in this process, by trace and by cause."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._lock = threading.Lock()
        self._by_trace: OrderedDict[int, int] = OrderedDict()
        self._unsaid: Counter[str] = Counter()
        self._said_at: float | None = None
        self.total = 0

    def add(self, spans: Iterable[Any], cause: str, *, quiet: bool = False) -> None:
        """Count lost spans. The first loss is logged at once, later losses at most once a minute.

        ``quiet``: only count, because the cause is already logged.
        """
        now = time.monotonic()
        with self._lock:
            for span in spans:
                context = getattr(span, "context", None)
                trace_id = context.trace_id if context is not None else 0
                self._by_trace[trace_id] = self._by_trace.get(trace_id, 0) + 1
                if not quiet:
                    self._unsaid[cause] += 1
                self.total += 1
            while len(self._by_trace) > _MAX_TRACES:
                self._by_trace.popitem(last=False)
            due = self._said_at is None or now - self._said_at >= SAY_INTERVAL
            message = self._message(now) if due else None
        if message:
            logger.warning(message)

    def of_trace(self, trace_id: int) -> int:
        with self._lock:
            return self._by_trace.get(trace_id, 0)

    def unsaid(self) -> str | None:
        """The message about losses that are not logged yet, to be logged now; None if there are none."""
        with self._lock:
            return self._message(time.monotonic())

    def _message(self, now: float) -> str | None:
        if not self._unsaid:
            return None
        causes = ", ".join(f"{count:,} by {cause}" for cause, count in self._unsaid.most_common(5))
        self._unsaid.clear()
        self._said_at = now
        return (
            f"livekit_otel: spans were lost: {causes}; {self.total:,} in this process so far. Calls are not affected, "
            "but their traces are incomplete. `livekit-otel doctor` tests the endpoint, and "
            "livekit_otel.exporters.rotating_files keeps spans on disk for a replay"
        )


losses = Losses()
