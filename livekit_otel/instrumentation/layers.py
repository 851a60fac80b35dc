"""Which layer records where, asked at each stage: LiveKit sets and changes its provider while sessions run.

- LiveKit's own spans record nowhere: ours are current while a stage's code runs, and users' spans nest below them.
- They reach our provider: theirs are current, and carry the usage.
- They record elsewhere (LiveKit Cloud): theirs are current, as without us; spans that users make on our provider below
  one of theirs get the nearest span of ours as their parent (:class:`NearestParent`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

from ..provider import proxies
from . import livekit_telemetry

if TYPE_CHECKING:
    from .span import PipelineSpan

#: the innermost stage of ours whose code runs here, where LiveKit's spans are current
_nearest: ContextVar[PipelineSpan | None] = ContextVar("livekit_otel_nearest", default=None)
#: our session's span where it is current because nothing else was, and its provider
_entered: ContextVar[tuple[trace.Span, trace.TracerProvider] | None] = ContextVar("livekit_otel_entered", default=None)
#: in a context in which a span of ours is current: the id of that span, and the context without it
_WITHOUT = otel_context.create_key("livekit_otel_without")


class Entered:
    """What a stage made current; :meth:`leave` takes it back, in the same task."""

    __slots__ = ("_attached", "_marked", "_span")

    def __init__(
        self, span: trace.Span, attached: Token[Context] | None, marked: Token[PipelineSpan | None] | None
    ) -> None:
        self._span = span
        self._attached = attached
        self._marked = marked

    def leave(self) -> None:
        if self._attached is not None:
            otel_context.detach(self._attached)
        if self._marked is not None:
            _nearest.reset(self._marked)

    def leave_start(self) -> None:
        """The same after ``start()``: LiveKit leaves its own span current, only what is still ours is taken back."""
        if self._attached is not None and trace.get_current_span() is self._span:
            otel_context.detach(self._attached)


class Layers:
    """The two layers as one session's provider sees them."""

    __slots__ = ("_adopt_orphans", "provider")

    def __init__(
        self, provider: trace.TracerProvider, adopt_orphans: Callable[[trace.TracerProvider], None] | None = None
    ) -> None:
        self.provider = provider
        self._adopt_orphans = adopt_orphans

    @property
    def native_recorded(self) -> bool:
        """LiveKit's own spans record, wherever they go."""
        return proxies.records(livekit_telemetry.native_provider())

    @property
    def native_shared(self) -> bool:
        """LiveKit's own spans reach the provider that ours go to."""
        native = livekit_telemetry.native_provider()
        return proxies.records(native) and proxies.same(native, self.provider)

    def native_span_shared(self) -> bool:
        """The current span is LiveKit's, records, and reaches our provider."""
        span = trace.get_current_span()
        if not livekit_telemetry.may_be_native(span):
            return False
        made = proxies.made(self.provider, span)
        return self.native_shared if made is None else made

    def enter(self, stage: PipelineSpan, *, stand_in: bool = False) -> Entered | None:
        """A stage's code runs from here on.

        ``stand_in``: LiveKit's code there takes hold of the current span, sets attributes on it and ends it. It gets a
        span that does not record with the same context: spans made inside nest below ours, which stays out of reach.
        """
        native = livekit_telemetry.native_provider()
        if not proxies.records(native):
            span = trace.NonRecordingSpan(stage.otel.get_span_context()) if stand_in else stage.otel
            return Entered(span, _attach(span), None)
        if proxies.same(native, self.provider):
            return None
        return Entered(stage.otel, None, _nearest.set(stage))

    def enter_session(self, stage: PipelineSpan) -> Entered | None:
        """``AgentSession.start()`` runs: where no span records yet, the session's is current, unless LiveKit's go
        elsewhere; they would be below a span that is not sent there.

        A session that was not sampled is current where there is no other parent, so that what LiveKit and users begin
        below it is not sampled either."""
        current = trace.get_current_span()
        if not stage.otel.is_recording() and _decides(current):
            return None
        native = livekit_telemetry.native_provider()
        elsewhere = proxies.records(native) and not proxies.same(native, self.provider)
        _nearest.set(stage)
        if elsewhere and self._adopt_orphans is not None:
            self._adopt_orphans(self.provider)
        if elsewhere or current.is_recording():
            return None
        _entered.set((stage.otel, self.provider))
        return Entered(stage.otel, _attach(stage.otel), None)

    def session_parent(self) -> tuple[Context, Sequence[trace.Link], bool]:
        """Below which span a session's goes: the current one, if it records on our provider; else the nearest of ours.
        One that was not sampled, or is remote, is the parent, too: the decision to sample is made once, at the root.
        One that has ended is of another call.

        Returns also links, and whether the span is to be a root although the context has a parent (LiveKit's, on
        another provider: the trace is shared, the parent is never sent here)."""
        current = trace.get_current_span()
        context = current.get_span_context()
        if not current.is_recording():
            return (trace.set_span_in_context(current, Context()) if _decides(current) else Context()), (), False
        if not self.foreign(current):
            return trace.set_span_in_context(current, Context()), (), False
        links = (trace.Link(context),)
        nearest = _nearest.get()
        if nearest is not None and nearest.otel.is_recording():
            return nearest.context, links, False
        if not proxies.of_the_sdk(self.provider):
            return Context(), links, False
        return trace.set_span_in_context(current, Context()), links, True

    def foreign(self, span: trace.Span) -> bool:
        """Whether a span is not sent to our provider."""
        made = proxies.made(self.provider, span)
        return (livekit_telemetry.is_native(span) and not self.native_shared) if made is None else not made


def _decides(span: trace.Span) -> bool:
    """Whether a span that does not record says if what is below it is sampled: it is remote, or was not sampled."""
    context = span.get_span_context()
    return context.is_valid and not span.is_recording() and (context.is_remote or not context.trace_flags.sampled)


def _attach(span: trace.Span) -> Token[Context]:
    """Make a span of ours current, and keep what was."""
    before = otel_context.get_current()
    context = otel_context.set_value(_WITHOUT, (span.get_span_context().span_id, before), before)
    return otel_context.attach(trace.set_span_in_context(span, context))


def without_ours(context: Context | None) -> Context:
    """The context that LiveKit's code would have here if no span of ours had been made current."""
    context = otel_context.get_current() if context is None else context
    kept: Any = otel_context.get_value(_WITHOUT, context)
    while kept is not None and trace.get_current_span(context).get_span_context().span_id == kept[0]:
        context = kept[1]
        kept = otel_context.get_value(_WITHOUT, context)
    return context


def nearest_stage() -> PipelineSpan | None:
    """The innermost stage of ours whose code runs here, where LiveKit's spans are current."""
    return _nearest.get()


def entered_session(providers_: Sequence[trace.TracerProvider]) -> bool:
    """Whether a session's span of one of these providers is current because nothing else was."""
    entered = _entered.get()
    return (
        entered is not None and any(entered[1] is one for one in providers_) and trace.get_current_span() is entered[0]
    )
