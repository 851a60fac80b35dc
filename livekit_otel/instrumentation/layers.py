"""Determines which layer records where. Queried at each stage, because LiveKit can change its provider at any time.

- LiveKit's own spans are not recorded: livekit_otel's spans are current while a stage's code runs, and users' spans
  nest below them.
- LiveKit's spans reach the session's provider: they are current and carry the usage.
- LiveKit's spans go to another provider (LiveKit Cloud): they are current, as without livekit_otel. A span that a user
  starts on the session's provider below one of them gets the nearest livekit_otel span as parent
  (:class:`NearestParent`).
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

#: the innermost livekit_otel stage whose code runs in this context, if LiveKit's spans are current
_nearest: ContextVar[PipelineSpan | None] = ContextVar("livekit_otel_nearest", default=None)
#: the session's span and its provider, if the span was made current because there was no other
_entered: ContextVar[tuple[trace.Span, trace.TracerProvider] | None] = ContextVar("livekit_otel_entered", default=None)
#: in a context where a livekit_otel span is current: that span's id, and the context without it
_WITHOUT = otel_context.create_key("livekit_otel_without")


class Entered:
    """Records the span that a stage made current; :meth:`leave` undoes it in the same task."""

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
        """Undo it after ``start()``: LiveKit leaves its own span current, so only livekit_otel's is removed."""
        if self._attached is not None and trace.get_current_span() is self._span:
            otel_context.detach(self._attached)


class Layers:
    """The two layers, from the point of view of one session's provider."""

    __slots__ = ("_adopt_orphans", "provider")

    def __init__(
        self, provider: trace.TracerProvider, adopt_orphans: Callable[[trace.TracerProvider], None] | None = None
    ) -> None:
        self.provider = provider
        self._adopt_orphans = adopt_orphans

    @property
    def native_shared(self) -> bool:
        """Whether LiveKit's own spans reach the session's provider."""
        native = livekit_telemetry.native_provider()
        return proxies.records(native) and proxies.same(native, self.provider)

    def native_span_shared(self) -> bool:
        """Whether the current span is LiveKit's, is recorded, and reaches the session's provider."""
        span = trace.get_current_span()
        if not livekit_telemetry.may_be_native(span):
            return False
        made = proxies.made(self.provider, span)
        return self.native_shared if made is None else made

    def enter(self, stage: PipelineSpan, *, stand_in: bool = False) -> Entered | None:
        """Make the stage's span current while its code runs.

        ``stand_in``: LiveKit's code in this stage sets attributes on the current span and ends it. It gets a
        non-recording span with the same context: child spans nest below the stage, which LiveKit cannot modify.
        """
        native = livekit_telemetry.native_provider()
        if not proxies.records(native):
            span = trace.NonRecordingSpan(stage.otel.get_span_context()) if stand_in else stage.otel
            return Entered(span, _attach(span), None)
        if proxies.same(native, self.provider):
            return None
        return Entered(stage.otel, None, _nearest.set(stage))

    def enter_session(self, stage: PipelineSpan) -> Entered | None:
        """Make the session's span current while ``AgentSession.start()`` runs, if no recording span is current.

        Not if LiveKit's spans go to another provider: their parent would be a span that this provider never gets.
        An unsampled session is current if there is no other parent, so that spans below it are not sampled either."""
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
        """Return the context to start the session's span in, its links, and whether it becomes a root.

        The parent is the current span if it records on the session's provider, else the nearest livekit_otel span. An
        unsampled or remote span is also a parent, because the sampling decision is made once, at the root. A span that
        has ended belongs to another call and is ignored. The session's span becomes a root if its context has a parent
        on another provider (LiveKit's): they share a trace, but the session's provider never gets the parent."""
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
        """Whether a span is not sent to the session's provider."""
        made = proxies.made(self.provider, span)
        return (livekit_telemetry.is_native(span) and not self.native_shared) if made is None else not made


def _decides(span: trace.Span) -> bool:
    """Whether a non-recording span decides the sampling of its children: it is remote, or was not sampled."""
    context = span.get_span_context()
    return context.is_valid and not span.is_recording() and (context.is_remote or not context.trace_flags.sampled)


def _attach(span: trace.Span) -> Token[Context]:
    """Make a livekit_otel span current, and remember the previous context."""
    before = otel_context.get_current()
    context = otel_context.set_value(_WITHOUT, (span.get_span_context().span_id, before), before)
    return otel_context.attach(trace.set_span_in_context(span, context))


def without_ours(context: Context | None) -> Context:
    """Return the context that LiveKit's code would have if livekit_otel had made no span current."""
    context = otel_context.get_current() if context is None else context
    kept: Any = otel_context.get_value(_WITHOUT, context)
    while kept is not None and trace.get_current_span(context).get_span_context().span_id == kept[0]:
        context = kept[1]
        kept = otel_context.get_value(_WITHOUT, context)
    return context


def nearest_stage() -> PipelineSpan | None:
    """Return the innermost livekit_otel stage whose code runs in this context, if LiveKit's spans are current."""
    return _nearest.get()


def entered_session(providers_: Sequence[trace.TracerProvider]) -> bool:
    """Whether the current span is a session's span of one of these providers, made current for lack of another."""
    entered = _entered.get()
    return (
        entered is not None and any(entered[1] is one for one in providers_) and trace.get_current_span() is entered[0]
    )
