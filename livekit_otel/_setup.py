"""Turns tracing on: the instrumentation and the turn processor together."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.sdk.trace import Span as SDKSpan
from opentelemetry.trace import Span, TracerProvider
from opentelemetry.util.types import AttributeValue

from . import instrumentation
from .containment import contain
from .instrumentation import LLMInput, Options, SessionAttributes
from .processor import TurnSpanProcessor
from .provider import proxies
from .redaction import Redact

__all__ = ["LiveKitInstrumentor", "set_tracer_provider"]

logger = logging.getLogger("livekit_otel")

#: the processors for providers that do not support span processors
_beside: proxies.ByIdentity[TracerProvider, TurnSpanProcessor] = proxies.ByIdentity()


class LiveKitInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Instruments LiveKit Agents through the standard OpenTelemetry instrumentor interface.

    ``instrument(tracer_provider=None, **options)`` takes the options of :func:`set_tracer_provider` as keywords. It
    does not redirect LiveKit's own spans; ``redact`` keeps them from the provider. Without a ``tracer_provider``,
    pipeline spans go to OpenTelemetry's global provider. ``uninstrument()`` ends the traces of running sessions and
    removes the wrappers from LiveKit.

    Raises:
        MissingDependencyError: livekit-agents is not installed, or its version is not supported.
        OptionError: an option has an invalid value.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """The required packages, for OpenTelemetry's own check."""
        return (instrumentation.REQUIREMENT,)

    def instrument(self, **kwargs: Any) -> None:
        """Start tracing. Does nothing if LiveKit is already instrumented."""
        # check first, because BaseInstrumentor only logs missing packages
        instrumentation.check_livekit()
        Options.checked(kwargs)
        super().instrument(**kwargs)

    def _instrument(self, **kwargs: Any) -> None:
        self._applied = instrumentation.activate(Options.checked({**_PROCESSOR, **kwargs}))

    def _uninstrument(self, **kwargs: Any) -> None:
        instrumentation.deactivate(self._applied)


def _prepare(provider: TracerProvider, thresholds: Mapping[str, float] | None) -> TurnSpanProcessor | None:
    """Add the processor that sets latencies on turn spans to the provider, unless it already has this processor.

    Returns the processor if the provider does not support processors; then each session passes its spans to it.
    """
    if proxies.takes_processors(provider):
        if _processor_of(provider) is None:
            proxies.add_processor(provider, TurnSpanProcessor())
        added = _processor_of(provider)
        if added is not None:
            _configure(added, thresholds, ends_announced=True)
        return None
    processor = _made_beside(provider)
    # the spans of such a provider may be of any class, which turn_ending does not reach
    _configure(processor, thresholds, ends_announced=False)
    return processor


@contain("processor.configure")
def _configure(processor: TurnSpanProcessor, thresholds: Mapping[str, float] | None, *, ends_announced: bool) -> None:
    processor.configure(thresholds or {}, ends_announced=ends_announced)


def _processor_of(provider: TracerProvider) -> TurnSpanProcessor | None:
    """The turn processor of this provider, if it has one now."""
    if not proxies.takes_processors(provider):
        return _beside.get(provider)
    return next((one for one in proxies.processors(provider) if isinstance(one, TurnSpanProcessor)), None)


def _made_beside(provider: TracerProvider) -> TurnSpanProcessor:
    processor = _beside.get(provider)
    if processor is None:
        _warn_without_processors(provider)
        processor = TurnSpanProcessor()
        _beside.set(provider, processor)
    return processor


def _turn_ending(provider: TracerProvider, span: Span, end_ns: int) -> None:
    """Set the attributes that depend on the end of the turn while its span is still recording."""
    processor, own = _processor_of(provider), proxies.innermost_span(span)
    if processor is not None and isinstance(own, SDKSpan):
        processor.turn_ending(own, end_ns)


#: the processor's functions, passed in because the instrumentation does not import the processor
_PROCESSOR = {"prepare": _prepare, "turn_ending": _turn_ending}


