"""What a response of a realtime model used, as attributes; several messages of one response add up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr

if TYPE_CHECKING:
    from livekit.agents.metrics import RealtimeModelMetrics

__all__ = ["added", "usage"]

_ADDED = ("_tokens",)


def added(before: dict[str, AttributeValue], fields: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    """The fields of both, token counts summed."""
    out = {**before, **fields}
    for name, value in fields.items():
        earlier = before.get(name)
        if name.endswith(_ADDED) and isinstance(value, int) and isinstance(earlier, int):
            out[name] = earlier + value
    return out


def usage(metrics: RealtimeModelMetrics) -> dict[str, AttributeValue]:
    inputs, outputs = metrics.input_token_details, metrics.output_token_details
    numbers = {
        attr.USAGE_INPUT_TOKENS: metrics.input_tokens,
        attr.USAGE_OUTPUT_TOKENS: metrics.output_tokens,
        attr.USAGE_CACHE_READ: inputs.cached_tokens,
        attr.USAGE_TEXT_INPUT: inputs.text_tokens,
        attr.USAGE_AUDIO_INPUT: inputs.audio_tokens,
        attr.USAGE_IMAGE_INPUT: inputs.image_tokens,
        attr.USAGE_TEXT_OUTPUT: outputs.text_tokens,
        attr.USAGE_AUDIO_OUTPUT: outputs.audio_tokens,
    }
    return {name: tokens for name, tokens in numbers.items() if tokens}
