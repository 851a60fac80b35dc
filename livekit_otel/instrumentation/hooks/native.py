"""Keeps parents for users' spans if LiveKit's own spans go to another provider than livekit_otel's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor

from ...containment import contain, contained
from ...provider import proxies
from .. import layers, livekit_api, livekit_telemetry, livekit_tracer, registry
from .wrapping import Args, Kwargs


@contain("layers.native_provider")
def native_provider_given(provider: trace.TracerProvider, running: Sequence[trace.TracerProvider]) -> None:
    """LiveKit's tracer got a provider while sessions on other providers are running. From now on LiveKit's spans get
    the parents that they would have without livekit_otel: LiveKit Cloud's recording begins inside ``start()``, where
    the session's span is current."""
    others = [ours for ours in running if not proxies.same(provider, ours)]
    if not others or not proxies.records(provider):
        return
    for ours in others:
        adopt_orphans(ours)
    livekit_tracer.go_outside(layers.without_ours)
    if layers.entered_session(others):
        otel_context.attach(layers.without_ours(None))


def adopt_orphans(provider: trace.TracerProvider) -> None:
    """Add :class:`NearestParent` to a provider, once."""
    with contained("layers.adopt"):
        if proxies.takes_processors(provider) and not any(
            isinstance(one, NearestParent) for one in proxies.processors(provider)
        ):
            proxies.add_processor(provider, NearestParent(provider))


class NearestParent(SpanProcessor):
    """Gives users' spans below a foreign span of LiveKit's the nearest parent on this provider, or none.

    A span stays in its trace: if the session is in another trace, the span becomes a root with links to both.
    """

    def __init__(self, provider: trace.TracerProvider) -> None:
        self._layers = layers.Layers(provider)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.parent is None or span.parent.is_remote:
            return
        parent = trace.get_current_span(parent_context)
        if livekit_telemetry.is_native(parent):
            with contained("layers.parent"):
                if self._layers.foreign(parent):
                    self._adopt(span, parent.get_span_context())

    def _adopt(self, span: Span, native: trace.SpanContext) -> None:
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
    """Return the innermost livekit_otel span that the current code works for: of a stage, its turn, or the session."""
    nearest = layers.nearest_stage()
    state = registry.current()
    handle = livekit_api.speech_handle()
    if state is not None and handle is not None and (nearest is None or nearest is state.scope.span):
        turn = state.trackers.turns.of_speech(handle.id)
        if turn is not None and turn.open:
            return turn.span.otel
    if nearest is not None:
        return nearest.otel
    return state.scope.span.otel if state is not None else None


def set_provider(wrapped: Callable[..., Any], tracer: Any, args: Args, kwargs: Kwargs) -> Any:
    """``set_provider(tracer_provider)`` of LiveKit's own tracer: its spans go to this provider from now on."""
    result = wrapped(*args, **kwargs)
    with contained("native.set_provider"):
        provider = args[0] if args else kwargs["tracer_provider"]
        livekit_tracer.given(provider)
        running = [state.scope.layers.provider for state in registry.all_states() if not state.closed]
        native_provider_given(provider, running)
    return result
