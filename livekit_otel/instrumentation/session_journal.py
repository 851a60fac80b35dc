"""Carries a session's journal out: on spans that end anyway, else on checkpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import attributes as attr
from ..containment import contain, contained
from ..journal import Attributes, JournalWriter, Recorder
from .scope import SessionScope

if TYPE_CHECKING:
    from livekit.agents.llm import ChatContext

__all__ = ["SessionJournal"]

#: how long an event may wait for a span that carries it; a killed process loses no more
CHECKPOINT_SECONDS = 0.3


class SessionJournal:
    """The journal of one session, and the timer that keeps it from waiting too long."""

    def __init__(self, scope: SessionScope, *, is_tool: Callable[[str], bool]) -> None:
        self._scope = scope
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        value_length = scope.spans.budget.value_length
        self.writer = JournalWriter(
            content=scope.content, is_tool=is_tool, redaction=scope.redaction, value_length=value_length
        )
        self.recorder = Recorder(self.writer)
        scope.spans.journal = self.take

    def event(self, event: Any, history: ChatContext) -> None:
        """Record an emitted event, and what it brought into the history."""
        with contained("journal.event"):
            self.recorder.event(event, history)

    def keep_up(self, *, at_once: bool) -> None:
        """Let what was recorded go out: now if that is asked for or there is much of it, else soon."""
        if not self._scope.spans.settled:
            return  # what is recorded goes out when it is known whose it is
        if self.writer.full or at_once:
            self.checkpoint()
        elif self._timer is None and self.writer.pending:
            self._timer = self._loop.call_later(CHECKPOINT_SECONDS, self._on_timer)

    def take(self, pieces: int = attr.MAX_JOURNAL_PIECES) -> Attributes:
        """The pending journal for the span at hand; what is more than ``pieces`` goes out on checkpoints at once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        first, *rest = self.writer.take(pieces, self._pieces()) or [{}]
        point = partial(self._scope.spans.point, attr.KIND_SESSION_CHECKPOINT, self._scope)
        for attributes in rest:
            point(self._scope.now_ns(), attributes)
        return first

    def _pieces(self) -> int:
        """How many a checkpoint carries."""
        return max(1, self._scope.spans.pieces(attr.KIND_SESSION_CHECKPOINT))

    @contain("journal.checkpoint")
    def checkpoint(self) -> None:
        if self.writer.pending:
            attributes = self.take(self._pieces())
            self._scope.spans.point(attr.KIND_SESSION_CHECKPOINT, self._scope, self._scope.now_ns(), attributes)

    def _on_timer(self) -> None:
        self._timer = None
        self.checkpoint()
