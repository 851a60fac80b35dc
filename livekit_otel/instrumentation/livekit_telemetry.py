"""LiveKit's own telemetry: its tracer, that tracer's provider, and the identification of its spans."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor

from .. import attributes as attr
from . import livekit_api


def cloud_stamp() -> Mapping[str, Any]:
    """Return the attributes by which LiveKit Cloud selects the spans of a recorded job for upload; else empty."""
    state = getattr(livekit_api.job_context(), "_telemetry_state", None)
    attributes = getattr(state, "attributes", None)
    return attributes if isinstance(attributes, Mapping) else {}


@cache
def native_tracer() -> Any:
    """Return LiveKit's own tracer, whose provider can be set."""
    from livekit.agents.telemetry import tracer

    return tracer


def native_provider() -> trace.TracerProvider:
    """Return the provider of LiveKit's own spans; a proxy stands for OpenTelemetry's global provider."""
    provider: trace.TracerProvider | None = getattr(native_tracer(), "_tracer_provider", None)
    return provider if provider is not None else trace.get_tracer_provider()


def was_given(provider: trace.TracerProvider) -> bool:
    """Whether LiveKit's ``set_tracer_provider`` was called with this SDK provider (or its Cloud recording uses it)."""
    from livekit.agents.telemetry import traces

    try:
        return provider in getattr(traces, "_pii_redaction_installed", ())
    except TypeError:
        return False


def stamps(processor: SpanProcessor, metadata: Mapping[str, Any]) -> bool:
    """Whether a processor is LiveKit's and adds exactly this metadata."""
    if type(processor).__name__ != "_MetadataSpanProcessor":
        return False
    found = getattr(processor, "_provider_metadata", None) or getattr(processor, "_metadata", None)
    return bool(found == dict(metadata))


def is_native(span: trace.Span) -> bool:
    """Whether a span is one of LiveKit's own, and records."""
    scope = getattr(span, "instrumentation_scope", None)
    return scope is not None and scope.name == attr.NATIVE_SCOPE and span.is_recording()


def may_be_native(span: trace.Span) -> bool:
    """Whether a span may be LiveKit's: also True if its provider's spans do not name their instrumentation scope."""
    return span.is_recording() and (getattr(span, "instrumentation_scope", None) is None or is_native(span))
