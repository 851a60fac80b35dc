"""One span of the pipeline layer: started once and ended exactly once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from ..containment import contained
from ..journal import Attributes
from ..provider import proxies
from .budget import Budget
from .failures import failure_attributes
from .values import clip

__all__ = ["PipelineSpan", "SpanOwner"]

#: kinds of stages in which a provider works
_OF_PROVIDERS = frozenset({attr.KIND_STT, attr.KIND_LLM, attr.KIND_REALTIME, attr.KIND_TTS})


class SpanOwner(Protocol):
    """The owner of a stage: a turn or the session."""

    @property
    def context(self) -> otel_context.Context:
        """The context that holds the owner's span."""

    @property
    def span(self) -> PipelineSpan:
        """The owner's span."""

    @property
    def whose(self) -> Attributes:
        """Attributes of the owner for its stages: the turn's index and agent; empty outside of turns."""

    def stage_ended(self, span: PipelineSpan) -> None:
        """A stage of this owner has ended."""


class PipelineSpan:
    """A span of the pipeline layer, with explicit start and end times in unix nanoseconds."""

    __slots__ = (
        "_budget", "_context", "_journal", "_known", "agent", "end_ns", "ended", "kind", "otel", "outcome", "owner",
        "start_ns", "withheld",
    )  # fmt: skip

    def __init__(
        self,
        kind: str,
        otel: trace.Span,
        start_ns: int,
        owner: SpanOwner | None = None,
        journal: Callable[[int], Attributes] | None = None,
        budget: Budget | None = None,
        known: Attributes | None = None,
    ) -> None:
        """``known``: the attributes that must survive a tight attribute limit."""
        self._budget, self._known = budget or Budget({}), known
        self.kind = kind
        self.owner = owner
        #: the agent that did the work of a stage, if that is known; else it is the turn's
        self.agent: str | None = None
        self._journal = journal
        self.otel = otel
        self.start_ns = start_ns
        self.end_ns: int | None = None
        self.outcome = attr.OUTCOME_COMPLETED
        self.ended = False
        self._context: otel_context.Context | None = None
        #: receives the ended span instead of the SDK until the session's identity is settled
        self.withheld: Callable[[PipelineSpan], None] | None = None

    @property
    def context(self) -> otel_context.Context:
        """The parent context for spans below this one. Created on first use, since most stages have no children."""
        if self._context is None:
            self._context = trace.set_span_in_context(self.otel, otel_context.Context())
        return self._context

    def set(self, attributes: Mapping[str, AttributeValue]) -> None:
        self.otel.set_attributes(attributes)
        self._budget.keep(self.otel, self._known, attributes)

    def kept(self, last: Mapping[str, AttributeValue]) -> None:
        """Restore the identity and ``last`` if other processors' attributes have displaced them."""
        self._budget.keep(self.otel, self._known, last)

    def fail(self, error: BaseException | None, *, message: str = "", error_type: str | None = None) -> None:
        """Set status ERROR. ``message`` may quote people, so it is content and never the status description."""
        self.outcome = attr.OUTCOME_ERROR
        self.otel.set_status(trace.StatusCode.ERROR)
        name = error_type or (type(error).__qualname__ if error is not None else "_OTHER")
        known = failure_attributes(error, of_provider=self.kind in _OF_PROVIDERS)
        self.otel.set_attributes({attr.ERROR_TYPE: name, **known})
        if message:
            self.otel.set_attribute(attr.ERROR_MESSAGE, clip(message))

    def move_to(self, owner: SpanOwner) -> None:
        """Move the open span below another owner: some stages run before their turn is known."""
        if self.ended or self.owner is owner:
            return
        self.owner = owner
        span = proxies.innermost_span(self.otel)
        if hasattr(span, "_parent"):
            span._parent = owner.span.otel.get_span_context()

    def _whose(self) -> Attributes:
        """The turn's index and the agent that did the work; empty outside of turns."""
        whose = self.owner.whose if self.owner is not None else {}
        return {**whose, attr.AGENT_NAME: self.agent} if whose and self.agent is not None else whose

    def make_root(self) -> None:
        """Remove the parent but stay in the trace: the parent belongs to a provider that does not get this span."""
        span = proxies.innermost_span(self.otel)
        if hasattr(span, "_parent"):
            span._parent = None

    def end(
        self,
        end_ns: int,
        outcome: str | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
        ending: Callable[[PipelineSpan], None] | None = None,
    ) -> None:
        """End the span with its last attributes; a second call does nothing. The end is never before the start.

        ``ending`` may set further attributes while the span still records.
        """
        if self.ended:
            return
        self.ended = True
        if outcome is not None and self.outcome != attr.OUTCOME_ERROR:
            self.outcome = outcome
        self.end_ns = max(end_ns, self.start_ns)
        last = {**self._whose(), **(attributes or {})}
        if self.outcome != attr.OUTCOME_COMPLETED:
            last[attr.OUTCOME] = self.outcome
        if ending is not None and self.otel.is_recording():
            self.otel.set_attributes(last)
            with contained("span.ending"):
                ending(self)
            if self._known is None:  # else the last attributes are set again, so that they survive a small limit
                last = {}
        if self._journal is not None and self.otel.is_recording():
            with contained("journal.carry"):
                last.update(self._journal(self._budget.pieces_beside(self.otel, last)))
        self.set(last)
        if self.owner is not None:
            self.owner.stage_ended(self)
        if self.withheld is None:
            self.otel.end(end_time=self.end_ns)
        else:
            self.withheld(self)
