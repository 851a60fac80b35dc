"""One span of the pipeline layer: opened once, ended once, whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from ..containment import contained
from ..journal import Attributes
from ..provider import proxies
from ..provider.limits import NO_LIMITS, Limits
from .budget import Budget
from .failures import failure_attributes
from .values import clip

__all__ = ["PipelineSpan", "SpanFactory", "SpanOwner"]

OPERATIONS = {
    attr.KIND_SESSION: "invoke_workflow",
    attr.KIND_TURN: "invoke_agent",
    attr.KIND_STT: "speech_to_text",
    attr.KIND_LLM: "chat",
    attr.KIND_REALTIME: "generate_content",
    attr.KIND_TOOL: "execute_tool",
    attr.KIND_TTS: "text_to_speech",
}
_CHAINS = frozenset(
    {attr.KIND_SESSION, attr.KIND_VAD, attr.KIND_EOU, attr.KIND_NODE, attr.KIND_PLAYBACK, attr.KIND_INTERRUPTION}
)
#: Spans that carry journal data when they end, which saves half of the checkpoints. Those that people filter out, to
#: see less and to pay less (VAD, playback, interruptions), do not.
_CARRIERS = frozenset(
    {attr.KIND_TURN, attr.KIND_STT, attr.KIND_EOU, attr.KIND_LLM, attr.KIND_REALTIME, attr.KIND_TTS, attr.KIND_TOOL}
)


class SpanOwner(Protocol):
    """What a stage belongs to: a turn, or the session."""

    @property
    def context(self) -> otel_context.Context:
        """The context that holds the owner's span."""

    @property
    def span(self) -> PipelineSpan:
        """The owner's span."""

    @property
    def whose(self) -> Attributes:
        """What its stages say of it: the turn's index and the agent of the turn; nothing outside of turns."""

    def stage_ended(self, span: PipelineSpan) -> None:
        """A stage of it has ended."""


