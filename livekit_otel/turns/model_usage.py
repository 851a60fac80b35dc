"""Usage of one model, with the fields of LiveKit's classes of the same names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import msgspec

from .. import attributes as attr
from .._json import NOT_JSON

__all__ = [
    "SECONDS",
    "USAGE_TYPES",
    "EOTUsage",
    "InterruptionUsage",
    "LLMUsage",
    "ModelUsage",
    "STTUsage",
    "TTSUsage",
    "total",
    "usage_from",
]


class _Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Usage of one model. Durations are seconds; all other fields are counts."""

    type: ClassVar[str]
    provider: str
    model: str

    def to_dict(self, *, zeros: bool = True) -> dict[str, Any]:
        """LiveKit's ``model_dump()``; without ``zeros``, in the form of its report."""
        fields = msgspec.structs.asdict(self)
        kept = {name: value for name, value in fields.items() if zeros or value or isinstance(value, str)}
        return {"type": self.type, **kept}


class LLMUsage(_Usage, frozen=True, kw_only=True):
    """Usage of an LLM or a realtime model. ``session_duration`` is that of the connection, if the model bills it."""

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
    """Usage of speech synthesis."""

    type: ClassVar[str] = "tts_usage"
    input_tokens: int = 0
    output_tokens: int = 0
    characters_count: int = 0
    audio_duration: float = 0.0


class STTUsage(_Usage, frozen=True, kw_only=True):
    """Usage of speech recognition."""

    type: ClassVar[str] = "stt_usage"
    input_tokens: int = 0
    input_audio_tokens: int = 0
    output_tokens: int = 0
    audio_duration: float = 0.0


class InterruptionUsage(_Usage, frozen=True, kw_only=True):
    """Usage of a model that distinguishes interruptions from backchannels."""

    type: ClassVar[str] = "interruption_usage"
    total_requests: int = 0


class EOTUsage(_Usage, frozen=True, kw_only=True):
    """Usage of an end-of-turn model."""

    type: ClassVar[str] = "eot_usage"
    total_requests: int = 0


ModelUsage: TypeAlias = LLMUsage | TTSUsage | STTUsage | InterruptionUsage | EOTUsage
"""Usage of one model, by its type. Each type has ``provider``, ``model`` and ``to_dict()``."""

#: in LiveKit's order of usage types
USAGE_TYPES: tuple[type[ModelUsage], ...] = (LLMUsage, TTSUsage, STTUsage, InterruptionUsage, EOTUsage)
#: fields that are seconds
SECONDS = frozenset({"session_duration", "audio_duration"})
_BY_TYPE = {one.type: one for one in USAGE_TYPES}


def usage_from(fields: Mapping[str, Any]) -> ModelUsage | None:
    """The usage from a ``to_dict`` result; None if it is not usage. Unknown fields are ignored."""
    usage_type = _BY_TYPE.get(str(fields.get("type")))
    if usage_type is None:
        return None
    try:
        return msgspec.convert(fields, usage_type)
    except NOT_JSON:
        return None


def total(usage: Sequence[ModelUsage], name: str) -> int | float:
    """The sum over models of a field from ``attributes.USAGE_SUMS``."""
    type_, field = attr.USAGE_SUMS[name]
    values = [getattr(one, field) for one in usage if one.type == type_]
    return math.fsum(values) if field in SECONDS else sum(values)
