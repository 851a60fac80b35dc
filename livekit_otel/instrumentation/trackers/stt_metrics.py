"""Merges STTMetrics: usage arrives in parts, on a timer or after the transcript."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr

__all__ = ["PendingUsage", "summed", "with_ids", "with_usage"]

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
    """Merge both: amounts are summed, for other fields the later value counts."""
    out = {**before, **fields}
    for key in _KEYS:
        if key in before and key in fields:
            out[key] = before[key] + fields[key]  # type: ignore[operator]
    return out | _all_ids(before, fields)


def with_ids(fields: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    """Return a metric's fields with its request id added to the utterance's ids; an empty id is dropped."""
    request_id = fields.get(_REQUEST_ID)
    if request_id == "":
        fields.pop(_REQUEST_ID)
    elif isinstance(request_id, str):
        fields[attr.STT_REQUEST_IDS] = (request_id,)
    return fields


def _all_ids(before: dict[str, AttributeValue], fields: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    known: dict[str, None] = {}
    for one in (before, fields):
        ids = one.get(attr.STT_REQUEST_IDS)
        known.update(dict.fromkeys(str(request_id) for request_id in ids) if isinstance(ids, tuple) else {})
    return {attr.STT_REQUEST_IDS: tuple(known)[:_MAX_IDS]} if known else {}


def with_usage(attributes: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    """Add GenAI usage for a provider that bills STT by tokens; LiveKit's own STT spans have none."""
    for field, name in (("input_tokens", attr.USAGE_INPUT_TOKENS), ("output_tokens", attr.USAGE_OUTPUT_TOKENS)):
        tokens = attributes.get(attr.metric("stt", field))
        if tokens:
            attributes[name] = tokens
    return attributes


class PendingUsage:
    """Metrics that belong to no span yet, by model: in an adapter, each recognizer bills its own usage."""

    def __init__(self) -> None:
        self._by_model: dict[tuple[object, object], dict[str, AttributeValue]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_model)

    def add(self, fields: dict[str, AttributeValue]) -> None:
        """Add the attributes of one more metric."""
        key = _model(fields)
        self._by_model[key] = summed(self._by_model.get(key, {}), fields)

    def take(self, of: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
        """Take the usage of the model that these attributes name and of unnamed models; if they name none, take all."""
        wanted = _model(of)
        taken: dict[str, AttributeValue] = {}
        for key in list(self._by_model):
            if None in wanted or None in key or key == wanted:
                taken = summed(taken, self._by_model.pop(key))
        return with_usage(taken)

    def rest(self) -> list[dict[str, AttributeValue]]:
        """Take all usage that is left, one item for each model."""
        found, self._by_model = self._by_model, {}
        return [with_usage(one) for one in found.values()]


def _model(attributes: Mapping[str, AttributeValue]) -> tuple[object, object]:
    return attributes.get(attr.PROVIDER_NAME), attributes.get(attr.REQUEST_MODEL)
