"""TTS: one span for each synthesis request, chunked or streaming."""

from __future__ import annotations

import contextvars
import time
import weakref
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from . import livekit_api, registry
from .guard import contained
from .request import Request, RequestTracker, run_adapter
from .values import clip, flatten, model_attributes, named_model, now_ns, to_ns

if TYPE_CHECKING:
    from .session import SessionState

_reporting: contextvars.ContextVar[weakref.ref[Any] | None] = contextvars.ContextVar("livekit_otel_tts", default=None)


def _stream() -> Any | None:
    """The stream whose metrics task is running here."""
    reference = _reporting.get()
    return reference() if reference is not None else None


class TtsTracker(RequestTracker):
    """Synthesis requests of one session."""

    kind = attr.KIND_TTS

    def __init__(self, state: SessionState) -> None:
        super().__init__(state)

    def begin(self, stream: Any) -> Request:
        attributes: dict[str, AttributeValue] = {
            **named_model(stream._tts.provider, stream._tts.model),
            attr.OUTPUT_TYPE: "speech",
        }
        return self.open(livekit_api.speech_handle(), attributes)

    def metrics(self, metrics: Any) -> None:
        """TTSMetrics, of the stream that reports them or of a request that we did not see."""
        fields = {**flatten("tts", metrics), **model_attributes(metrics)}
        for field, name in (("input_tokens", attr.USAGE_INPUT_TOKENS), ("output_tokens", attr.USAGE_OUTPUT_TOKENS)):
            if tokens := getattr(metrics, field, 0):
                fields[name] = tokens
        stream = _stream()
        request = self.reporting(stream)
        if request is None or request.has_metrics:
            end = to_ns(metrics.timestamp)
            if metrics.ttfb >= 0:
                fields[attr.TTS_FIRST_BYTE] = metrics.ttfb
            self.unseen(end - to_ns(metrics.duration), end, fields, metrics.speech_id)
            return
        if metrics.ttfb >= 0:
            # LiveKit counts from the first text that reached the provider, the span from the request
            since = time.perf_counter() - (getattr(stream, "_started_time", 0) or time.perf_counter())
            first = now_ns() - to_ns(since) + to_ns(metrics.ttfb)
            fields[attr.TTS_FIRST_BYTE] = max(0.0, (first - request.stage.start_ns) / 1e9)
        request.reported(fields)


# --- wrappers --------------------------------------------------------------------------------------


@cache
def _stream_bases() -> tuple[type, type]:
    from livekit.agents.tts import ChunkedStream, SynthesizeStream

    return ChunkedStream, SynthesizeStream


def _delegates(stream: Any) -> bool:
    chunked, synthesizing = _stream_bases()
    return livekit_api.delegates_metrics(stream, chunked if isinstance(stream, chunked) else synthesizing)


def _text(stream: Any) -> str:
    return getattr(stream, "_pushed_text", None) or getattr(stream, "_input_text", None) or ""


async def main_task(wrapped: Callable[..., Awaitable[Any]], stream: Any, args: Any, kwargs: Any) -> Any:
    """``ChunkedStream._main_task`` and ``SynthesizeStream._main_task``: the request with its retries."""
    request = entered = adapter = state = None
    with contained("tts.begin"):
        state = registry.current()
        if state is not None and _delegates(stream):
            adapter = state.tts
        elif state is not None:
            request = state.tts.begin(stream)
            state.tts.remember(stream, request)
            entered = state.layers.enter(request.stage, stand_in=True)
    if adapter is not None:
        return await run_adapter(wrapped, args, kwargs, adapter, stream._tts)
    error: BaseException | None = None
    try:
        return await wrapped(*args, **kwargs)
    except BaseException as raised:
        error = raised
        raise
    finally:
        with contained("tts.end"):
            if entered is not None:
                entered.leave()
            if state is not None and request is not None:
                _end(state, stream, request, error)


def _end(state: SessionState, stream: Any, request: Request, error: BaseException | None) -> None:
    text = _text(stream)
    if not text and (error is None or not isinstance(error, Exception)):
        # a stream that was opened and never given text asked for nothing: its span is never ended, so never exported
        state.tts.finished(request)
        state.spans.count -= 1
        return
    if state.content and text:
        request.set({attr.TTS_TEXT: clip(text)})
    request.set({attr.TTS_ATTEMPTS: request.attempts})
    request.work_done(now_ns(), error)
    if getattr(stream, "_metrics_task", None) is None:
        request.report_done()


async def metrics_monitor_task(wrapped: Callable[..., Awaitable[Any]], stream: Any, args: Any, kwargs: Any) -> Any:
    """``_metrics_monitor_task``: the metrics come from here."""
    with contained("tts.report"):
        _reporting.set(weakref.ref(stream))
    try:
        return await wrapped(*args, **kwargs)
    finally:
        with contained("tts.report_end"):
            state = registry.current()
            request = state.tts.reporting(stream) if state is not None else None
            if request is not None:
                request.report_done()


def emit_error(wrapped: Callable[..., Any], stream: Any, args: Any, kwargs: Any) -> Any:
    """``_emit_error(error, recoverable)``: a failed attempt."""
    with contained("tts.attempt"):
        state = registry.current()
        request = state.tts.reporting(stream) if state is not None else None
        if request is not None and kwargs.get("recoverable", args[1] if len(args) > 1 else False):
            request.attempts += 1
    return wrapped(*args, **kwargs)
