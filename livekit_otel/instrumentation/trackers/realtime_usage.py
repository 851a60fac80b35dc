"""Usage of a realtime model's responses as attributes; several messages of one response are summed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from ..values import flatten, model_attributes

if TYPE_CHECKING:
    from livekit.agents.metrics import RealtimeModelMetrics

__all__ = ["added", "connection_fields", "fields_of", "of_connection"]

_ADDED = ("_tokens", ".acquire_time", ".session_duration")
_FIRST_TOKEN = attr.metric("realtime", "ttft")
#: connection attributes, which do not belong to one response
_OF_CONNECTION = frozenset(
    attr.metric("realtime", name)
    for name in ("label", "acquire_time", "connection_reused", "session_duration", "metadata.model_name")
) | {attr.metric("realtime", "metadata.model_provider")}


def fields_of(metrics: RealtimeModelMetrics, *, native: bool) -> dict[str, AttributeValue]:
    """Return metrics as attributes. ``native``: LiveKit's own span has the tokens, too."""
    fields = {**flatten("realtime", metrics), **model_attributes(metrics, generates=True)}
    fields.update({attr.LANGFUSE_USAGE: attr.LANGFUSE_COUNTED_ELSEWHERE} if native else _usage(metrics))
    if metrics.ttft < 0:
        # LiveKit's value for a response without output, and for plugins that do not know it
        fields.pop(_FIRST_TOKEN, None)
    return fields


def of_connection(metrics: RealtimeModelMetrics) -> bool:
    """Whether metrics without a known response concern the connection only, not any response."""
    return not metrics.input_tokens and not metrics.output_tokens and not metrics.total_tokens


def connection_fields(fields: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    """Return the connection attributes that a response's span includes."""
    return {name: value for name, value in fields.items() if name in _OF_CONNECTION}


def added(before: dict[str, AttributeValue], fields: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    """Merge both: tokens and connection times are summed, for other fields the later value counts."""
    out = {**before, **fields}
    for name, value in fields.items():
        earlier = before.get(name)
        numbers = isinstance(value, int | float) and isinstance(earlier, int | float)
        if numbers and name.endswith(_ADDED):
            out[name] = earlier + value  # type: ignore[operator]
    return out


def _usage(metrics: RealtimeModelMetrics) -> dict[str, AttributeValue]:
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
