"""Wrappers around ``STT`` and ``RecognizeStream``: recognizers without streaming, and failures of all."""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context

from ...containment import contained
from .. import registry

if TYPE_CHECKING:
    from livekit.agents.stt import STT, RecognizeStream

#: set while a pipeline's recognizer stream runs: a recognize() call inside it is the pipeline's, not a tool's own
_in_stream: contextvars.ContextVar[bool] = contextvars.ContextVar("livekit_otel_stt_stream", default=False)


async def recognize(wrapped: Callable[..., Awaitable[Any]], stt: STT[Any], args: Any, kwargs: Any) -> Any:
    """``STT.recognize`` inside a pipeline's recognizer stream."""
    tracker = recognition = token = None
    if _in_stream.get():
        with contained("stt.recognize"):
            state = registry.current()
            if state is not None:
                tracker = state.stt
                recognition = tracker.begin_recognition(stt)
                if recognition.span is not None:
                    token = recognition.span.make_current()
    result: Any = None
    error: BaseException | None = None
    try:
        result = await wrapped(*args, **kwargs)
        return result
    except BaseException as raised:
        error = raised
        raise
    finally:
        with contained("stt.recognize.end"):
            if token is not None:
                otel_context.detach(token)
            if tracker is not None and recognition is not None:
                tracker.end_recognition(recognition, result, error)


async def stream_main_task(
    wrapped: Callable[..., Awaitable[Any]], stream: RecognizeStream, args: Any, kwargs: Any
) -> Any:
    """``RecognizeStream._main_task``: sees a failed stream, and marks the recognizers that run inside it."""
    _in_stream.set(True)
    try:
        return await wrapped(*args, **kwargs)
    except Exception as error:
        with contained("stt.stream"):
            state = registry.current()
            if state is not None:
                state.stt.failed(error)
        raise
