"""Several STTMetrics as one: usage comes on a timer, or after the transcript, in pieces."""

from __future__ import annotations

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr

__all__ = ["summed", "summed_ids", "with_ids", "with_usage"]

_MAX_IDS = 16
_REQUEST_ID = attr.metric("stt", "request_id")

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
    return out | _all_ids(before, fields)


def with_ids(fields: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    """A metric's fields, its request id among the ids of the utterance; an empty one says nothing."""
    request_id = fields.get(_REQUEST_ID)
    if request_id == "":
        fields.pop(_REQUEST_ID)
    elif isinstance(request_id, str):
        fields[attr.STT_REQUEST_IDS] = (request_id,)
    return fields


def summed_ids(before: dict[str, AttributeValue], fields: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    """``fields`` with the request ids of both, each once."""
    return fields | _all_ids(before, fields)


def _all_ids(before: dict[str, AttributeValue], fields: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    known: dict[str, None] = {}
    for one in (before, fields):
        ids = one.get(attr.STT_REQUEST_IDS)
        known.update(dict.fromkeys(str(request_id) for request_id in ids) if isinstance(ids, tuple) else {})
    return {attr.STT_REQUEST_IDS: tuple(known)[:_MAX_IDS]} if known else {}


def with_usage(attributes: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    """GenAI usage for a provider that bills STT by tokens; LiveKit's own spans have none for STT."""
    for field, name in (("input_tokens", attr.USAGE_INPUT_TOKENS), ("output_tokens", attr.USAGE_OUTPUT_TOKENS)):
        tokens = attributes.get(attr.metric("stt", field))
        if tokens:
            attributes[name] = tokens
    return attributes
