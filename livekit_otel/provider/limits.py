"""The limits that a provider of the SDK sets for its spans (``SpanLimits``, ``OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT``, …)."""

from __future__ import annotations

from typing import NamedTuple

from opentelemetry import trace

from . import proxies

__all__ = ["NO_LIMITS", "Limits", "limits_of"]


class Limits(NamedTuple):
    """None where there is none.

    Attributes:
        attributes: how many attributes a span keeps; the SDK drops the one that was set first for one more.
        value_length: how many characters of a value are kept.
    """

    attributes: int | None = None
    value_length: int | None = None


NO_LIMITS = Limits()


def limits_of(provider: trace.TracerProvider) -> Limits:
    """The limits of a provider's spans; none where it does not say."""
    limits = getattr(proxies.core(provider), "_span_limits", None)
    found = (getattr(limits, name, None) for name in ("max_span_attributes", "max_span_attribute_length"))
    return Limits(*(one if type(one) is int else None for one in found))
