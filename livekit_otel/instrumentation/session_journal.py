"""Sends a session's journal: on session.start, on other spans as they end, or on checkpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import attributes as attr
from ..containment import contain, contained
from ..journal import SAID_SECONDS, Attributes, JournalWriter, Recorder
from .scope import SessionScope

if TYPE_CHECKING:
    from livekit.agents.llm import ChatContext

__all__ = ["SessionJournal"]


class SessionJournal:
    """The journal of one session, and the timer that limits how long its data waits."""

    def __init__(self, scope: SessionScope, *, is_tool: Callable[[str], bool]) -> None:
        self._scope = scope
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        #: the session's identity is settled, for good
        self._settled = False
        #: when the pending data must be sent, in the loop's time
        self._due: float | None = None
        #: time and attributes of session.start until it is sent
        self._start: tuple[int, Attributes] | None = None
        value_length = scope.spans.budget.value_length
        self.writer = JournalWriter(
            content=scope.content, is_tool=is_tool, redaction=scope.redaction, value_length=value_length
        )
        self.recorder = Recorder(self.writer)
        scope.spans.journal = self.take

    def event(self, event: Any, history: ChatContext) -> None:
        """Record an emitted event and the history items that it added."""
        wait: float | None = SAID_SECONDS
        with contained("journal.event"):
            wait = self.recorder.event(event, history)
        if wait is not None:
            self._wait(wait)

    def starts(self, at_ns: int, attributes: Attributes) -> None:
        """Prepare session.start: it is sent when the session has started, or with the first span or timer."""
        self._start = at_ns, attributes
        self._wait(SAID_SECONDS)

    def started(self) -> None:
        """The session has started."""
        if self._start is not None:
            self.checkpoint()

    def _wait(self, seconds: float) -> None:
        due = self._loop.time() + seconds
        self._due = due if self._due is None else min(self._due, due)

    def keep_up(self, *, at_once: bool) -> None:
        """Send recorded data: now if ``at_once`` or if there is much of it, otherwise when it is due."""
        if not self._settled:
            self._settled = self._scope.spans.settled
            if not self._settled:
                return  # data is sent once the session's identity is settled
        if self.writer.full or at_once:
            self.checkpoint()
        elif self._due is not None and (self._timer is None or self._due < self._timer.when()):
            self.stop()
            self._timer = self._loop.call_at(self._due, self._on_timer)

    def take(self, pieces: int = attr.MAX_JOURNAL_PIECES) -> Attributes:
        """Take the pending journal for the current span; data beyond ``pieces`` is sent on checkpoints at once."""
        if self._start is not None:
            self._send_start()
        return self._take(pieces)

    def _send_start(self) -> None:
        assert self._start is not None
        (at_ns, attributes), self._start = self._start, None
        pieces = self._scope.spans.pieces(attr.KIND_SESSION_START, len(attributes))
        self._scope.spans.point(attr.KIND_SESSION_START, self._scope, at_ns, {**attributes, **self._take(pieces)})

    def stop(self) -> None:
        """Stop the timer: the session is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take(self, pieces: int) -> Attributes:
        # the timer stays: the next event mostly needs one no earlier
        self._due = None
        first, *rest = self.writer.take(pieces, self._pieces()) or [{}]
        point = partial(self._scope.spans.point, attr.KIND_SESSION_CHECKPOINT, self._scope)
        for attributes in rest:
            point(self._scope.now_ns(), attributes)
        return first

    def _pieces(self) -> int:
        """Return how many pieces a checkpoint carries."""
        return max(1, self._scope.spans.pieces(attr.KIND_SESSION_CHECKPOINT))

    @contain("journal.checkpoint")
    def checkpoint(self) -> None:
        """Send the pending data: on session.start if that has not been sent, else on a checkpoint."""
        if self._start is not None:
            self._send_start()
        elif self.writer.pending:
            attributes = self.take(self._pieces())
            self._scope.spans.point(attr.KIND_SESSION_CHECKPOINT, self._scope, self._scope.now_ns(), attributes)

    def _on_timer(self) -> None:
        self._timer = None
        if self._due is not None and self._due > self._loop.time():
            self.keep_up(at_once=False)
        elif self._due is not None:
            self.checkpoint()
