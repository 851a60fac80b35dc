"""Use of models: the sums that LiveKit's ``ModelUsageCollector`` makes, from the metrics on stage spans.

Sums do not depend on the order in which spans arrive: integers are added, and seconds are added without rounding.
(LiveKit adds floats one after another; its seconds can differ from ours in the last digits.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import msgspec

from .. import attributes as attr
from ..spans import SpanRecord, number, text

__all__ = [
    "EOTUsage",
    "InterruptionUsage",
    "LLMUsage",
    "ModelUsage",
    "STTUsage",
    "TTSUsage",
    "UsageTally",
    "Use",
    "total",
    "usage_from",
    "use_of",
]


class _Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Use of one model. Durations are seconds; all else counts."""

    type: ClassVar[str]
    provider: str
    model: str

    def to_dict(self, *, zeros: bool = True) -> dict[str, Any]:
        """LiveKit's ``model_dump()``; without ``zeros`` like the usage in its report."""
        fields = msgspec.structs.asdict(self)
        kept = {name: value for name, value in fields.items() if zeros or value or isinstance(value, str)}
        return {"type": self.type, **kept}


class LLMUsage(_Usage, frozen=True, kw_only=True):
    type: ClassVar[str] = "llm_usage"
    input_tokens: int = 0
    input_cached_tokens: int = 0
    input_cache_creation_tokens: int = 0
    input_audio_tokens: int = 0
    input_cached_audio_tokens: int = 0
    input_text_tokens: int = 0
    input_cached_text_tokens: int = 0
    input_image_tokens: int = 0
    input_cached_image_tokens: int = 0
    output_tokens: int = 0
    output_audio_tokens: int = 0
    output_text_tokens: int = 0
    output_reasoning_tokens: int = 0
    session_duration: float = 0.0


class TTSUsage(_Usage, frozen=True, kw_only=True):
    type: ClassVar[str] = "tts_usage"
    input_tokens: int = 0
    output_tokens: int = 0
    characters_count: int = 0
    audio_duration: float = 0.0


class STTUsage(_Usage, frozen=True, kw_only=True):
    type: ClassVar[str] = "stt_usage"
    input_tokens: int = 0
    input_audio_tokens: int = 0
    output_tokens: int = 0
    audio_duration: float = 0.0


class InterruptionUsage(_Usage, frozen=True, kw_only=True):
    type: ClassVar[str] = "interruption_usage"
    total_requests: int = 0


class EOTUsage(_Usage, frozen=True, kw_only=True):
    type: ClassVar[str] = "eot_usage"
    total_requests: int = 0


ModelUsage: TypeAlias = LLMUsage | TTSUsage | STTUsage | InterruptionUsage | EOTUsage

#: in LiveKit's order of usage types
_TYPES: tuple[type[ModelUsage], ...] = (LLMUsage, TTSUsage, STTUsage, InterruptionUsage, EOTUsage)
_SECONDS = frozenset({"session_duration", "audio_duration"})
#: exact for every amount above a millisecond, and the same everywhere below
_SCALE = 128


_BY_TYPE = {one.type: one for one in _TYPES}


def usage_from(fields: Mapping[str, Any]) -> ModelUsage | None:
    """The usage that ``to_dict`` gave; None for what is no usage. Fields that are not known here are left out."""
    usage_type = _BY_TYPE.get(str(fields.get("type")))
    if usage_type is None:
        return None
    try:
        return msgspec.convert(fields, usage_type)
    except (msgspec.ValidationError, UnicodeEncodeError):
        return None


class _Source:
    """How the metrics of one kind of span count: usage field <- attribute."""

    def __init__(self, rank: int, stage: str, fields: Mapping[str, str]) -> None:
        self.rank = rank
        self.present = attr.metric(stage, "timestamp")
        self.provider = attr.metric(stage, "metadata.model_provider")
        self.model = attr.metric(stage, "metadata.model_name")
        #: RealtimeModelMetrics are stamped with the response's beginning, all others when they are sent
        self.late_by = attr.metric(stage, "duration") if stage == attr.KIND_REALTIME else None
        self.fields = tuple((field, attr.metric(stage, source), field in _SECONDS) for field, source in fields.items())


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
    """What one span used: the model (rank of its type, provider, name), when it was told, and amounts by field."""

    model: tuple[int, str, str]
    first: tuple[float, int, str]
    amounts: tuple[tuple[str, int], ...]


def use_of(record: SpanRecord) -> Use | None:
    """Read the usage on a span; None where it has no metrics."""
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
    """Adds up the usage on stage spans. Its size follows the number of models, not of spans."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[tuple[int, str, str], _Entry] = {}

    def add(self, use: Use) -> None:
        """Count what one span used."""
        entry = self._entries.get(use.model)
        if entry is None:
            entry = self._entries[use.model] = _Entry(use.first)
        elif use.first < entry.first:
            entry.first = use.first
        sums = entry.sums
        for field, amount in use.amounts:
            sums[field] = sums.get(field, 0) + amount

    def result(self) -> tuple[ModelUsage, ...]:
        """One record per model: by type, then in the order in which models were first used."""
        ordered = sorted(self._entries.items(), key=lambda item: (item[0][0], item[1].first))
        return tuple(_usage(rank, provider, model, entry.sums) for (rank, provider, model), entry in ordered)


def _usage(rank: int, provider: str, model: str, sums: Mapping[str, int]) -> ModelUsage:
    amounts: dict[str, Any] = {
        field: amount / (1 << _SCALE) if field in _SECONDS else amount for field, amount in sums.items()
    }
    return _TYPES[rank](provider=provider, model=model, **amounts)


def total(usage: Sequence[ModelUsage], name: str) -> int | float:
    """Sum over models of one of ``attributes.USAGE_SUMS``."""
    type_, field = attr.USAGE_SUMS[name]
    values = [getattr(one, field) for one in usage if one.type == type_]
    return math.fsum(values) if field in _SECONDS else sum(values)
