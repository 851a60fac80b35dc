"""The limits that an SDK provider sets for its spans (``SpanLimits``, ``OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT``, …)."""

from __future__ import annotations

from typing import NamedTuple

from opentelemetry import trace

from . import proxies

__all__ = ["NO_LIMITS", "Limits", "limits_of"]


class Limits(NamedTuple):
    """The limits; None means no limit.

    Attributes:
        attributes: maximum number of attributes of a span; for each further one the SDK drops the oldest.
        value_length: maximum length of a value in characters.
    """

    attributes: int | None = None
    value_length: int | None = None


NO_LIMITS = Limits()


def limits_of(provider: trace.TracerProvider) -> Limits:
    """The limits of a provider's spans; no limits if the provider does not expose any."""
    limits = getattr(proxies.core(provider), "_span_limits", None)
    found = (getattr(limits, name, None) for name in ("max_span_attributes", "max_span_attribute_length"))
    return Limits(*(one if type(one) is int else None for one in found))
