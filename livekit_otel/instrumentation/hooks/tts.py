"""Wrappers around ``ChunkedStream`` and ``SynthesizeStream``: they cover every synthesis, with any plugin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from ... import attributes as attr
from ...containment import contained
from .. import livekit_api, registry
from . import node
from .adapter import run_adapter
from .wrapping import Args, Kwargs, ReportingStream, failed_attempt, run

if TYPE_CHECKING:
    from livekit.agents.tts import ChunkedStream, SynthesizeStream

    Stream: TypeAlias = ChunkedStream | SynthesizeStream

reporting: ReportingStream[Stream] = ReportingStream("livekit_otel_tts")


@cache
def _stream_bases() -> tuple[type, type]:
    from livekit.agents.tts import ChunkedStream, SynthesizeStream

    return ChunkedStream, SynthesizeStream


def _delegates(stream: Stream) -> bool:
    chunked, synthesizing = _stream_bases()
    return livekit_api.delegates_metrics(stream, chunked if isinstance(stream, chunked) else synthesizing)


def _text(stream: Stream) -> str:
    return getattr(stream, "_pushed_text", None) or getattr(stream, "_input_text", None) or ""


async def main_task(wrapped: Callable[..., Awaitable[Any]], stream: Stream, args: Args, kwargs: Kwargs) -> Any:
    """``ChunkedStream._main_task`` and ``SynthesizeStream._main_task``: the request with its retries."""
    return await node.inside(attr.KIND_TTS, _request, wrapped, stream, args, kwargs)


async def _request(wrapped: Callable[..., Awaitable[Any]], stream: Stream, args: Args, kwargs: Kwargs) -> Any:
    request = entered = adapter = state = None
    with contained("tts.begin"):
        state = registry.current()
        if state is not None and _delegates(stream):
            adapter = state.trackers.tts
        elif state is not None:
            request = state.trackers.tts.begin(stream)
            state.trackers.tts.remember(stream, request)
            entered = state.scope.layers.enter(request.span, stand_in=True)
    if adapter is not None:
        return await run_adapter(wrapped, args, kwargs, adapter, stream._tts)

    def finish(_result: object, error: BaseException | None) -> None:
        if entered is not None:
            entered.leave()
        if state is not None and request is not None:
            reports = getattr(stream, "_metrics_task", None) is not None
            started = getattr(stream, "_started_time", None) or None
            state.trackers.tts.ended(request, _text(stream), error, started, reports=reports)

    return await run(wrapped, args, kwargs, "tts.end", finish)


async def metrics_monitor_task(
    wrapped: Callable[..., Awaitable[Any]], stream: Stream, args: Args, kwargs: Kwargs
) -> Any:
    """``_metrics_monitor_task``: emits the metrics."""
    with contained("tts.report"):
        reporting.set(stream)
    try:
        return await wrapped(*args, **kwargs)
    finally:
        with contained("tts.report_end"):
            state = registry.current()
            request = state.trackers.tts.reporting(stream) if state is not None else None
            if request is not None:
                request.report_done()


def emit_error(wrapped: Callable[..., Any], stream: Stream, args: Args, kwargs: Kwargs) -> Any:
    """``_emit_error(error, recoverable)``: a failed attempt."""
    with contained("tts.attempt"):
        state = registry.current()
        request = state.trackers.tts.reporting(stream) if state is not None else None
        failed_attempt(request, args, kwargs)
    return wrapped(*args, **kwargs)
