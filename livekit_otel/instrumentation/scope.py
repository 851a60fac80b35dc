"""State that all trackers of a session share: its spans, its clock, and whether content may be recorded."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context

from ..containment import contain, contained
from ..journal import Attributes
from ..redaction import Redaction, kinds
from . import livekit_realtime
from .clock import SessionClock
from .layers import Layers
from .options import Options
from .span import PipelineSpan
from .span_factory import SpanFactory

if TYPE_CHECKING:
    from livekit.agents import AgentSession

__all__ = ["SessionScope"]


class SessionScope:
    """A session as its trackers see it. Owns the stages that belong to no turn.

    Attributes:
        spans: creates the session's spans.
        span: the session's own span.
        clock: the session's clock.
        layers: determines which layer records where; queried at each stage.
        options: the user's options.
        content: whether content may be recorded.
        redaction: the user's ``redact``, applied to content before it is recorded; None without one, or if content is
            not recorded.
        agent_name: id of the active agent.
        closing: whether the session is being closed: speech cut off from then on does not count as interrupted.
        close_called_ns: when closing began.
    """

    def __init__(
        self,
        session: AgentSession[Any],
        options: Options,
        layers: Layers,
        spans: SpanFactory,
        span: PipelineSpan,
        clock: SessionClock,
        redaction: Redaction | None = None,
        *,
        agent_name: str | None,
        content: bool,
    ) -> None:
        self._session = weakref.ref(session)
        self._loop = asyncio.get_running_loop()
        self.spans = spans
        self.span = span
        self.clock = clock
        self.options = options
        self.content = content
        self.redaction = redaction
        self.agent_name = agent_name
        self.closing = False
        self.close_called_ns: int | None = None
        self.layers = layers

    @property
    def session(self) -> AgentSession[Any] | None:
        """The session, or None if it has been garbage-collected."""
        return self._session()

    @property
    def context(self) -> otel_context.Context:
        return self.span.context

    @property
    def whose(self) -> Attributes:
        """The attributes of a turn on its stages: empty, because these stages belong to no turn."""
        return {}

    @property
    def recording(self) -> bool:
        return self.span.otel.is_recording()

    def stage_ended(self, span: PipelineSpan) -> None:
        """A stage without a turn has ended: there is nothing to update."""

    def now_ns(self) -> int:
        return self.clock.now_ns()

    @property
    def realtime(self) -> bool:
        """Whether the active agent uses a speech-to-speech model."""
        session = self._session()
        return session is not None and livekit_realtime.is_realtime(session)

    def redacted(self, text: str, kind: str, *, whole: bool = True) -> str:
        """Return a text of content as it may be recorded. Truncate it only afterwards. ``whole``: it is complete."""
        if self.redaction is None:
            return text
        return self.redaction.text(text, kind) if whole else self.redaction.cut_off(text, kind)

    def user_said(self, text: str) -> None:
        """Pass the user's words to the redaction, in the order spoken, before they are recorded anywhere."""
        if self.redaction is not None:
            self.redaction.said(text)

    def message_of(self, error: BaseException | None) -> str:
        """Return the error's message as it may be recorded; empty if content is not recorded."""
        if self.content and error is not None:
            with contained("error.message"):
                return self.redacted(str(error), kinds.ERROR)
        return ""

    def soon(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` after the callbacks that LiveKit has already scheduled; never if the loop is closed."""
        if not self._loop.is_closed():
            self._loop.call_soon(contain("scope.soon")(callback))

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Run ``callback`` after ``seconds``; never if the loop is closed."""
        if not self._loop.is_closed():
            self._loop.call_later(seconds, contain("scope.later")(callback))
