"""Tools: one span for each function call, until the tool is done (it may outlive the speech that called it)."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from ...journal import Attributes
from ...redaction import kinds
from ..scope import SessionScope
from ..span import PipelineSpan
from ..tool_names import ToolNames
from ..values import clip
from .turn import TurnState
from .turns import TurnTracker

if TYPE_CHECKING:
    from livekit.agents import FunctionToolsExecutedEvent, SpeechHandle
    from livekit.agents.llm import FunctionCall

__all__ = ["ToolCall", "ToolTracker"]

_MAX_RUNNING = 256
_MAX_SEEN = 256


class ToolCall:
    """One running call. Owns the model requests that the tool's own code makes."""

    def __init__(self, call_id: str, span: PipelineSpan, turn: TurnState | None, handle: SpeechHandle) -> None:
        self.call_id = call_id
        self.span = span
        self.turn = turn
        self.handle = handle
        self.updates = 0
        #: whether LiveKit runs it; a duplicate that it rejects never starts
        self.started = False
        self.error: BaseException | None = None

    @property
    def context(self) -> otel_context.Context:
        return self.span.context

    @property
    def whose(self) -> Attributes:
        """Attributes of the tool's turn for stages."""
        return self.turn.whose if self.turn is not None else {}

    def stage_ended(self, span: PipelineSpan) -> None:
        """A request that the tool made is over, but the tool is not: there is nothing to update."""


class ToolTracker:
    """Function calls of one session, identified by object, because a model may use a call id twice."""

    def __init__(self, scope: SessionScope, turns: TurnTracker, names: ToolNames) -> None:
        self._scope = scope
        self._names = names
        self._turns = turns
        self._running: list[ToolCall] = []
        #: item ids of the calls that have a span
        self._seen: OrderedDict[str, None] = OrderedDict()

    def begin(self, function_call: FunctionCall, handle: SpeechHandle) -> ToolCall:
        self._names.add(function_call.name)
        turn = self._turns.working(handle)
        turn = turn if turn is not None and turn.open else None
        attributes = self._attributes(function_call, handle.id)
        span = self._scope.spans.start(attr.KIND_TOOL, turn or self._scope, self._scope.now_ns(), attributes)
        call = ToolCall(function_call.call_id, span, turn, handle)
        if turn is not None:
            turn.used_tools = True
            turn.open_tools[span] = handle.id
            self._turns.hold(turn, call)
        self._running.append(call)
        self._remember(function_call)
        if len(self._running) > _MAX_RUNNING:
            self._end(self._running.pop(0), "cancelled", None)
        return call

    def returned(self, call: ToolCall, result: object, error: BaseException | None) -> None:
        """The executor returned. A call that it never started (a rejected duplicate) is then over."""
        if error is not None:
            call.error = error
        if not call.started and call in self._running:
            self._running.remove(call)
            self._end(call, None if error is None else "error", str(result) if isinstance(result, str) else None)

    def started(self, call: ToolCall) -> None:
        """LiveKit runs the call."""
        call.started = True

    def updated(self, call_id: str) -> None:
        """The tool sent a progress update."""
        call = self._find(call_id)
        if call is not None:
            call.updates += 1

    def ended(self, call_id: str, status: str, message: str | None) -> None:
        """The tool is done."""
        call = self._find(call_id)
        if call is not None:
            self._running.remove(call)
            self._end(call, status, message)

    def _find(self, call_id: str) -> ToolCall | None:
        """Return the call of this id that started first: an executor never runs two calls of one id at once."""
        return next((call for call in self._running if call.call_id == call_id and call.started), None)

    def executed(self, event: FunctionToolsExecutedEvent, speech_id: str | None) -> None:
        """A batch of calls was answered; calls that never ran (unknown tool, bad arguments) get their span here."""
        now = self._scope.now_ns()
        for function_call, output in event.zipped():
            if function_call.id in self._seen:
                continue
            self._remember(function_call)
            span = self._scope.spans.start(
                attr.KIND_TOOL, self._turns.owner(speech_id), now, self._attributes(function_call, speech_id)
            )
            is_error = output is not None and output.is_error
            self._finish(span, None, "error" if is_error else "done", output.output if output is not None else None)

    def hand_over(self, call: ToolCall, turn: TurnState) -> None:
        """Continue the call for this turn: its speech, now or later, belongs to the turn."""
        before, call.turn = call.turn, turn
        if before is not turn:
            turn.open_tools[call.span] = call.handle.id
            if before is not None:
                self._turns.release(before, call)
        self._turns.hold(turn, call)
        self._turns.adopt(call.handle, turn)

    def close(self, at_ns: int) -> None:
        for call in self._running:
            call.span.end(at_ns, attr.OUTCOME_CANCELLED)
        self._running.clear()

    def _remember(self, function_call: FunctionCall) -> None:
        self._seen[function_call.id] = None
        while len(self._seen) > _MAX_SEEN:
            self._seen.popitem(last=False)

    def _attributes(self, function_call: FunctionCall, speech_id: str | None) -> dict[str, AttributeValue]:
        name, registered = clip(function_call.name), self._names(function_call.name)
        attributes: dict[str, AttributeValue] = {
            attr.TOOL_NAME: name if registered else attr.OTHER,
            attr.TOOL_TYPE: "function",
            attr.TOOL_CALL_ID: clip(function_call.call_id),
        }
        if speech_id is not None:
            attributes[attr.SPEECH_ID] = speech_id
        if self._scope.content:
            arguments = self._scope.redacted(function_call.arguments, kinds.TOOL_ARGUMENTS)
            attributes[attr.TOOL_CALL_ARGUMENTS] = clip(arguments, attr.GENAI_VALUE_BYTES)
            if not registered:
                attributes[attr.TOOL_MADE_UP_NAME] = clip(self._scope.redacted(function_call.name, kinds.OTHER))
        return attributes

    def _end(self, call: ToolCall, status: str | None, message: str | None) -> None:
        if call.updates:
            call.span.set({attr.TOOL_UPDATES: call.updates})
        self._finish(call.span, call.error, status, message)
        if call.turn is not None:
            call.turn.open_tools.pop(call.span, None)
            self._turns.release(call.turn, call)

    def _finish(self, span: PipelineSpan, error: BaseException | None, status: str | None, message: str | None) -> None:
        attributes: dict[str, AttributeValue] = {}
        if status is not None:
            attributes[attr.TOOL_STATUS] = status
        if message is not None and self._scope.content:
            result = self._scope.redacted(message, kinds.TOOL_RESULT)
            attributes[attr.TOOL_CALL_RESULT] = clip(result, attr.GENAI_VALUE_BYTES)
        if status == "error":
            span.fail(error, message=self._scope.message_of(error))
        span.end(self._scope.now_ns(), attr.OUTCOME_CANCELLED if status == "cancelled" else None, attributes)
