"""Usage in Langfuse's format: integer buckets that do not overlap, since Langfuse shows their sum as the total.

The cost of a bucket is the price of the same name, or nothing without such a price. Tokens are therefore split into
buckets that are priced for the model (:mod:`.prices`); tokens without a bucket of their own count in a more general
bucket.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ... import attributes as attr
from .prices import PLAIN, Prices

__all__ = ["is_billed", "model_of", "usage_buckets"]

_MODALITIES = ("text", "audio", "image")
_MODEL = (attr.LANGFUSE_MODEL, attr.RESPONSE_MODEL, attr.REQUEST_MODEL)
#: The first name with a price is used.
_INPUT, _OUTPUT = ("input", "input_text_tokens", "input_text"), ("output", "output_text_tokens", "output_text")
_CACHED = ("input_cached_tokens", "input_cached_text_tokens", "input_cached_text", *_INPUT)
_Part = tuple[tuple[str, ...], int]


def model_of(attributes: Mapping[str, Any]) -> str:
    """The model whose price Langfuse uses; an empty string if there is none."""
    return next((str(attributes[name]) for name in _MODEL if attributes.get(name)), "")


def is_billed(attributes: Mapping[str, Any]) -> bool:
    """Whether Langfuse counts tokens or costs of a span, or estimates them from the texts of its model."""
    if model_of(attributes) or attr.LANGFUSE_USAGE in attributes or attr.LANGFUSE_COST in attributes:
        return True
    return any(name.startswith(attr.BILLED_PREFIXES) for name in attributes)


def usage_buckets(
    kind: str, attributes: Mapping[str, Any], *, metrics: bool, units: bool, prices: Prices
) -> dict[str, int]:
    """Buckets of one span, without empty ones.

    Args:
        metrics: whether to use LiveKit's metrics of the stage if ``gen_ai.usage.*`` is absent. False if LiveKit's own
            spans also go to Langfuse, because those then carry the usage.
        units: also return characters and milliseconds, and the token total, which Langfuse would otherwise sum up.
    """
    known = _Reader(attributes)
    metrics = metrics or known.has(attr.USAGE_INPUT_TOKENS) or known.has(attr.USAGE_OUTPUT_TOKENS)
    model = model_of(attributes)
    priced = prices.of(model)
    if kind == attr.KIND_REALTIME and metrics and known.has(attr.metric(kind, "input_tokens")):
        parts, wide = _modalities(known, _METRIC_NAMES), True
    elif any(known(name) for name in _GENAI_NAMES.modalities):
        parts, wide = _modalities(known, _GENAI_NAMES), True
    else:
        parts, wide = _tokens(*_totals(kind, known, metrics=metrics)), False
    if priced is None:
        priced = _unlisted(model) if wide else PLAIN
    buckets = _spread(parts, priced)
    return _with_units(kind, known, buckets) if units and kind in (attr.KIND_STT, attr.KIND_TTS) else buckets


class _Reader:
    """Reads counts from attributes; any value other than a positive number reads as 0."""

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        self._attributes = attributes

    def has(self, name: str) -> bool:
        return name in self._attributes

    def __call__(self, name: str, scale: float = 1) -> int:
        value = self._attributes.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 2**53:
            return 0
        return round(value * scale)


class _Names:
    """The attribute names of the counts of a speech-to-speech model."""

    def __init__(self, total_in: str, total_out: str, cached: str, details: tuple[str, str, str]) -> None:
        self.total_in, self.total_out, self.cached = total_in, total_out, cached
        self.in_, self.out, self.cached_in = details
        self.modalities = [pattern.format(one) for pattern in details for one in _MODALITIES]


def _realtime_metric(field: str) -> str:
    return attr.metric(attr.KIND_REALTIME, field)


_METRIC_NAMES = _Names(
    _realtime_metric("input_tokens"),
    _realtime_metric("output_tokens"),
    _realtime_metric("input_token_details.cached_tokens"),
    (
        _realtime_metric("input_token_details.{}_tokens"),
        _realtime_metric("output_token_details.{}_tokens"),
        _realtime_metric("input_token_details.cached_tokens_details.{}_tokens"),
    ),
)
_GENAI_NAMES = _Names(
    attr.USAGE_INPUT_TOKENS,
    attr.USAGE_OUTPUT_TOKENS,
    attr.USAGE_CACHE_READ,
    (attr.USAGE_MODALITY_INPUT, attr.USAGE_MODALITY_OUTPUT, attr.USAGE_MODALITY_CACHE_READ),
)


def _totals(kind: str, known: _Reader, *, metrics: bool) -> tuple[int, int, int, int, int]:
    """Input and output tokens; cached and written tokens (part of input), reasoning tokens (part of output)."""
    if kind == attr.KIND_LLM and metrics and known.has(attr.metric(kind, "prompt_tokens")):
        fields = (
            "prompt_tokens",
            "completion_tokens",
            "prompt_cached_tokens",
            "cache_creation_tokens",
            "reasoning_tokens",
        )
        total_in, total_out, cached, written, reasoning = (known(attr.metric(kind, field)) for field in fields)
        return total_in, total_out, cached, written, reasoning
    if kind == attr.KIND_LLM and metrics and known.has(attr.metric("decision", "input_tokens")):
        return known(attr.metric("decision", "input_tokens")), known(attr.metric("decision", "output_tokens")), 0, 0, 0
    return (
        known(attr.USAGE_INPUT_TOKENS),
        known(attr.USAGE_OUTPUT_TOKENS),
        known(attr.USAGE_CACHE_READ),
        known(attr.USAGE_CACHE_WRITE) or known(attr.NATIVE_CACHE_WRITE),
        known(attr.USAGE_REASONING),
    )


def _tokens(total_in: int, total_out: int, cached: int, written: int, reasoning: int) -> Iterable[_Part]:
    """Split the totals into parts; a part that exceeds its total is reduced so that the sum stays correct."""
    cached = min(cached, total_in)
    written = min(written, total_in - cached)
    reasoning = min(reasoning, total_out)
    return (
        (_INPUT, total_in - cached - written),
        (_CACHED, cached),
        (("input_cache_creation", *_INPUT), written),
        (_OUTPUT, total_out - reasoning),
        (("output_reasoning_tokens", *_OUTPUT), reasoning),
    )


def _modalities(known: _Reader, names: _Names) -> Iterable[_Part]:
    rest_in, rest_out = known(names.total_in), known(names.total_out)
    rest_cached = min(known(names.cached), rest_in)
    parts: list[tuple[tuple[str, ...], int]] = []
    text = 0
    for modality in _MODALITIES:
        total = min(known(names.in_.format(modality)), rest_in)
        cached = min(known(names.cached_in.format(modality)), total, rest_cached)
        out = min(known(names.out.format(modality)), rest_out)
        wide_in, wide_out = _wider("input", modality), _wider("output", modality)
        cached_names = (f"input_cached_{modality}_tokens", f"input_cached_{modality}", "input_cached_tokens")
        parts += [((*cached_names, *wide_in), cached), (wide_out, out)]
        if modality == "text":
            text = total - cached
        else:
            parts.append((wide_in, total - cached))
        rest_in, rest_out, rest_cached = rest_in - total, rest_out - out, rest_cached - cached
    # tokens of unknown modality; cached tokens of unknown modality are subtracted from these, then from text
    from_rest = min(rest_cached, rest_in)
    from_text = min(rest_cached - from_rest, text)
    parts.append((_wider("input", "text"), text - from_text))
    return (*parts, (_INPUT, rest_in - from_rest), (_CACHED, from_rest + from_text), (_OUTPUT, rest_out))


def _wider(direction: str, modality: str) -> tuple[str, ...]:
    """Buckets of a modality, then of text, then the general bucket."""
    of_text = (f"{direction}_text_tokens", f"{direction}_text", direction)
    return of_text if modality == "text" else (f"{direction}_{modality}_tokens", f"{direction}_{modality}", *of_text)


def _unlisted(model: str) -> frozenset[str]:
    """The buckets of a speech-to-speech model without a known price: every modality separately, by the usual names."""
    suffix = "" if "gemini" in model.lower() else "_tokens"
    found = {f"{where}_{modality}{suffix}" for where in ("input", "input_cached", "output") for modality in _MODALITIES}
    return PLAIN | found | {"input_cached_tokens"}


def _spread(parts: Iterable[_Part], priced: frozenset[str]) -> dict[str, int]:
    buckets: dict[str, int] = {}
    for names, count in parts:
        if count:
            # a model without any such price still counts them
            name = next((name for name in names if name in priced), "input" if names[-1] in _INPUT else "output")
            buckets[name] = buckets.get(name, 0) + count
    return buckets


def _with_units(kind: str, known: _Reader, buckets: dict[str, int]) -> dict[str, int]:
    billed = {"milliseconds": known(attr.metric(kind, "audio_duration"), 1000)}
    if kind == attr.KIND_TTS:
        billed["characters"] = known(attr.metric(kind, "characters_count"))
    billed = {name: count for name, count in billed.items() if count}
    return {**buckets, **billed, "total": sum(buckets.values())} if billed else buckets
