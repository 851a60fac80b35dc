"""Wrappers around ``LLMStream``: they cover every request, with any plugin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from ... import attributes as attr
from ...containment import contained
from .. import livekit_api, messages, registry
from ..span import SpanOwner
from . import amd, node, tool
from .adapter import run_adapter
from .wrapping import Args, Kwargs, ReportingStream, failed_attempt, run

if TYPE_CHECKING:
    from livekit.agents.llm import ChatChunk, LLMStream

    from ..session import SessionState

reporting: ReportingStream[LLMStream] = ReportingStream("livekit_otel_llm")


@cache
def _stream_base() -> type:
    from livekit.agents.llm import LLMStream

    return LLMStream


def _owner(state: SessionState) -> SpanOwner | None:
    """Return the owner of a request beside the conversation: a tool call, a turn or the session; None for a speech."""
    if amd.detecting():
        return state.scope
    call = tool.current_call()
    handle = livekit_api.speech_handle()
    if handle is None:
        return state.trackers.turns.owner()
    return call if call is not None and handle is call.handle else None


async def main_task(wrapped: Callable[..., Awaitable[Any]], stream: LLMStream, args: Args, kwargs: Kwargs) -> Any:
    """``LLMStream._main_task``: the request with its retries."""
    return await node.inside(attr.KIND_LLM, _request, wrapped, stream, args, kwargs)


async def _request(wrapped: Callable[..., Awaitable[Any]], stream: LLMStream, args: Args, kwargs: Kwargs) -> Any:
    request = entered = adapter = state = None
    with contained("llm.begin"):
        state = registry.current()
        if state is not None and livekit_api.delegates_metrics(stream, _stream_base()):
            adapter = state.trackers.llm
        elif state is not None:
            request = state.trackers.llm.begin(stream, _owner(state))
            state.trackers.llm.remember(stream, request)
            entered = state.scope.layers.enter(request.span, stand_in=True)
    if adapter is not None:
        return await run_adapter(wrapped, args, kwargs, adapter, stream._llm)

    def finish(_result: object, error: BaseException | None) -> None:
        if entered is not None:
            entered.leave()
        if state is not None and request is not None:
            state.trackers.llm.work_done(request, error)

    return await run(wrapped, args, kwargs, "llm.end", finish)


async def metrics_monitor_task(
    wrapped: Callable[..., Awaitable[Any]], stream: LLMStream, args: Args, kwargs: Kwargs
) -> Any:
    """``LLMStream._metrics_monitor_task(event_aiter)``: reads every chunk and emits the metrics."""
    if livekit_api.delegates_metrics(stream, _stream_base()):
        return await wrapped(*args, **kwargs)
    answer = None
    with contained("llm.tap"):
        state = registry.current()
        if state is not None:
            answer = messages.Answer(state.scope.clock)
            reporting.set(stream)
            if args:
                args = (_tap(args[0], answer), *args[1:])
            else:
                kwargs = {**kwargs, "event_aiter": _tap(kwargs["event_aiter"], answer)}
    try:
        return await wrapped(*args, **kwargs)
    finally:
        with contained("llm.report_end"):
            state = registry.current()
            request = state.trackers.llm.reporting(stream) if state is not None else None
            if state is not None and request is not None:
                if answer is not None:
                    state.trackers.llm.reported(request, stream, answer)
                else:
                    request.report_done()


async def _tap(chunks: AsyncIterator[ChatChunk], answer: messages.Answer) -> AsyncIterator[ChatChunk]:
    async for chunk in chunks:
        answer.chunk(chunk)
        yield chunk


def emit_error(wrapped: Callable[..., Any], stream: LLMStream, args: Args, kwargs: Kwargs) -> Any:
    """``_emit_error(error, recoverable)``: a failed attempt."""
    with contained("llm.attempt"):
        state = registry.current()
        request = state.trackers.llm.reporting(stream) if state is not None else None
        failed_attempt(request, args, kwargs)
    return wrapped(*args, **kwargs)
