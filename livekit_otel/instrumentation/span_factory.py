"""Creates the spans of a session, with the attributes common to all spans and to all spans of a kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from ..containment import contained
from ..journal import Attributes
from ..provider.limits import NO_LIMITS, Limits
from .budget import Budget
from .span import PipelineSpan, SpanOwner

__all__ = ["SpanFactory"]

OPERATIONS = {
    attr.KIND_SESSION: "invoke_workflow",
    attr.KIND_TURN: "invoke_agent",
    attr.KIND_STT: "speech_to_text",
    attr.KIND_LLM: "chat",
    attr.KIND_REALTIME: "generate_content",
    attr.KIND_TOOL: "execute_tool",
    attr.KIND_TTS: "text_to_speech",
}
_CHAINS = attr.ROOM_KINDS | {
    attr.KIND_SESSION,
    attr.KIND_VAD,
    attr.KIND_EOU,
    attr.KIND_NODE,
    attr.KIND_PLAYBACK,
    attr.KIND_INTERRUPTION,
}
#: Spans that carry journal data when they end, which saves half of the checkpoints. Kinds that users often filter out
#: to reduce noise and cost (VAD, playback, interruptions) carry none.
_CARRIERS = frozenset(
    {attr.KIND_TURN, attr.KIND_STT, attr.KIND_EOU, attr.KIND_LLM, attr.KIND_REALTIME, attr.KIND_TTS, attr.KIND_TOOL}
)
#: number of spans that may begin before the room is connected
_MAX_EARLY = 100


class SpanFactory:
    """Creates and counts the spans of one session; each carries the identity attributes."""

    def __init__(
        self, tracer: trace.Tracer, identity: Mapping[str, AttributeValue], limits: Limits = NO_LIMITS
    ) -> None:
        self._tracer = tracer
        self._identity = dict(identity)
        self.budget = Budget(identity, limits)
        self._common: dict[str, Attributes] = {}
        #: when the session began; a duration that a plugin reports may reach back further
        self._begun_ns = 0
        #: takes pending journal data for a span that ends; its argument is the number of pieces that fit
        self.journal: Callable[[int], Attributes] | None = None
        self.count = 0
        #: returns the agent of a stage that begins, or None if it is its turn's
        self.agent_of: Callable[[str, Attributes], str | None] = lambda kind, attributes: None
        #: spans that began before the identity was settled; None once it is settled
        self._early: list[PipelineSpan] | None = None
        self._ended_early: list[PipelineSpan] = []

    @property
    def settled(self) -> bool:
        """Whether the identity is known: the user's session attributes may have to wait for the room."""
        return self._early is None

    def unsettled(self) -> None:
        """Mark the identity as pending: :meth:`settle` provides it, and spans that end before then are withheld."""
        self._early = []

    def settle(self, identity: Mapping[str, AttributeValue] | None = None) -> None:
        """Set the session's identity, also on spans that have already begun; None leaves it unchanged."""
        early, self._early = self._early or [], None
        added = {name: one for name, one in (identity or {}).items() if self._identity.get(name) != one}
        if added:
            self._identity.update(added)
            self.budget.of(self._identity)
            self._common.clear()
        for span in early:
            span.withheld = None
            if added:
                span.set(self.budget.identity(span.kind, added))
        ended, self._ended_early = self._ended_early, []
        for span in ended:
            span.otel.end(end_time=span.end_ns)

    def start(
        self,
        kind: str,
        owner: SpanOwner,
        start_ns: int,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> PipelineSpan:
        """Start a span of ``kind`` below ``owner``'s span at ``start_ns``, but not before the session began."""
        return self._start(kind, owner.context, owner, max(start_ns, self._begun_ns), attributes)

    def root(
        self,
        kind: str,
        parent: otel_context.Context,
        start_ns: int,
        attributes: Mapping[str, AttributeValue] | None = None,
        links: Sequence[trace.Link] = (),
    ) -> PipelineSpan:
        """Start the session's own span below the span in ``parent``, if there is one."""
        self._begun_ns = start_ns
        return self._start(kind, parent, None, start_ns, attributes, links)

    def point(
        self,
        kind: str,
        owner: SpanOwner,
        at_ns: int,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> None:
        """Record a span of zero length."""
        span = self.start(kind, owner, at_ns, attributes)
        span.kept(attributes or {})
        span.otel.end(end_time=at_ns)

    def pieces(self, kind: str, others: int = 0) -> int:
        """Return how many journal pieces a span of ``kind`` can carry besides ``others`` attributes of its own."""
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
        span = PipelineSpan(kind, otel, start_ns, owner, journal, self.budget, self.budget.known(all_attributes))
        if owner is not None:
            with contained("span.agent"):
                span.agent = self.agent_of(kind, all_attributes)
        if self._early is not None and len(self._early) < _MAX_EARLY:
            self._early.append(span)
            span.withheld = self._ended_early.append
        return span

    def withhold_content(self, session: PipelineSpan) -> None:
        """Put no content on spans from here on, and empty the user's content attributes on the session span."""
        for name in [name for name in self._identity if attr.is_content(name)]:
            del self._identity[name]
            session.set({name: ""})
        self._common.clear()

    def _common_to(self, kind: str) -> Attributes:
        """Return the attributes that all spans of a kind share."""
        common: Attributes = {attr.KIND: kind, attr.SCHEMA: attr.SCHEMA_VERSION}
        common.update(self.budget.identity(kind, self._identity))
        if operation := OPERATIONS.get(kind):
            common[attr.OPERATION_NAME] = operation
        if kind in _CHAINS:
            common[attr.OPENINFERENCE_KIND] = "CHAIN"
        self._common[kind] = common
        return common