def _warn_without_processors(provider: TracerProvider) -> None:
    flush = "" if hasattr(provider, "force_flush") else " nothing is flushed at the end of a process,"
    logger.warning(
        "livekit_otel: %s.%s does not support span processors (it has no add_span_processor): turns still get their "
        "latencies, but LiveKit's own spans get no metadata and no content filter (allow_pii),%s and lost spans are "
        "not counted",
        type(provider).__module__,
        type(provider).__qualname__,
        flush,
    )


def set_tracer_provider(
    provider: TracerProvider,
    *,
    metadata: Mapping[str, AttributeValue] | None = None,
    allow_pii: bool | None = None,
    native_spans: bool | None = None,
    session_attributes: SessionAttributes | None = None,
    llm_input: LLMInput = "delta",
    flush_timeout: float = 5.0,
    redact: Redact | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> None:
    """Trace every LiveKit session of this process to ``provider``. No other call is needed.

    Does the same as LiveKit's function of this name (unless ``native_spans=False``), adds
    :class:`TurnSpanProcessor`, and instruments LiveKit. Idempotent; may be called at module level, in ``setup_fnc`` or
    in the entrypoint. Sessions that are already running keep their options.

    Args:
        provider: an OpenTelemetry ``TracerProvider`` with your exporters.
        metadata: attributes for every span of this process.
        allow_pii: whether exporters receive content: speech, payloads, job tags, names of rooms and people, and tool
            names that a model made up. None reads the environment variable ``LIVEKIT_TELEMETRY_ALLOW_PII``, with
            True as the default. LiveKit's redaction always takes precedence.
        native_spans: whether LiveKit's own spans also go to the provider. None means True, or False with ``redact``,
            which does not apply to them. False keeps them from the provider, also if it is OpenTelemetry's global
            provider; your own spans then nest below those of livekit_otel. If LiveKit's tracer was given another
            provider (LiveKit Cloud's), it keeps that one.
        session_attributes: ``(job_context_or_None, agent_session) -> attributes`` for every span of that session,
            called once per session, with the room connected if ``session.start(room=...)`` connects it; may replace
            ``session.id`` and add ``user.id``, tags and so on.
        llm_input: the messages that an ``llm`` span records: ``"delta"`` (messages since the agent's last request),
            ``"full"`` or ``"none"``.
        flush_timeout: maximum seconds that a process waits for the exporters before it ends, so that the last spans
            of a job are exported without an explicit flush; 0 turns this off.
        redact: partial redaction: ``(text, kind) -> text``, called for each complete text of content before it is
            recorded. A text is withheld if the function raises; fragments of texts (interim transcripts, TTS input)
            are always withheld. ``livekit_otel.PatternRedactor`` is a ready-made function; docs/privacy.md lists the
            kinds.
        thresholds: seconds from which waits are flagged, like ``{"slow": 1.5, "dead_air": 4}``; the defaults are
            2.0 seconds of ``e2e_latency`` for ``slow`` and 3.0 for ``dead_air``. They set flags and do not change
            any measurement; docs/latency.md describes the flags.

    Raises:
        MissingDependencyError: livekit-agents is not installed, or its version is not supported.
        OptionError: an option has an invalid value.
    """
    values = {
        "tracer_provider": provider,
        "metadata": metadata,
        "allow_pii": allow_pii,
        "native_spans": redact is None if native_spans is None else native_spans,
        "session_attributes": session_attributes,
        "llm_input": llm_input,
        "flush_timeout": flush_timeout,
        "redact": redact,
        "thresholds": thresholds,
        **_PROCESSOR,
    }
    instrumentation.check_livekit()
    options = Options.checked(values)
    instrumentation.place_native_spans(provider, options)
    instrumentor = LiveKitInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentation.configure(options)
    else:
        instrumentor.instrument(skip_dep_check=True, **values)
    _prepare(provider, options.thresholds)
