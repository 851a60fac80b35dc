"""Wrappers around ``STT`` and ``RecognizeStream``: calls of non-streaming recognizers, and all STT failures."""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from ...containment import contained
from .. import livekit_api, registry
from ..agents import agent_id
from . import amd
from .wrapping import Args, Kwargs, recovered_from, run

if TYPE_CHECKING:
    from livekit.agents.stt import STT, RecognizeStream
    from livekit.agents.voice.agent_activity import AgentActivity

    from ..trackers.stt import SttTracker

#: set while a session's recognizer stream runs: recognize() calls inside it belong to the session, not to a tool
_in_stream: contextvars.ContextVar[bool] = contextvars.ContextVar("livekit_otel_stt_stream", default=False)


async def recognize(wrapped: Callable[..., Awaitable[Any]], stt: STT[Any], args: Args, kwargs: Kwargs) -> Any:
    """``STT.recognize`` inside a session's recognizer stream."""
    tracker = recognition = entered = None
    if _in_stream.get() and not livekit_api.delegates_recognition(stt):
        with contained("stt.recognize"):
            state = registry.current()
            if state is not None:
                tracker = state.trackers.stt.recognitions
                recognition = tracker.begin(stt)
                if recognition.span is not None:
                    entered = state.scope.layers.enter(recognition.span)

    def finish(result: Any, error: BaseException | None) -> None:
        if entered is not None:
            entered.leave()
        if tracker is not None and recognition is not None:
            tracker.end(recognition, result, error)

    return await run(wrapped, args, kwargs, "stt.recognize.end", finish)


def inside_recognizer() -> bool:
    """Whether the current task runs inside a session's recognizer stream, e.g. in one of an adapter's."""
    return _in_stream.get()


@cache
def _stream_base() -> type:
    from livekit.agents.stt import RecognizeStream

    return RecognizeStream


async def stream_main_task(
    wrapped: Callable[..., Awaitable[Any]], stream: RecognizeStream, args: Args, kwargs: Kwargs
) -> Any:
    """``RecognizeStream._main_task``: records a failed stream, and marks the recognizers that run inside it."""
    if amd.detecting():
        return await wrapped(*args, **kwargs)
    nested = _in_stream.get()
    _in_stream.set(True)
    begun = serving = None
    with contained("stt.stream_begins"):
        state = registry.current()
        if state is not None:
            begun = state.scope.now_ns()
            serving = state.trackers.stt.heard
            serving.begins(stream)
    try:
        return await wrapped(*args, **kwargs)
    except Exception as error:
        with contained("stt.stream"):
            state = registry.current()
            if state is not None:
                began = begun if begun is not None else state.scope.clock.started_ns
                _record_failure(state.trackers.stt, stream, error, began, nested=nested)
        raise
    finally:
        with contained("stt.stream_ends"):
            if serving is not None:
                serving.ends(stream)


def emit_error(wrapped: Callable[..., Any], stream: RecognizeStream, args: Args, kwargs: Kwargs) -> Any:
    """``_emit_error(error, recoverable)``: the stream reconnects, or has failed."""
    with contained("stt.attempt"):
        state = registry.current() if not amd.detecting() else None
        error = recovered_from(args, kwargs)
        if state is not None and error is not None:
            state.trackers.stt.retries.add(error)
    return wrapped(*args, **kwargs)


def heard(wrapped: Callable[..., Any], activity: AgentActivity, args: Args, kwargs: Kwargs) -> Any:
    """``AgentActivity.on_final_transcript(ev)``: carries the recognizer's metadata of the transcript."""
    with contained("stt.heard"):
        state = registry.traced(activity.session)
        if state is not None:
            state.trackers.stt.heard.final(args[0] if args else kwargs["ev"], agent_id(activity.agent))
    return wrapped(*args, **kwargs)


def _record_failure(
    tracker: SttTracker, stream: RecognizeStream, error: Exception, begun_ns: int, *, nested: bool
) -> None:
    if livekit_api.delegates_metrics(stream, _stream_base()) and tracker.inner_failed_since(begun_ns):
        tracker.adapter_failed()
    else:
        tracker.failed(livekit_api.recognizer(stream), error, begun_ns, nested=nested)
