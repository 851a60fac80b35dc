"""Which layer records where, asked at each stage: LiveKit sets and changes its provider while sessions run.

- LiveKit's own spans record nowhere: ours are current while a stage's code runs, and users' spans nest below them.
- They reach our provider: theirs are current, and carry the usage.
- They record elsewhere (LiveKit Cloud): theirs are current, as without us; spans that users make on our provider below
  one of theirs get the nearest span of ours as their parent (:class:`NearestParent`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor

from . import livekit_api, livekit_tracer, providers
from .guard import contain, contained

if TYPE_CHECKING:
    from .stage import Stage

#: the innermost stage of ours whose code runs here, where LiveKit's spans are current
_nearest: ContextVar[Stage | None] = ContextVar("livekit_otel_nearest", default=None)
#: our session's span where it is current because nothing else was, and its provider
_entered: ContextVar[tuple[trace.Span, trace.TracerProvider] | None] = ContextVar("livekit_otel_entered", default=None)
#: in a context in which a span of ours is current: the id of that span, and the context without it
_WITHOUT = otel_context.create_key("livekit_otel_without")


class Entered:
    """What a stage made current; :meth:`leave` takes it back, in the same task."""

    __slots__ = ("_attached", "_marked", "_span")

    def __init__(self, span: trace.Span, attached: Token[Context] | None, marked: Token[Stage | None] | None) -> None:
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

    __slots__ = ("provider",)

    def __init__(self, provider: trace.TracerProvider) -> None:
        self.provider = provider

    @property
    def native_recorded(self) -> bool:
        """LiveKit's own spans record, wherever they go."""
        return providers.records(livekit_api.native_provider())

    @property
    def native_shared(self) -> bool:
        """LiveKit's own spans reach the provider that ours go to."""
        native = livekit_api.native_provider()
        return providers.records(native) and providers.same(native, self.provider)

    def native_span_shared(self) -> bool:
        """The current span is LiveKit's, records, and reaches our provider."""
        span = trace.get_current_span()
        if not livekit_api.may_be_native(span):
            return False
        made = providers.made(self.provider, span)
        return self.native_shared if made is None else made

    def enter(self, stage: Stage, *, stand_in: bool = False) -> Entered | None:
        """A stage's code runs from here on.

        ``stand_in``: LiveKit's code there takes hold of the current span, sets attributes on it and ends it. It gets a
        span that does not record with the same context: spans made inside nest below ours, which stays out of reach.
        """
        native = livekit_api.native_provider()
        if not providers.records(native):
            span = trace.NonRecordingSpan(stage.span.get_span_context()) if stand_in else stage.span
            return Entered(span, _attach(span), None)
        if providers.same(native, self.provider):
            return None
        return Entered(stage.span, None, _nearest.set(stage))

    def enter_session(self, stage: Stage) -> Entered | None:
        """``AgentSession.start()`` runs: where no span records yet, the session's is current, unless LiveKit's go
        elsewhere; they would be below a span that is not sent there."""
        native = livekit_api.native_provider()
        elsewhere = providers.records(native) and not providers.same(native, self.provider)
        _nearest.set(stage)
        if elsewhere:
            adopt_orphans(self.provider)
        if elsewhere or trace.get_current_span().is_recording():
            return None
        _entered.set((stage.span, self.provider))
        return Entered(stage.span, _attach(stage.span), None)

    def session_parent(self) -> tuple[Context, Sequence[trace.Link], bool]:
        """Below which span a session's goes: the current one, if it records on our provider or is remote; else the
        nearest of ours. Returns also links, and whether the span is to be a root although the context has a parent
        (LiveKit's, on another provider: the trace is shared, the parent is never sent here)."""
        current = trace.get_current_span()
        context = current.get_span_context()
        if not current.is_recording():
            remote = context.is_valid and context.is_remote
            return (trace.set_span_in_context(current, Context()) if remote else Context()), (), False
        if not self._foreign(current):
            return trace.set_span_in_context(current, Context()), (), False
        links = (trace.Link(context),)
        nearest = _nearest.get()
        if nearest is not None and nearest.span.is_recording():
            return nearest.context, links, False
        if not providers.of_the_sdk(self.provider):
            return Context(), links, False
        return trace.set_span_in_context(current, Context()), links, True

    def _foreign(self, span: trace.Span) -> bool:
        """Whether a span is not sent to our provider."""
        made = providers.made(self.provider, span)
        return (livekit_api.is_native(span) and not self.native_shared) if made is None else not made


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


@contain("layers.native_provider")
def native_provider_given(provider: trace.TracerProvider, running: Sequence[trace.TracerProvider]) -> None:
    """LiveKit's tracer got a provider, while sessions on others run. From now on LiveKit's spans have the parents that
    they have without us: LiveKit Cloud's recording begins inside ``start()``, where our session's is current."""
    others = [ours for ours in running if not providers.same(provider, ours)]
    if not others or not providers.records(provider):
        return
    for ours in others:
        adopt_orphans(ours)
    livekit_tracer.go_outside(without_ours)
    entered = _entered.get()
    if entered is not None and any(entered[1] is ours for ours in others) and trace.get_current_span() is entered[0]:
        otel_context.attach(without_ours(None))


def adopt_orphans(provider: trace.TracerProvider) -> None:
    """Add :class:`NearestParent` to a provider, once."""
    with contained("layers.adopt"):
        if providers.takes_processors(provider) and not any(
            isinstance(one, NearestParent) for one in providers.processors(provider)
        ):
            providers.add_processor(provider, NearestParent(provider))


class NearestParent(SpanProcessor):
    """Gives users' spans below a span of LiveKit's that is not sent here the nearest parent that is, or none.

    A span stays in its trace: where our session is in another one, it becomes a root with links to both.
    """

    def __init__(self, provider: trace.TracerProvider) -> None:
        self._layers = Layers(provider)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.parent is None or span.parent.is_remote:
            return
        parent = trace.get_current_span(parent_context)
        if livekit_api.is_native(parent):
            with contained("layers.parent"):
                if self._layers._foreign(parent):
                    self._adopt(span, parent.get_span_context())

    def _adopt(self, span: Any, native: trace.SpanContext) -> None:
        nearest = nearest_span()
        span.add_link(native)
        if nearest is None:
            span._parent = None
            return
        context = nearest.get_span_context()
        if context.trace_id == native.trace_id:
            span._parent = context
        else:
            span._parent = None
            span.add_link(context)


def nearest_span() -> trace.Span | None:
    """The innermost span of ours that the code here works for: a stage's, its speech's turn, or the session's."""
    from . import registry

    nearest = _nearest.get()
    state = registry.current()
    handle = livekit_api.speech_handle()
    if state is not None and handle is not None and (nearest is None or nearest is state.stage):
        turn = state.turns.of_speech(handle.id)
        if turn is not None and turn.open:
            return turn.stage.span
    if nearest is not None:
        return nearest.span
    return state.stage.span if state is not None else None
