"""docs/plugins.md: what each plugin's metrics carry and what not, as the played calls show it, and what we make of it.

``python -m tests.plugins.page DIRECTORY > docs/plugins.md``, with the directory of a whole run
(``python -m tests.plugins.play DIRECTORY pipeline``).
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from livekit_otel import SpanRecord
from livekit_otel import attributes as attr
from livekit_otel.spans import outcome

from .caller import STTS, TTSS
from .calls import BY_NAME
from .outcome import Outcome, outcomes

TEMPLATE = Path(__file__).with_name("page.md")
#: packages by name in the tables of plugins
_PACKAGES = {
    "nova": "deepgram",
    "flux": "deepgram",
    "ink": "cartesia",
    "assembly": "assemblyai",
    "aura": "deepgram",
    "sonic": "cartesia",
    "eleven": "elevenlabs",
}
_HOST = "127.0.0.1:9"
_YES = {True: "yes", False: "no"}
#: usage that comes this soon after a final transcript comes with it, seconds
_AT_ONCE = 0.25
_RECOGNIZERS = (
    "plugin",
    "model",
    "usage comes",
    "ids in metrics",
    "ids on spans",
    "confidence",
    "metric on connecting",
)
_VOICES = ("plugin", "model", "first byte and audio", "ids", "metrics when cut off", "metrics when it fails")
_MODELS = ("plugin", "model", "tokens", "cached tokens", "ids", "metrics when it fails")


def page(played: Mapping[str, Outcome]) -> str:
    """The page of these calls, which are all."""
    return TEMPLATE.read_text(encoding="utf-8").format(
        agents=version("livekit-agents"),
        recognizers=_table(_RECOGNIZERS, [_recognizer(name, played) for name in STTS]),
        voices=_table(_VOICES, [_voice(name, played) for name in TTSS]),
        models=_table(_MODELS, [_model(played)]),
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [" | ".join(row) for row in (head, *rows)]
    lines.insert(1, " | ".join("---" for _ in head))
    return "".join(f"| {line} |\n" for line in lines)


def _package(name: str) -> str:
    package = f"livekit-plugins-{_PACKAGES.get(name, name)}"
    return f"{package} {version(package)}"


def _recognizer(name: str, played: Mapping[str, Outcome]) -> tuple[str, ...]:
    made = STTS[name](_HOST)
    calls = [one for one in played.values() if BY_NAME[one.name].setup.stt == name]
    metrics = [metric for call in calls for metric in _metrics(call, "stt_metrics", made.model)]
    spans = [
        one for call in calls for one in _spans(call, attr.KIND_STT, made.model) if attr.STT_TEXT in one.attributes
    ]
    return (
        _package(name),
        made.model,
        _usage(calls, made.model),
        _YES[any(metric["request_id"] for metric in metrics)],
        _YES[any(attr.STT_REQUEST_IDS in one.attributes for one in spans)],
        _YES[any(attr.STT_CONFIDENCE in one.attributes for one in spans)],
        _YES[any(metric.get("acquire_time") for metric in metrics)],
    )


def _usage(calls: list[Outcome], model: str) -> str:
    """A plugin that bills with the words has as many metrics with audio as final transcripts in each call, and most of
    them follow one at once."""
    billed = [
        (call, one) for call in calls for one in _metrics(call, "stt_metrics", model) if one["audio_duration"] > 0
    ]
    each = all(sum(one is call for one, _ in billed) == len(call.times("stt final")) for call in calls)
    follow = sum(
        any(0 <= metric["timestamp"] - at <= _AT_ONCE + call.exact(at) for at in call.times("stt final"))
        for call, metric in billed
    )
    if each and 2 * follow > len(billed):
        return "with each final transcript"
    return f"every {statistics.median(metric['audio_duration'] for _, metric in billed):.0f} s of audio"


def _voice(name: str, played: Mapping[str, Outcome]) -> tuple[str, ...]:
    made = TTSS[name](_HOST)
    spans = [one for call in played.values() for one in _spans(call, attr.KIND_TTS, made.model)]
    finished = [one for one in spans if outcome(one.attributes) == attr.OUTCOME_COMPLETED]
    return (
        _package(name),
        made.model,
        _YES[all(_has(one, "ttfb") and _has(one, "audio_duration") for one in finished)],
        _YES[any(_has(one, "request_id") for one in finished)],
        _reported([one for one in spans if outcome(one.attributes) == attr.OUTCOME_CANCELLED]),
        _reported([one for one in spans if outcome(one.attributes) == attr.OUTCOME_ERROR]),
    )


def _reported(spans: list[SpanRecord]) -> str:
    if not spans:
        return "not played"
    return _YES[any(attr.metric(one.kind, "timestamp") in one.attributes for one in spans)]


def _has(span: SpanRecord, field: str) -> bool:
    return bool(span.attributes.get(attr.metric(span.kind, field)))


def _model(played: Mapping[str, Outcome]) -> tuple[str, ...]:
    spans = [one for call in played.values() for one in call.of_kind(attr.KIND_LLM)]
    finished = [one for one in spans if outcome(one.attributes) == attr.OUTCOME_COMPLETED]
    return (
        _package("openai"),
        str(finished[0].attributes[attr.REQUEST_MODEL]),
        _YES[all(_has(one, "prompt_tokens") and _has(one, "completion_tokens") for one in finished)],
        _YES[all(_has(one, "prompt_cached_tokens") for one in finished)],
        _YES[all(attr.RESPONSE_ID in one.attributes for one in finished)],
        _reported([one for one in spans if outcome(one.attributes) == attr.OUTCOME_ERROR]),
    )


def _metrics(call: Outcome, kind: str, model: str) -> Iterator[dict[str, Any]]:
    for metric in call.metrics:
        if metric["type"] == kind and (metric.get("metadata") or {}).get("model_name") == model:
            yield metric


def _spans(call: Outcome, kind: str, model: str) -> Iterator[SpanRecord]:
    for span in call.of_kind(kind):
        if span.attributes.get(attr.REQUEST_MODEL) == model:
            yield span


if __name__ == "__main__":
    sys.stdout.write(page(outcomes(Path(sys.argv[1]), BY_NAME)))
