"""Wrappers around ``_ToolExecutor``: it runs every function call and delivers every deferred reply."""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ...containment import contained
from .. import livekit_api, registry
from ..trackers.tool import ToolCall
from .wrapping import Args, Kwargs, run

if TYPE_CHECKING:
    from livekit.agents import ToolExecutionUpdatedEvent
    from livekit.agents.voice.tool_executor import _ToolExecutor

    from ..session import SessionState
    from ..trackers.turn import TurnState

#: the turns whose results the next deferred reply of an executor is for
_results: WeakKeyDictionary[_ToolExecutor, list[TurnState]] = WeakKeyDictionary()
#: the call whose tool runs in this task, or in the task that created it
_call: contextvars.ContextVar[ToolCall | None] = contextvars.ContextVar("livekit_otel_tool_call", default=None)


def current_call() -> ToolCall | None:
    """Return the call whose tool is running in the current context."""
    call = _call.get()
    return call if call is not None and not call.span.ended else None


async def execute(wrapped: Callable[..., Awaitable[Any]], executor: _ToolExecutor, args: Args, kwargs: Kwargs) -> Any:
    """``_ToolExecutor.execute(tool=…, run_ctx=…, …)``: returns when the tool does, or with its first update."""
    tracker = call = entered = reset = None
    with contained("tool.begin"):
        run_ctx = kwargs["run_ctx"]
        state = registry.traced(run_ctx.session)
        if state is not None:
            tracker = state.trackers.tools
            call = tracker.begin(run_ctx.function_call, run_ctx.speech_handle)
            reset = _call.set(call)
            entered = state.scope.layers.enter(call.span)

    def finish(result: object, error: BaseException | None) -> None:
        if entered is not None:
            entered.leave()
        if reset is not None:
            _call.reset(reset)
        if tracker is not None and call is not None:
            tracker.returned(call, result, error)

    return await run(wrapped, args, kwargs, "tool.end", finish)


async def enqueue_reply(
    wrapped: Callable[..., Awaitable[Any]], executor: _ToolExecutor, args: Args, kwargs: Kwargs
) -> Any:
    """``_ToolExecutor._enqueue_reply(ctx, items, …)``: a result that followed its turn's first answer will be spoken.

    One reply is for all results that have come until it is requested, whichever turns' tools they are of.
    """
    result = await wrapped(*args, **kwargs)
    with contained("tool.result"):
        run_ctx = args[0] if args else kwargs["ctx"]
        state = registry.of(run_ctx.session)
        if state is not None and state.recording and livekit_api.is_reply_pending(executor, run_ctx):
            turns = state.trackers.turns
            turn = turns.of_speech(run_ctx.speech_handle.id)
            if turn is not None and turn.open:
                turns.hold(turn, executor)
                _results.setdefault(executor, []).append(turn)
    return result


async def deliver_reply(
    wrapped: Callable[..., Awaitable[Any]], executor: _ToolExecutor, args: Args, kwargs: Kwargs
) -> Any:
    """``_ToolExecutor._deliver_reply(session)``: waits until the agent is idle, and requests the reply."""
    turns = of = None
    with contained("tool.reply"):
        state = registry.of(args[0] if args else kwargs["session"])
        if state is not None and state.recording:
            turns, of = state.trackers.turns, _results.setdefault(executor, [])
            turns.carry_out_latest(of)
    try:
        return await wrapped(*args, **kwargs)
    finally:
        with contained("tool.reply_end"):
            if turns is not None and of is not None:
                _results.pop(executor, None)
                while of:
                    turns.release(of.pop(), executor)


def updated(state: SessionState, event: ToolExecutionUpdatedEvent) -> None:
    """``tool_execution_updated``: LiveKit started a call in this task."""
    call, update = _call.get(), event.update
    if call is not None and update.type == "tool_call_started" and call.call_id == update.function_call.call_id:
        state.trackers.tools.started(call)
