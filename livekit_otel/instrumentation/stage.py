"""One span of ours: opened once, ended once, whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from . import providers
from .guard import contained
from .journal import Attributes
from .values import clip

OPERATIONS = {
    attr.KIND_SESSION: "invoke_workflow",
    attr.KIND_TURN: "invoke_agent",
    attr.KIND_STT: "speech_to_text",
    attr.KIND_LLM: "chat",
    attr.KIND_REALTIME: "generate_content",
    attr.KIND_TOOL: "execute_tool",
    attr.KIND_TTS: "text_to_speech",
}
_CHAINS = frozenset({attr.KIND_SESSION, attr.KIND_VAD, attr.KIND_EOU, attr.KIND_PLAYBACK, attr.KIND_INTERRUPTION})
#: Spans that take the journal along when they end, which saves half of the checkpoints. Those that people filter out,
#: to see less and to pay less (VAD, playback, interruptions), do not.
_CARRIERS = frozenset(
    {attr.KIND_TURN, attr.KIND_STT, attr.KIND_EOU, attr.KIND_LLM, attr.KIND_REALTIME, attr.KIND_TTS, attr.KIND_TOOL}
)
COMPLETED, CANCELLED, ERROR, DISCARDED, NOT_COMMITTED = (
    "completed",
    "cancelled",
    "error",
    "discarded",
    "not_committed",
)


class Stage:
    """A span of the pipeline layer with the times that it will be given."""

    __slots__ = ("_context", "_journal", "end_ns", "ended", "kind", "outcome", "span", "start_ns")

    def __init__(
        self, kind: str, span: trace.Span, start_ns: int, journal: Callable[[], Attributes] | None = None
    ) -> None:
        self.kind = kind
        self._journal = journal
        self.span = span
        self.start_ns = start_ns
        self.end_ns: int | None = None
        self.outcome = COMPLETED
        self.ended = False
        self._context: otel_context.Context | None = None

    @property
    def context(self) -> otel_context.Context:
        """For spans below this one. Made when it is first asked for: most stages have none."""
        if self._context is None:
            self._context = trace.set_span_in_context(self.span, otel_context.Context())
        return self._context

    def set(self, attributes: Mapping[str, AttributeValue]) -> None:
        self.span.set_attributes(attributes)

    def fail(self, error: BaseException | None, *, content: bool, error_type: str | None = None) -> None:
        """Status ERROR; the message may quote people, so it is content and never the status description."""
        self.outcome = ERROR
        self.span.set_status(trace.StatusCode.ERROR)
        name = error_type or (type(error).__qualname__ if error is not None else "_OTHER")
        self.span.set_attribute(attr.ERROR_TYPE, name)
        if content and error is not None and str(error):
            self.span.set_attribute(attr.ERROR_MESSAGE, clip(str(error)))

    def move_to(self, parent: Stage) -> None:
        """Put the open span below another one: a recognizer runs before anyone knows that there is a turn."""
        span = providers.innermost_span(self.span)
        if hasattr(span, "_parent") and not self.ended:
            span._parent = parent.span.get_span_context()

    def make_root(self) -> None:
        """Take the parent away, not the trace: the parent is on a provider that this span is not sent to."""
        span = providers.innermost_span(self.span)
        if hasattr(span, "_parent"):
            span._parent = None

    def end(
        self, end_ns: int, outcome: str | None = None, attributes: Mapping[str, AttributeValue] | None = None
    ) -> None:
        """End the span, with last attributes; a second call does nothing. The end is never before the start."""
        if self.ended:
            return
        self.ended = True
        if outcome is not None and self.outcome != ERROR:
            self.outcome = outcome
        self.end_ns = max(end_ns, self.start_ns)
        last = {**(attributes or {}), attr.OUTCOME: self.outcome}
        if self._journal is not None and self.span.is_recording():
            with contained("journal.carry"):
                last.update(self._journal())
        self.span.set_attributes(last)
        self.span.end(end_time=self.end_ns)


class SpanFactory:
    """Makes the spans of one session: every one carries the identity attributes, and is counted."""

    def __init__(self, tracer: trace.Tracer, identity: Mapping[str, AttributeValue]) -> None:
        self._tracer = tracer
        self._identity = dict(identity)
        self._common: dict[str, Attributes] = {}
        #: gives what is pending of the session's journal, for a span that ends
        self.journal: Callable[[], Attributes] | None = None
        self.count = 0

    def start(
        self,
        kind: str,
        parent: otel_context.Context,
        start_ns: int,
        attributes: Mapping[str, AttributeValue] | None = None,
        links: Sequence[trace.Link] = (),
    ) -> Stage:
        """Start a span of ``kind`` below the span in ``parent``, at ``start_ns`` (which may be in the past)."""
        common = self._common.get(kind) or self._common_to(kind)
        all_attributes = {**common, **attributes} if attributes else common
        span = self._tracer.start_span(
            kind, context=parent, attributes=all_attributes, start_time=start_ns, links=links
        )
        self.count += 1
        return Stage(kind, span, start_ns, self.journal if kind in _CARRIERS else None)

    def point(
        self,
        kind: str,
        parent: otel_context.Context,
        at_ns: int,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> None:
        """A span of zero length, ended at once."""
        self.start(kind, parent, at_ns, attributes).span.end(end_time=at_ns)

    def _common_to(self, kind: str) -> Attributes:
        """What every span of a kind has."""
        common: Attributes = {attr.KIND: kind, attr.SCHEMA: attr.SCHEMA_VERSION, **self._identity}
        if operation := OPERATIONS.get(kind):
            common[attr.OPERATION_NAME] = operation
        if kind in _CHAINS:
            common[attr.OPENINFERENCE_KIND] = "CHAIN"
        self._common[kind] = common
        return common
