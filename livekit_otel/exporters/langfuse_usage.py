"""Usage as Langfuse counts it: buckets of whole numbers that do not overlap, since their sum is the total it shows.

Bucket names are those that Langfuse's own price list knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import attributes as attr

__all__ = ["usage_buckets"]

_MODALITIES = ("text", "audio", "image")


def usage_buckets(kind: str, attributes: Mapping[str, Any], *, metrics: bool, units: bool) -> dict[str, int]:
    """Buckets of one span, without empty ones.

    Args:
        metrics: whether LiveKit's metrics of the stage count where ``gen_ai.usage.*`` is absent. Not where LiveKit's
            own spans go to Langfuse as well: then those carry the usage.
        units: also characters and milliseconds, and the total of tokens, so that the sum is not taken for it.
    """
    known = _Reader(attributes)
    metrics = metrics or known.has(attr.USAGE_INPUT_TOKENS) or known.has(attr.USAGE_OUTPUT_TOKENS)
    if kind == attr.KIND_REALTIME and metrics and known.has(attr.metric(kind, "input_tokens")):
        buckets = _realtime(known, str(attributes.get(attr.RESPONSE_MODEL) or attributes.get(attr.REQUEST_MODEL) or ""))
    elif kind == attr.KIND_LLM and metrics and known.has(attr.metric(kind, "prompt_tokens")):
        buckets = _tokens(
            known(attr.metric(kind, "prompt_tokens")),
            known(attr.metric(kind, "completion_tokens")),
            known(attr.metric(kind, "prompt_cached_tokens")),
            known(attr.metric(kind, "cache_creation_tokens")),
            known(attr.metric(kind, "reasoning_tokens")),
        )
    elif kind == attr.KIND_LLM and metrics and known.has(attr.metric("decision", "input_tokens")):
        buckets = _tokens(
            known(attr.metric("decision", "input_tokens")), known(attr.metric("decision", "output_tokens"))
        )
    else:
        buckets = _tokens(
            known(attr.USAGE_INPUT_TOKENS),
            known(attr.USAGE_OUTPUT_TOKENS),
            known(attr.USAGE_CACHE_READ),
            known(attr.USAGE_CACHE_WRITE) or known(attr.NATIVE_CACHE_WRITE),
            known(attr.USAGE_REASONING),
        )
    buckets = {name: count for name, count in buckets.items() if count}
    return _with_units(kind, known, buckets) if units and kind in (attr.KIND_STT, attr.KIND_TTS) else buckets


class _Reader:
    """Counts among attributes: anything else than a number from 0 up is 0."""

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        self._attributes = attributes

    def has(self, name: str) -> bool:
        return name in self._attributes

    def __call__(self, name: str, scale: float = 1) -> int:
        value = self._attributes.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 2**53:
            return 0
        return round(value * scale)


def _tokens(total_in: int, total_out: int, cached: int = 0, written: int = 0, reasoning: int = 0) -> dict[str, int]:
    """Parts are inside of the totals; a part that does not fit is cut, so that the sum stays true."""
    cached = min(cached, total_in)
    written = min(written, total_in - cached)
    reasoning = min(reasoning, total_out)
    return {
        "input": total_in - cached - written,
        "input_cached_tokens": cached,
        "input_cache_creation": written,
        "output": total_out - reasoning,
        "output_reasoning_tokens": reasoning,
    }


def _realtime(known: _Reader, model: str) -> dict[str, int]:
    def field(name: str) -> int:
        return known(attr.metric(attr.KIND_REALTIME, name))

    # the price list names the buckets of Gemini and of all others differently
    suffix = "" if "gemini" in model.lower() else "_tokens"
    rest_in, rest_out, rest_cached = field("input_tokens"), field("output_tokens"), 0
    buckets: dict[str, int] = {}
    rest_cached = min(field("input_token_details.cached_tokens"), rest_in)
    for modality in _MODALITIES:
        total = min(field(f"input_token_details.{modality}_tokens"), rest_in)
        cached = min(field(f"input_token_details.cached_tokens_details.{modality}_tokens"), total, rest_cached)
        out = min(field(f"output_token_details.{modality}_tokens"), rest_out)
        buckets[f"input_{modality}{suffix}"] = total - cached
        buckets[f"input_cached_{modality}{suffix}"] = cached
        buckets[f"output_{modality}{suffix}"] = out
        rest_in, rest_out, rest_cached = rest_in - total, rest_out - out, rest_cached - cached
    # what no detail tells of; cached tokens of no known modality are taken from it, then from text
    from_rest = min(rest_cached, rest_in)
    from_text = min(rest_cached - from_rest, buckets[f"input_text{suffix}"])
    buckets[f"input_text{suffix}"] -= from_text
    return {
        **buckets,
        "input": rest_in - from_rest,
        "input_cached_tokens": from_rest + from_text,
        "output": rest_out,
    }


def _with_units(kind: str, known: _Reader, buckets: dict[str, int]) -> dict[str, int]:
    billed = {"milliseconds": known(attr.metric(kind, "audio_duration"), 1000)}
    if kind == attr.KIND_TTS:
        billed["characters"] = known(attr.metric(kind, "characters_count"))
    billed = {name: count for name, count in billed.items() if count}
    return {**buckets, **billed, "total": sum(buckets.values())} if billed else buckets
