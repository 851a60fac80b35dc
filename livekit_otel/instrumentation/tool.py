"""Tools: one span for each function call, until the tool is really done (it may outlive the speech that called it)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from . import registry
from .guard import contained
from .stage import CANCELLED, Stage
from .values import GENAI_CLIP_BYTES, clip, now_ns

if TYPE_CHECKING:
    from .session import SessionState

_MAX_RUNNING = 256
_MAX_SEEN = 64


class _Call:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.updates = 0
        self.started = False
        self.error: BaseException | None = None


class ToolTracker:
    """Function calls of one session."""

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._running: OrderedDict[str, _Call] = OrderedDict()
        self._seen: OrderedDict[str, None] = OrderedDict()

    def begin(self, function_call: Any, handle: Any) -> _Call:
        turn = self._state.turns.working(handle)
        if turn is not None:
            turn.used_tools = True
        parent = turn.context if turn is not None else self._state.context
        call = _Call(
            self._state.spans.start(attr.KIND_TOOL, parent, now_ns(), self._attributes(function_call, handle.id))
        )
        self._running[function_call.call_id] = call
        self._remember(function_call.call_id)
        while len(self._running) > _MAX_RUNNING:
            self._running.popitem(last=False)[1].stage.end(now_ns(), CANCELLED)
        return call

    def returned(self, call_id: str, call: _Call, result: Any, error: BaseException | None) -> None:
        """The executor answered. A call that it never started (a rejected duplicate) is over with that."""
        if error is not None:
            call.error = error
        if not call.started and not call.stage.ended:
            self._running.pop(call_id, None)
            self._end(call, None if error is None else "error", str(result) if isinstance(result, str) else None)

    def update(self, update: Any) -> None:
        """LiveKit tells the life of a call: started, updated, ended."""
        if update.type == "tool_call_started":
            call = self._running.get(update.function_call.call_id)
            if call is not None:
                call.started = True
        elif update.type == "tool_call_updated":
            call = self._running.get(update.call_id)
            if call is not None:
                call.updates += 1
        elif update.type == "tool_call_ended":
            call = self._running.pop(update.call_id, None)
            if call is not None:
                self._end(call, update.status, update.message)

    def executed(self, event: Any) -> None:
        """A batch of calls was answered; those that never ran (unknown tool, bad arguments) are told here."""
        now = now_ns()
        for call, output in event.zipped():
            if call.call_id in self._seen:
                continue
            self._remember(call.call_id)
            speech = self._state.current_speech_id()
            stage = self._state.spans.start(
                attr.KIND_TOOL, self._state.turns.parent_of(speech), now, self._attributes(call, speech)
            )
            self._end(_Call(stage), "error" if output.is_error else "done", output.output)

    def close(self, at_ns: int) -> None:
        for call in self._running.values():
            call.stage.end(at_ns, CANCELLED)
        self._running.clear()

    def _remember(self, call_id: str) -> None:
        self._seen[call_id] = None
        while len(self._seen) > _MAX_SEEN:
            self._seen.popitem(last=False)

    def _attributes(self, function_call: Any, speech_id: str | None) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {
            attr.TOOL_NAME: clip(function_call.name),
            attr.TOOL_TYPE: "function",
            attr.TOOL_CALL_ID: clip(function_call.call_id),
        }
        if speech_id is not None:
            attributes[attr.SPEECH_ID] = speech_id
        if self._state.content:
            attributes[attr.TOOL_CALL_ARGUMENTS] = clip(function_call.arguments, GENAI_CLIP_BYTES)
        return attributes

    def _end(self, call: _Call, status: str | None, message: str | None) -> None:
        attributes: dict[str, AttributeValue] = {}
        if status is not None:
            attributes[attr.TOOL_STATUS] = status
        if call.updates:
            attributes[attr.TOOL_UPDATES] = call.updates
        if message is not None and self._state.content:
            attributes[attr.TOOL_CALL_RESULT] = clip(message, GENAI_CLIP_BYTES)
        if status == "error":
            call.stage.fail(call.error, content=self._state.content)
        call.stage.end(now_ns(), CANCELLED if status == "cancelled" else None, attributes)


async def execute(wrapped: Callable[..., Awaitable[Any]], executor: Any, args: Any, kwargs: Any) -> Any:
    """``_ToolExecutor.execute(tool=…, run_ctx=…, …)``: returns when the tool does, or with its first update."""
    tracker = call = entered = None
    call_id = ""
    with contained("tool.begin"):
        run_ctx = kwargs["run_ctx"]
        state = registry.of(run_ctx.session)
        if state is not None and state.recording:
            tracker = state.tools
            call_id = run_ctx.function_call.call_id
            call = tracker.begin(run_ctx.function_call, run_ctx.speech_handle)
            entered = state.layers.enter(call.stage)
    result: Any = None
    error: BaseException | None = None
    try:
        result = await wrapped(*args, **kwargs)
        return result
    except BaseException as raised:
        error = raised
        raise
    finally:
        with contained("tool.end"):
            if entered is not None:
                entered.leave()
            if tracker is not None and call is not None:
                tracker.returned(call_id, call, result, error)
