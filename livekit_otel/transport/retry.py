"""Decides whether and when a request is retried."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from datetime import timezone
from email.utils import parsedate_to_datetime

__all__ = ["READING", "SENDING", "RetryPolicy", "may_pass", "retry_after"]

_AGAIN = frozenset({408, 425, 429})
_NOT_AGAIN = frozenset({501, 505})


def may_pass(status: int) -> bool:
    """Whether the error behind a status may be temporary."""
    return status in _AGAIN or (status >= 500 and status not in _NOT_AGAIN)


@dataclass(frozen=True)
class RetryPolicy:
    """When to retry a request: after no response, and after 408, 425, 429 and 5xx except 501 and 505.

    Attributes:
        attempts: maximum number of attempts; None for no limit.
        timeouts: maximum number of attempts that time out; None for no limit.
        patience: maximum seconds from the first attempt to the last; None for no limit.
        first_wait, longest_wait: seconds between attempts; the wait doubles and varies by 25 % at random.
        longest_asked: do not retry if ``Retry-After`` asks for more seconds than this.
        unreachable: whether to retry if no server listens or the host name is unknown.
    """

    attempts: int | None = None
    timeouts: int | None = None
    patience: float | None = None
    first_wait: float = 0.5
    longest_wait: float = 8.0
    longest_asked: float | None = None
    unreachable: bool = False

    def wait(self, attempt: int, asked: float | None) -> float:
        """Seconds to wait after attempt ``attempt`` (from 0); ``asked`` is the wait that the server asks for."""
        wait: float = min(self.longest_wait, self.first_wait * 2 ** min(attempt, 16)) * random.uniform(0.75, 1.25)
        return max(wait, asked or 0.0)

    def ends(self, attempt: int, timeouts: int, elapsed: float, wait: float, asked: float | None) -> bool:
        """Whether attempt ``attempt`` was the last."""
        return (
            (self.attempts is not None and attempt + 1 >= self.attempts)
            or (self.timeouts is not None and timeouts >= self.timeouts)
            or (self.longest_asked is not None and (asked or 0.0) > self.longest_asked)
            or (self.patience is not None and elapsed + wait > self.patience)
        )


#: For readers. An attempt that gets no response takes up to a minute.
READING = RetryPolicy(attempts=6, timeouts=2, longest_asked=120.0)
#: For sending spans: wait for an unavailable endpoint as long as the caller allows.
SENDING = RetryPolicy(longest_wait=30.0, unreachable=True)


def retry_after(value: str | None) -> float | None:
    """Seconds to wait according to ``Retry-After``, which contains seconds or a date."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except (TypeError, ValueError):
            return None
        date = date if date.tzinfo else date.replace(tzinfo=timezone.utc)
        seconds = date.timestamp() - time.time()
    return max(0.0, seconds) if math.isfinite(seconds) else None
