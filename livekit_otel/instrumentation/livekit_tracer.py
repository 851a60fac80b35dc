"""Sets the provider of LiveKit's own tracer for the user, or keeps it apart from livekit_otel's, and restores it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.util.types import Attributes, AttributeValue

from ..containment import contain, contained, report
from ..provider import proxies
from . import livekit_telemetry

logger = logging.getLogger("livekit_otel")

#: providers that livekit_otel set on LiveKit's tracer, and may therefore remove again
_given: proxies.ByIdentity[trace.TracerProvider, bool] = proxies.ByIdentity()
_sharing = False
_warned = False


class ElsewhereProvider(trace.ProxyTracerProvider):
    """OpenTelemetry's global provider, unless livekit_otel uses that: then a provider that does nothing.

    It replaces the global provider that LiveKit's tracer uses by default. LiveKit treats it like the proxy that it
    replaces, so that LiveKit Cloud's recording creates a provider of its own.
    """

    def __init__(self, ours: trace.TracerProvider, before: trace.TracerProvider) -> None:
        super().__init__()
        self.ours = ours
        #: the previous provider of LiveKit's tracer
        self.before = before
        self._nothing = trace.NoOpTracerProvider()

    def resolved(self) -> trace.TracerProvider:
        """Return the provider that LiveKit's spans go to now."""
        found = trace.get_tracer_provider()
        return self._nothing if proxies.same(found, self.ours) else found

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> trace.Tracer:
        def make(provider: trace.TracerProvider) -> trace.Tracer:
            return provider.get_tracer(instrumenting_module_name, instrumenting_library_version, schema_url, attributes)

        return _ElsewhereTracer(self, make)


class _ElsewhereTracer(trace.Tracer):
    def __init__(self, provider: ElsewhereProvider, make: Callable[[trace.TracerProvider], trace.Tracer]) -> None:
        self._provider, self._make = provider, make
        self._resolved: trace.TracerProvider | None = None
        self._made: trace.Tracer = trace.NoOpTracer()

    def _tracer(self) -> trace.Tracer:
        resolved = self._provider.resolved()
        if resolved is not self._resolved:
            self._made = self._make(resolved)
            self._resolved = resolved
        return self._made

    @property
    def start_span(self) -> Callable[..., trace.Span]:
        return self._tracer().start_span

    @property
    def start_as_current_span(self) -> Callable[..., Any]:
        return self._tracer().start_as_current_span


def share(
    provider: trace.TracerProvider,
    metadata: Mapping[str, AttributeValue] | None,
    *,
    allow_pii: bool | None,
    content: bool,
) -> None:
    """Call LiveKit's own ``set_tracer_provider``; its processors are added to the existing ones, and only once."""
    global _sharing
    from livekit.agents import telemetry

    target = proxies.core(provider)
    repeated = metadata and any(livekit_telemetry.stamps(one, metadata) for one in proxies.processors(target))
    new = dict(metadata) if metadata and not repeated else None
    theirs = _has(provider) and _by_others(target)
    _sharing = True
    try:
        # LiveKit adds processors only to instances of the SDK's class, so it gets the provider that a proxy wraps
        with proxies.keeping_processors(target):
            telemetry.set_tracer_provider(target, metadata=new, allow_pii=allow_pii)
    except Exception as error:
        report("livekit_tracer.share", error)
        if not content:
            return  # LiveKit's content filter may be missing: keep its spans from this provider
    finally:
        _sharing = False
    if livekit_telemetry.native_provider() is not provider:
        livekit_telemetry.native_tracer().set_provider(provider)
    if not theirs:
        _given.set(target, True)


def given(provider: trace.TracerProvider) -> None:
    """LiveKit's tracer got a provider: record that livekit_otel does not own it, unless livekit_otel is setting it."""
    if not _sharing:
        _given.discard(proxies.core(provider))


