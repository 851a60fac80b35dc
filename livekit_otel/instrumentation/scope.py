"""What every tracker of a session shares: its spans, its clock, and what may be recorded."""

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
    """One session, as its trackers see it. Owns the stages that belong to no turn.

    Attributes:
        spans: makes the session's spans.
        span: the session's own span.
        clock: the session's time.
        layers: which layer records where, asked at each stage.
        options: what the user asked for.
        content: whether content may be recorded.
        redaction: the user's ``redact``, which content is put through first; None where there is none, or no content.
        agent_name: id of the agent in charge.
        closing: the session is being closed: what is cut off now was not interrupted by anybody.
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
        """The session, unless it is gone."""
        return self._session()

    @property
    def context(self) -> otel_context.Context:
        return self.span.context

    @property
    def whose(self) -> Attributes:
        """A stage without a turn says of none."""
        return {}

    @property
    def recording(self) -> bool:
        return self.span.otel.is_recording()

    def stage_ended(self, span: PipelineSpan) -> None:
        """A stage without a turn has ended: nothing waits for it."""

    def now_ns(self) -> int:
        return self.clock.now_ns()

    @property
    def realtime(self) -> bool:
        """Whether the agent in charge uses a speech-to-speech model."""
        session = self._session()
        return session is not None and livekit_realtime.is_realtime(session)

    def redacted(self, text: str, kind: str, *, whole: bool = True) -> str:
        """A text of content as it may be recorded: to be cut only afterwards. ``whole``: it does not break off."""
        if self.redaction is None:
            return text
        return self.redaction.text(text, kind) if whole else self.redaction.cut_off(text, kind)

    def user_said(self, text: str) -> None:
        """Words of the user, before they are recorded anywhere, in the order in which they are said."""
        if self.redaction is not None:
            self.redaction.said(text)

    def message_of(self, error: BaseException | None) -> str:
        """The message of an error as it may be recorded; empty where it may not."""
        if self.content and error is not None:
            with contained("error.message"):
                return self.redacted(str(error), kinds.ERROR)
        return ""

    def soon(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` after what LiveKit has scheduled by now; never where the loop is over, as its process is."""
        if not self._loop.is_closed():
            self._loop.call_soon(contain("scope.soon")(callback))

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Run ``callback`` after so many seconds; never where the loop is over."""
        if not self._loop.is_closed():
            self._loop.call_later(seconds, contain("scope.later")(callback))
