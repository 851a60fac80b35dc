"""The usage buckets that have a price in Langfuse, by model.

Langfuse multiplies each bucket by the price of the same name; a bucket without a price costs nothing. Tokens are
therefore split only into buckets that have a price. The table follows the models that Langfuse 4.16 includes
(``worker/src/constants/default-model-prices.json`` in github.com/langfuse/langfuse, as of 2026-08-22). Any other model
has no price in Langfuse unless a project defines one; ``langfuse(price_buckets=…)`` names the prices of such a model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from ...errors import OptionError

__all__ = ["PLAIN", "Prices"]

#: The buckets that are priced for every text model.
PLAIN = frozenset({"input", "output"})
_CACHED, _WRITTEN, _REASONING = "input_cached_tokens", "input_cache_creation", "output_reasoning_tokens"
_AUDIO = frozenset({"input_text_tokens", "input_audio_tokens", "output_text_tokens", "output_audio_tokens"})
_GEMINI = PLAIN | {_CACHED, _REASONING, "input_text", "output_text"}

_TABLE: tuple[tuple[str, frozenset[str]], ...] = (
    (
        r"gpt-4o(-2024-(08-06|11-20))?|gpt-4o-mini(-2024-07-18)?|gpt-5\.4-(mini|nano)(-2026-03-17)?"
        r"|gpt-4\.1(-mini|-nano)?(-2025-04-14)?|gpt-4\.5-preview(-2025-02-27)?",
        PLAIN | {_CACHED},
    ),
    (
        r"o1(-2024-12-17)?|o1-(preview|mini)(-2024-09-12)?|o3(-2025-04-16)?|o3-mini(-2025-01-31)?"
        r"|o4-mini(-2025-04-16)?|gpt-5(-mini|-nano)?(-2025-08-07)?|gpt-5-chat-latest|gpt-5\.1(-2025-11-13)?"
        r"|gpt-5\.2(-2025-12-11)?|gpt-5\.3-codex|gpt-5\.4(-2026-03-05)?|gpt-5\.5(-2026-04-23)?",
        PLAIN | {_CACHED, _REASONING},
    ),
    (
        r"o1-pro(-2025-03-19)?|o3-pro(-2025-06-10)?|gpt-5-pro(-2025-10-06)?|gpt-5\.2-pro(-2025-12-11)?"
        r"|gpt-5\.4-pro(-2026-03-05)?|gpt-5\.5-pro(-2026-04-23)?",
        PLAIN | {_REASONING},
    ),
    (r"gpt-5\.6-(sol|terra|luna)", PLAIN | {_CACHED, _WRITTEN, _REASONING}),
    (
        r"(claude-3-sonnet-20240229|claude-3[-.]5-(sonnet-(20240620|20241022|latest)|haiku-(20241022|latest))"
        r"|claude-3[-.]7-sonnet-(20250219|latest)|claude-sonnet-4(-20250514|-latest)?|claude-sonnet-4-5(-20250929)?"
        r"|claude-opus-4(-20250514)?|claude-opus-4-1(-20250805)?|claude-haiku-4-5(-20251001)?"
        r"|claude-opus-4-5(-20251101)?|claude-sonnet-4-6|claude-opus-4-[678]|claude-(fable|mythos|sonnet|opus)-5)"
        # the names that Bedrock and Vertex use
        r"(-v\d(:0)?)?(@\d{8})?|claude-4-5-haiku@20251001",
        PLAIN | {_CACHED, _WRITTEN},
    ),
    (r"gemini-2\.5-flash(-lite)?|gemini-3\.1-flash-lite(-preview)?", _GEMINI | {"input_audio_tokens"}),
    (
        r"gemini-2\.5-pro|gemini-3-(pro|flash)-preview|gemini-3\.1-pro-preview(-customtools)?|gemini-3\.[567]-flash"
        r"|gemini-3\.5-flash-lite",
        _GEMINI,
    ),
    (
        r"gemini-live-2\.5-flash-native-audio",
        frozenset({"input_text", "input_audio", "input_image", "output_text", "output_audio"}),
    ),
    (r"gpt-4o-audio-preview(-2024-10-01)?", _AUDIO),
    (
        r"gpt-4o-realtime-preview(-2024-10-01)?",
        _AUDIO | {"input_cached_text_tokens", "input_cached_audio_tokens"},
    ),
)
_VENDOR = r"(?:openai/|anthropic/|google(?:ai)?/|(?:(?:eu|us|apac|au|jp|global)\.)?anthropic\.)?"
_PRICED = tuple((re.compile(f"{_VENDOR}(?:{pattern})", re.IGNORECASE), buckets) for pattern, buckets in _TABLE)


class Prices:
    """The table, preceded by the user's entries for models with prices of their own."""

    def __init__(self, own: Mapping[str, Iterable[str]] | None = None) -> None:
        """``own``: buckets by model name, in which ``*`` matches any text.

        Raises:
            OptionError: ``own`` is not a mapping of names to names.
        """
        self._own: list[tuple[str, frozenset[str]]] = []
        for model, buckets in _items(own):
            names = frozenset((buckets,) if isinstance(buckets, str) else buckets)
            if not isinstance(model, str) or not model or not names or not all(isinstance(n, str) and n for n in names):
                raise OptionError(
                    f"Langfuse: price_buckets[{model!r}] must be the names of the model's prices, not {buckets!r}"
                )
            self._own.append((model.lower(), names))

    def of(self, model: str) -> frozenset[str] | None:
        """The buckets that have a price; None for a model without a known price."""
        lower = model.lower()
        for pattern, buckets in self._own:
            if fnmatchcase(lower, pattern):
                return buckets
        return next((buckets for pattern, buckets in _PRICED if pattern.fullmatch(model)), None)


def _items(own: Mapping[str, Iterable[str]] | None) -> Iterable[tuple[str, Iterable[str]]]:
    if own is None:
        return ()
    if not isinstance(own, Mapping):
        raise OptionError(f"Langfuse: price_buckets must be a mapping of model names to bucket names, not {own!r}")
    return own.items()