def keep_away(provider: trace.TracerProvider) -> None:
    """Keep LiveKit's spans from ``provider`` if they reach it through the global provider or an earlier :func:`share`.

    A provider that LiveKit or the user set on LiveKit's tracer is left alone.
    """
    tracer = livekit_telemetry.native_tracer()
    before = livekit_telemetry.native_provider()
    if isinstance(before, ElsewhereProvider):
        before.ours = provider
    elif isinstance(before, trace.ProxyTracerProvider) or (_has(provider) and not _by_others(before)):
        _given.discard(proxies.core(provider))
        back: trace.TracerProvider = before if _is_global(before) else trace.ProxyTracerProvider()
        tracer.set_provider(ElsewhereProvider(provider, back))


def _has(provider: trace.TracerProvider) -> bool:
    return proxies.same(livekit_telemetry.native_provider(), provider)


def _by_others(provider: trace.TracerProvider) -> bool:
    """Whether LiveKit or the user, not livekit_otel, set this provider on LiveKit's tracer."""
    target = proxies.core(provider)
    return livekit_telemetry.was_given(target) and not _given.get(target)


def _is_global(provider: trace.TracerProvider) -> bool:
    return isinstance(provider, trace.ProxyTracerProvider) or proxies.same(provider, trace.get_tracer_provider())


def reaches(provider: trace.TracerProvider) -> bool:
    """Whether LiveKit's own spans go to this provider, and are recorded there."""
    return _has(provider) and proxies.records(provider)


@contain("livekit_tracer.warn")
def warn_if_shared(provider: trace.TracerProvider, *, redacts: bool) -> None:
    """Warn at the start of a session if LiveKit's own spans reach the provider against the options."""
    global _warned
    if _warned or not reaches(provider):
        return
    _warned = True
    if redacts:
        logger.warning(
            "livekit_otel: LiveKit's tracer was set to the same provider (by LiveKit's set_tracer_provider) after "
            "redact was set: LiveKit's own spans reach it with all their content, and redact does not apply to them. "
            "Remove that call, or pass another provider to livekit_otel"
        )
        return
    logger.warning(
        "livekit_otel: native_spans=False has no effect: LiveKit's tracer uses the same provider (set by LiveKit's "
        "set_tracer_provider), so LiveKit's own spans reach it, carry the token usage, and your own spans nest below "
        "them. Remove that call, or pass another provider to livekit_otel"
    )


class _OutsideTracer(trace.Tracer):
    """LiveKit's tracer on a provider that livekit_otel does not use, set while sessions are running. The contexts of
    their tasks hold livekit_otel's spans, which this provider never gets; LiveKit's spans must not be below them."""

    def __init__(self, tracer: trace.Tracer, without_ours: Callable[[Context | None], Context]) -> None:
        self.tracer = tracer
        self._without_ours = without_ours

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: trace.SpanKind = trace.SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[trace.Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> trace.Span:
        under = self._without_ours(context)
        return self.tracer.start_span(
            name, under, kind, attributes, links, start_time, record_exception, set_status_on_exception
        )

    def start_as_current_span(
        self,
        name: str,
        context: Context | None = None,
        kind: trace.SpanKind = trace.SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[trace.Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Any:
        under = self._without_ours(context)
        return self.tracer.start_as_current_span(
            name, under, kind, attributes, links, start_time, record_exception, set_status_on_exception, end_on_exit
        )


def go_outside(without_ours: Callable[[Context | None], Context]) -> None:
    """Start LiveKit's spans from now on in the contexts that they would have without livekit_otel's spans."""
    tracer = livekit_telemetry.native_tracer()
    if isinstance(getattr(tracer, "_tracer", None), trace.Tracer):
        tracer._tracer = _OutsideTracer(tracer._tracer, without_ours)


def restore() -> None:
    """Restore LiveKit's tracer; a provider that somebody has set since then stays."""
    with contained("livekit_tracer.restore"):
        tracer = livekit_telemetry.native_tracer()
        now = livekit_telemetry.native_provider()
        if isinstance(now, ElsewhereProvider):
            tracer.set_provider(now.before)
        elif isinstance(outside := getattr(tracer, "_tracer", None), _OutsideTracer):
            tracer._tracer = outside.tracer
