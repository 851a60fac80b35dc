"""Model usage: the same sums as LiveKit's ``ModelUsageCollector``, from the metrics on stage spans.

The sums do not depend on the order of the spans: integers are added, and seconds are added without rounding.
(LiveKit adds floats one after another, so the last digits of its seconds can differ.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from .. import attributes as attr
from ..spans import SpanRecord, number, text
from .model_usage import SECONDS, USAGE_TYPES, ModelUsage

__all__ = ["USAGE_ATTRIBUTES", "UsageTally", "Use", "use_of"]

#: exact for every amount above a millisecond, and independent of the order below that
_SCALE = 128


class _Source:
    """How the metrics of one kind of span count: usage field <- attribute."""

    def __init__(self, rank: int, stage: str, fields: Mapping[str, str]) -> None:
        self.rank = rank
        self.present = attr.metric(stage, "timestamp")
        self.provider = attr.metric(stage, "metadata.model_provider")
        self.model = attr.metric(stage, "metadata.model_name")
        #: RealtimeModelMetrics are stamped with the start of the response, all others with the time of sending
        self.late_by = attr.metric(stage, "duration") if stage == attr.KIND_REALTIME else None
        self.fields = tuple((field, attr.metric(stage, source), field in SECONDS) for field, source in fields.items())


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_CACHED = "input_token_details.cached_tokens_details"
_SOURCES = {
    attr.KIND_LLM: _Source(
        0,
        "llm",
        {
            "input_tokens": "prompt_tokens",
            "input_cached_tokens": "prompt_cached_tokens",
            "input_cache_creation_tokens": "cache_creation_tokens",
            "output_tokens": "completion_tokens",
            "output_reasoning_tokens": "reasoning_tokens",
        },
    ),
    attr.KIND_REALTIME: _Source(
        0,
        "realtime",
        {
            **_same("input_tokens", "output_tokens", "session_duration"),
            "input_cached_tokens": "input_token_details.cached_tokens",
            "input_text_tokens": "input_token_details.text_tokens",
            "input_image_tokens": "input_token_details.image_tokens",
            "input_audio_tokens": "input_token_details.audio_tokens",
            "input_cached_text_tokens": f"{_CACHED}.text_tokens",
            "input_cached_image_tokens": f"{_CACHED}.image_tokens",
            "input_cached_audio_tokens": f"{_CACHED}.audio_tokens",
            "output_text_tokens": "output_token_details.text_tokens",
            "output_audio_tokens": "output_token_details.audio_tokens",
        },
    ),
    attr.KIND_TTS: _Source(1, "tts", _same("input_tokens", "output_tokens", "characters_count", "audio_duration")),
    attr.KIND_STT: _Source(2, "stt", _same("input_tokens", "input_audio_tokens", "output_tokens", "audio_duration")),
    attr.KIND_INTERRUPTION: _Source(3, "interruption", {"total_requests": "num_requests"}),
    attr.KIND_EOU: _Source(4, "eot", {"total_requests": "num_requests"}),
}
USAGE_ATTRIBUTES = frozenset(
    name
    for source in _SOURCES.values()
    for name in (source.present, source.provider, source.model, *(one for _, one, _ in source.fields))
) | {attr.metric("realtime", "duration")}


class Use(msgspec.Struct, frozen=True, gc=False):
    """The usage of one span: the model (rank of its type, provider, name), the time of the report, amounts by field."""

    model: tuple[int, str, str]
    first: tuple[float, int, str]
    amounts: tuple[tuple[str, int], ...]


def use_of(record: SpanRecord) -> Use | None:
    """Read the usage from a span; None if it has no metrics."""
    source = _SOURCES.get(record.kind)
    attributes = record.attributes
    if source is None or source.present not in attributes:
        return None
    sent = number(attributes, source.present) or 0.0
    if source.late_by is not None:
        sent += number(attributes, source.late_by) or 0.0
    amounts = []
    for field, name, is_seconds in source.fields:
        value = number(attributes, name)
        if value:
            amounts.append((field, int(math.ldexp(value, _SCALE)) if is_seconds else int(value)))
    model = (source.rank, text(attributes, source.provider), text(attributes, source.model))
    return Use(model, (sent, record.start_ns, record.span_id), tuple(amounts))


class _Entry:
    __slots__ = ("first", "sums")

    def __init__(self, first: tuple[float, int, str]) -> None:
        self.first = first
        self.sums: dict[str, int] = {}


class UsageTally:
    """Sums the usage of stage spans. Its size depends on the number of models, not on the number of spans."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[tuple[int, str, str], _Entry] = {}

    def add(self, use: Use) -> None:
        """Add the usage of one span."""
        entry = self._entries.get(use.model)
        if entry is None:
            entry = self._entries[use.model] = _Entry(use.first)
        elif use.first < entry.first:
            entry.first = use.first
        sums = entry.sums
        for field, amount in use.amounts:
            sums[field] = sums.get(field, 0) + amount

    def result(self) -> tuple[ModelUsage, ...]:
        """One record per model: by type, then in the order of first use."""
        ordered = sorted(self._entries.items(), key=lambda item: (item[0][0], item[1].first))
        return tuple(_usage(rank, provider, model, entry.sums) for (rank, provider, model), entry in ordered)


def _usage(rank: int, provider: str, model: str, sums: Mapping[str, int]) -> ModelUsage:
    amounts: dict[str, Any] = {
        field: amount / (1 << _SCALE) if field in SECONDS else amount for field, amount in sums.items()
    }
    return USAGE_TYPES[rank](provider=provider, model=model, **amounts)
