"""When a request is tried again, and after how long."""

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
    """Whether what a status says may be over at the next attempt."""
    return status in _AGAIN or (status >= 500 and status not in _NOT_AGAIN)


@dataclass(frozen=True)
class RetryPolicy:
    """When a request is tried again: after no answer, and after 408, 425, 429 and 5xx except 501 and 505.

    Attributes:
        attempts: how many at most; None for any number.
        timeouts: how many of them may end without an answer in time; None for any number.
        patience: seconds from the first attempt to the last, at most; None for any.
        first_wait, longest_wait: seconds between attempts, which double; a quarter more or less at random.
        longest_asked: a server that asks for more seconds than that in ``Retry-After`` is given up.
        unreachable: whether to try again where nobody listens, or the name is not known.
    """

    attempts: int | None = None
    timeouts: int | None = None
    patience: float | None = None
    first_wait: float = 0.5
    longest_wait: float = 8.0
    longest_asked: float | None = None
    unreachable: bool = False

    def wait(self, attempt: int, asked: float | None) -> float:
        """Seconds after an attempt, counted from 0; ``asked`` is what the server asks for."""
        wait: float = min(self.longest_wait, self.first_wait * 2 ** min(attempt, 16)) * random.uniform(0.75, 1.25)
        return max(wait, asked or 0.0)

    def ends(self, attempt: int, timeouts: int, elapsed: float, wait: float, asked: float | None) -> bool:
        """Whether attempt number ``attempt`` was the last."""
        return (
            (self.attempts is not None and attempt + 1 >= self.attempts)
            or (self.timeouts is not None and timeouts >= self.timeouts)
            or (self.longest_asked is not None and (asked or 0.0) > self.longest_asked)
            or (self.patience is not None and elapsed + wait > self.patience)
        )


#: Of readers. Of requests that get no answer at all each waits for a minute.
READING = RetryPolicy(attempts=6, timeouts=2, longest_asked=120.0)
#: Of what sends spans: an endpoint that is away is waited for, as long as the caller has patience.
SENDING = RetryPolicy(longest_wait=30.0, unreachable=True)


def retry_after(value: str | None) -> float | None:
    """Seconds that a server asks to wait in ``Retry-After``, which holds seconds or a date."""
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