class PipelineSpan:
    """A span of the pipeline layer with the times that it will be given, in unix nanoseconds."""

    __slots__ = (
        "_budget", "_context", "_journal", "_known", "end_ns", "ended", "kind", "otel", "outcome", "owner", "start_ns",
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
        """``known``: what has to survive of its attributes where the budget is tight."""
        self._budget, self._known = budget or Budget({}), known
        self.kind = kind
        self.owner = owner
        self._journal = journal
        self.otel = otel
        self.start_ns = start_ns
        self.end_ns: int | None = None
        self.outcome = attr.OUTCOME_COMPLETED
        self.ended = False
        self._context: otel_context.Context | None = None

    @property
    def context(self) -> otel_context.Context:
        """For spans below this one. Made when it is first asked for: most stages have none."""
        if self._context is None:
            self._context = trace.set_span_in_context(self.otel, otel_context.Context())
        return self._context

    def set(self, attributes: Mapping[str, AttributeValue]) -> None:
        self.otel.set_attributes(attributes)
        self._budget.keep(self.otel, self._known, attributes)

    def kept(self, last: Mapping[str, AttributeValue]) -> None:
        """Its identity, and ``last``, are there, also where processors set more than there is room for."""
        self._budget.keep(self.otel, self._known, last)

    def fail(self, error: BaseException | None, *, message: str = "", error_type: str | None = None) -> None:
        """Status ERROR; ``message`` may quote people, so it is content and never the status description."""
        self.outcome = attr.OUTCOME_ERROR
        self.otel.set_status(trace.StatusCode.ERROR)
        name = error_type or (type(error).__qualname__ if error is not None else "_OTHER")
        self.otel.set_attributes({attr.ERROR_TYPE: name, **failure_attributes(error)})
        if message:
            self.otel.set_attribute(attr.ERROR_MESSAGE, clip(message))

    def move_to(self, owner: SpanOwner) -> None:
        """Put the open span below another owner: some stages run before anyone knows whose they are."""
        if self.ended or self.owner is owner:
            return
        self.owner = owner
        span = proxies.innermost_span(self.otel)
        if hasattr(span, "_parent"):
            span._parent = owner.span.otel.get_span_context()

    def make_root(self) -> None:
        """Take the parent away, not the trace: the parent is on a provider that this span is not sent to."""
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
        """End the span, with last attributes; a second call does nothing. The end is never before the start.

        ``ending`` may add attributes to those, while the span is still live.
        """
        if self.ended:
            return
        self.ended = True
        if outcome is not None and self.outcome != attr.OUTCOME_ERROR:
            self.outcome = outcome
        self.end_ns = max(end_ns, self.start_ns)
        last = {**self.owner.whose, **(attributes or {})} if self.owner is not None else dict(attributes or {})
        if self.outcome != attr.OUTCOME_COMPLETED:
            last[attr.OUTCOME] = self.outcome
        if ending is not None and self.otel.is_recording():
            self.otel.set_attributes(last)
            with contained("span.ending"):
                ending(self)
        if self._journal is not None and self.otel.is_recording():
            with contained("journal.carry"):
                last.update(self._journal(self._budget.pieces_beside(self.otel, last)))
        self.set(last)
        if self.owner is not None:
            self.owner.stage_ended(self)
        self.otel.end(end_time=self.end_ns)


class SpanFactory:
    """Makes the spans of one session: every one carries the identity attributes, and is counted."""

    def __init__(
        self, tracer: trace.Tracer, identity: Mapping[str, AttributeValue], limits: Limits = NO_LIMITS
    ) -> None:
        self._tracer = tracer
        self._identity = dict(identity)
        self.budget = Budget(identity, limits)
        self._common: dict[str, Attributes] = {}
        #: when the session began: a plugin's durations may reach back further
        self._begun_ns = 0
        #: gives what is pending of the session's journal, for a span that ends and can carry so many pieces
        self.journal: Callable[[int], Attributes] | None = None
        self.count = 0

    def start(
        self,
        kind: str,
        owner: SpanOwner,
        start_ns: int,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> PipelineSpan:
        """Start a span of ``kind`` below ``owner``'s, at ``start_ns``: in the past maybe, but in the session."""
        return self._start(kind, owner.context, owner, max(start_ns, self._begun_ns), attributes)

    def root(
        self,
        kind: str,
        parent: otel_context.Context,
        start_ns: int,
        attributes: Mapping[str, AttributeValue] | None = None,
        links: Sequence[trace.Link] = (),
    ) -> PipelineSpan:
        """Start the session's own span, below whatever span ``parent`` holds."""
        self._begun_ns = start_ns
        return self._start(kind, parent, None, start_ns, attributes, links)

    def point(
        self,
        kind: str,
        owner: SpanOwner,
        at_ns: int,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> None:
        """A span of zero length, ended at once."""
        span = self.start(kind, owner, at_ns, attributes)
        span.kept(attributes or {})
        span.otel.end(end_time=at_ns)

    def pieces(self, kind: str, others: int = 0) -> int:
        """How many journal pieces a span of ``kind`` can carry beside ``others`` attributes of its own."""
        return self.budget.pieces(len(self._common.get(kind) or self._common_to(kind)) + others)

    def _start(
        self,
        kind: str,
        parent: otel_context.Context,
        owner: SpanOwner | None,
        start_ns: int,
        attributes: Mapping[str, AttributeValue] | None,
        links: Sequence[trace.Link] = (),
    ) -> PipelineSpan:
        common = self._common.get(kind) or self._common_to(kind)
        all_attributes = {**common, **attributes} if attributes else common
        otel = self._tracer.start_span(
            kind, context=parent, attributes=all_attributes, start_time=start_ns, links=links
        )
        self.count += 1
        journal = self.journal if kind in _CARRIERS else None
        return PipelineSpan(kind, otel, start_ns, owner, journal, self.budget, self.budget.known(all_attributes))

    def withhold_content(self, session: PipelineSpan) -> None:
        """No content on spans from here on; what the open session span had from the user is emptied."""
        for name in [name for name in self._identity if attr.is_content(name)]:
            del self._identity[name]
            session.set({name: ""})
        self._common.clear()

    def _common_to(self, kind: str) -> Attributes:
        """What every span of a kind has."""
        common: Attributes = {attr.KIND: kind, attr.SCHEMA: attr.SCHEMA_VERSION}
        common.update(self.budget.identity(kind, self._identity))
        if operation := OPERATIONS.get(kind):
            common[attr.OPERATION_NAME] = operation
        if kind in _CHAINS:
            common[attr.OPENINFERENCE_KIND] = "CHAIN"
        self._common[kind] = common
        return common
