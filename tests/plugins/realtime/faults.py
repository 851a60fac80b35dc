"""What goes wrong on a server, by name: one row a fault, read by both servers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """``after`` tenths of a second of audio have been sent (0: none) the response ends with ``status``, or the socket
    with the close code ``close``. ``code`` and ``kind`` are the provider's; ``silent``: nothing says so."""

    after: int = 0
    status: str = ""
    kind: str = "invalid_request_error"
    code: str = ""
    reason: str = ""
    close: int = 0
    go_away: bool = False


FAULTS: dict[str, Fault] = {
    # the response is refused before a word, after some, and for good
    "rate limit": Fault(status="failed", code="inference_rate_limit_exceeded"),
    "rate limit in mid-answer": Fault(after=3, status="failed", code="inference_rate_limit_exceeded"),
    "quota": Fault(status="failed", kind="insufficient_quota", code="insufficient_quota"),
    # the answer is as long as it may be, which is no failure
    "token limit": Fault(after=3, status="incomplete", reason="max_output_tokens"),
    # the connection goes
    "dropped socket": Fault(close=1011),
    "dropped socket in mid-answer": Fault(after=6, close=1011),
    "go away in mid-answer": Fault(after=6, go_away=True),
    # nothing is created: the request itself is refused
    "rejected": Fault(code="conversation_already_has_active_response"),
}
