"""Scripts of turns on exact times: what happens, in seconds, becomes span records."""

from __future__ import annotations

import itertools
from typing import Any

from livekit_otel import attributes as attr
from livekit_otel.spans import SpanRecord

#: unix nanoseconds of second 0 of every script
ZERO = 1_800_000_000_000_000_000
SESSION = "f" * 16


def ns(seconds: float) -> int:
    return ZERO + round(seconds * 1e9)


class Script:
    """One session. Times are seconds since its beginning."""

    def __init__(self) -> None:
        self.spans: list[SpanRecord] = []
        self._ids = itertools.count(1)
        self._turns = 0

    def span(self, kind: str, start: float, end: float, parent: str | None, **attributes: Any) -> SpanRecord:
        record = SpanRecord(
            trace_id="a" * 32,
            span_id=format(next(self._ids), "016x"),
            parent_id=parent,
            name=kind,
            start_ns=ns(start),
            end_ns=ns(end),
            attributes={attr.KIND: kind, attr.SESSION_ID: "s", **attributes},
        )
        self.spans.append(record)
        return record

    def turn(self, start: float, end: float, *, has_user: bool = True, **attributes: Any) -> Exchange:
        more = {attr.TURN_INDEX: self._turns, attr.TURN_HAS_USER: has_user, **attributes}
        self._turns += 1
        return Exchange(self, self.span(attr.KIND_TURN, start, end, SESSION, **more).span_id)

    def loose(self) -> Exchange:
        """Stages that hang below the session."""
        return Exchange(self, SESSION)


class Exchange:
    """The stages of one turn. ``speech`` is the speech id; "A" is what answers the user."""

    def __init__(self, script: Script, span_id: str) -> None:
        self._script = script
        self.span_id = span_id

    def stage(self, kind: str, start: float, end: float, speech: str | None = None, **attributes: Any) -> SpanRecord:
        if speech is not None:
            attributes[attr.SPEECH_ID] = speech
        return self._script.span(kind, start, end, self.span_id, **{attr.OUTCOME: "completed", **attributes})

    def vad(self, start: float, end: float) -> SpanRecord:
        return self.stage(attr.KIND_VAD, start, end, **{attr.VAD_SPEECH: True})  # type: ignore[arg-type]

    def stt(self, start: float, end: float, **attributes: Any) -> SpanRecord:
        return self.stage(attr.KIND_STT, start, end, **attributes)

    def eou(self, start: float, end: float, *, hook: float | None = 0.0, speech: str | None = "A") -> SpanRecord:
        more: dict[str, Any] = {attr.EOU_COMMITTED: True}
        if hook is not None:
            more[attr.metric("eou", "on_user_turn_completed_delay")] = hook
        return self.stage(attr.KIND_EOU, start, end, speech, **more)

    def not_committed(self, start: float, end: float) -> SpanRecord:
        return self.stage(attr.KIND_EOU, start, end, **{attr.EOU_COMMITTED: False, attr.OUTCOME: "not_committed"})  # type: ignore[arg-type]

    def llm(
        self, start: float, end: float, ttft: float | None = None, speech: str | None = "A", **more: Any
    ) -> SpanRecord:
        if ttft is not None:
            more = {attr.TIME_TO_FIRST_CHUNK: ttft, attr.RESPONSE_FINISH_REASONS: ("stop",), **more}
        return self.stage(attr.KIND_LLM, start, end, speech, **more)

    def tts(
        self,
        start: float,
        end: float,
        first: float | None,
        *,
        ttfb: float | None = None,
        speech: str | None = "A",
        **more: Any,
    ) -> SpanRecord:
        """``first``: span start to first audio; ``ttfb``: provider's start to first audio."""
        if first is not None:
            more[attr.TTS_FIRST_BYTE] = first
        if ttfb is not None:
            more[attr.metric("tts", "ttfb")] = ttfb
        return self.stage(attr.KIND_TTS, start, end, speech, **more)

    def tool(self, start: float, end: float, speech: str | None = "A", **more: Any) -> SpanRecord:
        return self.stage(attr.KIND_TOOL, start, end, speech, **more)

    def playback(self, start: float, end: float, speech: str | None = "A", **more: Any) -> SpanRecord:
        return self.stage(attr.KIND_PLAYBACK, start, end, speech, **{attr.PLAYBACK_INTERRUPTED: False, **more})

    def realtime(self, start: float, end: float, first: float | None, speech: str | None = "A", **m: Any) -> SpanRecord:
        if first is not None:
            m[attr.REALTIME_FIRST_AUDIO] = first
        return self.stage(attr.KIND_REALTIME, start, end, speech, **m)

    def verdict(self, start: float, end: float, verdict: str) -> SpanRecord:
        return self.stage(attr.KIND_INTERRUPTION, start, end, **{attr.INTERRUPTION_VERDICT: verdict})


def llm_metrics(prompt: int, completion: int, at: float, *, cached: int = 0, model: str = "gpt") -> dict[str, Any]:
    """LLMMetrics as span attributes."""
    return {
        attr.metric("llm", "timestamp"): 1_800_000_000 + at,
        attr.metric("llm", "prompt_tokens"): prompt,
        attr.metric("llm", "completion_tokens"): completion,
        attr.metric("llm", "prompt_cached_tokens"): cached,
        attr.metric("llm", "metadata.model_name"): model,
        attr.metric("llm", "metadata.model_provider"): "openai",
        attr.REQUEST_MODEL: model,
        attr.PROVIDER_NAME: "openai",
    }


def tts_metrics(characters: int, audio: float, at: float) -> dict[str, Any]:
    """TTSMetrics as span attributes."""
    return {
        attr.metric("tts", "timestamp"): 1_800_000_000 + at,
        attr.metric("tts", "characters_count"): characters,
        attr.metric("tts", "audio_duration"): audio,
        attr.metric("tts", "metadata.model_name"): "voice",
        attr.metric("tts", "metadata.model_provider"): "cartesia",
        attr.REQUEST_MODEL: "voice",
        attr.PROVIDER_NAME: "cartesia",
    }


def stt_metrics(audio: float, at: float) -> dict[str, Any]:
    """STTMetrics as span attributes."""
    return {
        attr.metric("stt", "timestamp"): 1_800_000_000 + at,
        attr.metric("stt", "audio_duration"): audio,
        attr.metric("stt", "metadata.model_name"): "nova",
        attr.metric("stt", "metadata.model_provider"): "deepgram",
    }
