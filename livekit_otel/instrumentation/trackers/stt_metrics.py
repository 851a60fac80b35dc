"""Several STTMetrics as one: usage comes on a timer, or after the transcript, in pieces."""

from __future__ import annotations

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr

__all__ = ["summed", "with_usage"]

_SUMMED = (
    "duration",
    "audio_duration",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "input_audio_tokens",
    "acquire_time",
)
_KEYS = (*(attr.metric("stt", name) for name in _SUMMED), attr.STT_METRICS_COUNT)


def summed(before: dict[str, AttributeValue], fields: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    """The attributes of both: what adds up is added, of the rest the later wins."""
    out = {**before, **fields}
    for key in _KEYS:
        if key in before and key in fields:
            out[key] = before[key] + fields[key]  # type: ignore[operator]
    return out


def with_usage(attributes: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    """GenAI usage for a provider that bills STT by tokens; LiveKit's own spans have none for STT."""
    for field, name in (("input_tokens", attr.USAGE_INPUT_TOKENS), ("output_tokens", attr.USAGE_OUTPUT_TOKENS)):
        tokens = attributes.get(attr.metric("stt", field))
        if tokens:
            attributes[name] = tokens
    return attributes
