"""LLM: one span for each request, from the first attempt to the end of the stream."""

from __future__ import annotations

import contextvars
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from ..containment import contained
from . import livekit_api, messages, registry
from .request import Request, RequestTracker
from .values import clip, flatten, model_attributes, named_model, now_ns, to_ns

if TYPE_CHECKING:
    from .session import SessionState

#: the stream whose metrics task runs: the metrics that reach the session from there are this stream's
_reporting: contextvars.ContextVar[weakref.ref[Any] | None] = contextvars.ContextVar("livekit_otel_llm", default=None)


def _stream() -> Any | None:
    """The stream whose metrics task is running here."""
    reference = _reporting.get()
    return reference() if reference is not None else None


class LlmTracker(RequestTracker):
    """LLM requests of one session."""

    kind = attr.KIND_LLM

    def __init__(self, state: SessionState) -> None:
        super().__init__(state)
        self._input = messages.InputDelta()

    def begin(self, stream: Any) -> Request:
        handle = livekit_api.speech_handle()
        attributes: dict[str, AttributeValue] = {
            **named_model(stream._llm.provider, stream._llm.model),
            attr.REQUEST_STREAM: True,
            attr.OUTPUT_TYPE: "text",
        }
        if handle is not None and not handle.scheduled:
            attributes[attr.LLM_PREEMPTIVE] = True
        chat_ctx = getattr(stream, "_chat_ctx", None)
        if chat_ctx is not None:
            attributes[attr.LLM_INPUT_COUNT] = len(chat_ctx.items)
            if self._state.content:
                attributes.update(self._input.attributes(chat_ctx, self._state.llm_input))
        request = self.open(handle, attributes)
        request.native = livekit_api.native_span_current() and self._state.native
        if request.native:
            request.set({attr.LANGFUSE_USAGE: attr.LANGFUSE_COUNTED_ELSEWHERE})
        return request

    def metrics(self, metrics: Any) -> None:
        """LLMMetrics, of the stream that reports them or of a request that we did not see."""
        fields = {**flatten("llm", metrics), **model_attributes(metrics)}
        if metrics.request_id:
            fields[attr.RESPONSE_ID] = clip(metrics.request_id)
        usage = _usage(metrics)
        request = self.reporting(_stream())
        if request is None or request.has_metrics:
            end = to_ns(metrics.timestamp)
            fields.update({attr.LANGFUSE_USAGE: attr.LANGFUSE_COUNTED_ELSEWHERE} if self._state.native else usage)
            if metrics.ttft >= 0:
                fields[attr.TIME_TO_FIRST_CHUNK] = metrics.ttft
            self.unseen(end - to_ns(metrics.duration), end, {**fields, attr.OPERATION_NAME: "chat"}, metrics.speech_id)
            return
        if not request.native:
            fields.update(usage)
        request.reported(fields)

    def decision(self, metrics: Any) -> None:
        """DecisionMetrics: a small model that LiveKit asks on the side."""
        fields = {**flatten("decision", metrics), **model_attributes(metrics)}
        end = to_ns(metrics.timestamp)
        self.unseen(end - to_ns(metrics.duration), end, fields, None)


def _usage(metrics: Any) -> dict[str, AttributeValue]:
    usage: dict[str, AttributeValue] = {
        attr.USAGE_INPUT_TOKENS: metrics.prompt_tokens,
        attr.USAGE_OUTPUT_TOKENS: metrics.completion_tokens,
    }
    for field, name in (
        ("prompt_cached_tokens", attr.USAGE_CACHE_READ),
        ("cache_creation_tokens", attr.USAGE_CACHE_WRITE),
        ("reasoning_tokens", attr.USAGE_REASONING),
    ):
        if tokens := getattr(metrics, field, 0):
            usage[name] = tokens
    return usage


# --- wrappers --------------------------------------------------------------------------------------


@cache
def _stream_base() -> type:
    from livekit.agents.llm import LLMStream

    return LLMStream


async def main_task(wrapped: Callable[..., Awaitable[Any]], stream: Any, args: Any, kwargs: Any) -> Any:
    """``LLMStream._main_task``: the request with its retries."""
    request = token = None
    with contained("llm.begin"):
        state = registry.current()
        if state is not None and not livekit_api.delegates_metrics(stream, _stream_base()):
            request = state.llm.begin(stream)
            state.llm.remember(stream, request)
            if state.current_spans:
                token = request.stage.make_current_for_livekit()
    error: BaseException | None = None
    try:
        return await wrapped(*args, **kwargs)
    except BaseException as raised:
        error = raised
        raise
    finally:
        with contained("llm.end"):
            if token is not None:
                otel_context.detach(token)
            if request is not None:
                request.set({attr.LLM_ATTEMPTS: request.attempts})
                request.work_done(now_ns(), error)


async def metrics_monitor_task(wrapped: Callable[..., Awaitable[Any]], stream: Any, args: Any, kwargs: Any) -> Any:
    """``LLMStream._metrics_monitor_task(event_aiter)``: every chunk passes here, and the metrics come from here."""
    if livekit_api.delegates_metrics(stream, _stream_base()):
        return await wrapped(*args, **kwargs)
    answer = messages.Answer()
    with contained("llm.tap"):
        _reporting.set(weakref.ref(stream))
        if args:
            args = (_tap(args[0], answer), *args[1:])
        else:
            kwargs = {**kwargs, "event_aiter": _tap(kwargs["event_aiter"], answer)}
    try:
        return await wrapped(*args, **kwargs)
    finally:
        with contained("llm.report_end"):
            state = registry.current()
            request = state.llm.reporting(stream) if state is not None else None
            if state is not None and request is not None:
                request.set(answer.attributes(request.stage.start_ns, content=state.content))
                request.report_done()


async def _tap(chunks: Any, answer: messages.Answer) -> AsyncIterator[Any]:
    async for chunk in chunks:
        answer.chunk(chunk)
        yield chunk


def emit_error(wrapped: Callable[..., Any], stream: Any, args: Any, kwargs: Any) -> Any:
    """``_emit_error(error, recoverable)``: a failed attempt."""
    with contained("llm.attempt"):
        state = registry.current()
        request = state.llm.reporting(stream) if state is not None else None
        if request is not None and kwargs.get("recoverable", args[1] if len(args) > 1 else False):
            request.attempts += 1
    return wrapped(*args, **kwargs)
