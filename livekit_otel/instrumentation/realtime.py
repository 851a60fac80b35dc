"""Realtime: one span for each response of a speech-to-speech model, with its usage whenever that arrives."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from ..containment import contained
from . import registry
from .stage import Stage
from .turn import Turn, model_name
from .values import clip, flatten, model_attributes, named_model, now_ns, to_ns

if TYPE_CHECKING:
    from .session import SessionState

_MAX_WAITING = 64


class _Response:
    def __init__(self, stage: Stage, turn: Turn | None) -> None:
        self.stage = stage
        self.turn = turn
        self.end_ns: int | None = None
        self.outcome: str | None = None
        self.reported = False


class RealtimeTracker:
    """Responses of a realtime model in one session. Usage can come after the turn: the span waits for it."""

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._responses: OrderedDict[str, _Response] = OrderedDict()
        self._unnamed = 0

    def begin(self, activity: Any, handle: Any, generation: Any) -> _Response:
        model = activity.llm
        attributes: dict[str, AttributeValue] = {
            **named_model(model.provider, model.model),
            attr.SPEECH_ID: handle.id,
            attr.REQUEST_STREAM: True,
            attr.OUTPUT_TYPE: "speech" if self._state.has_audio_output else "text",
        }
        response_id = getattr(generation, "response_id", None)
        if response_id:
            attributes[attr.RESPONSE_ID] = clip(response_id)
        if self._state.native:
            attributes[attr.LANGFUSE_USAGE] = attr.LANGFUSE_COUNTED_ELSEWHERE
        turn = self._state.turns.working(handle)
        parent = turn.context if turn is not None else self._state.context
        response = _Response(self._state.spans.start(attr.KIND_REALTIME, parent, now_ns(), attributes), turn)
        name = model_name(attributes)
        if turn is not None and name is not None:
            turn.models.setdefault(name)
        if not response_id:
            self._unnamed += 1
        self._responses[response_id or f"unnamed {self._unnamed}"] = response
        while len(self._responses) > _MAX_WAITING:
            self._finish(self._responses.popitem(last=False)[1])
        return response

    def done(self, response: _Response, handle: Any, error: BaseException | None) -> None:
        """The response was played, cut off or failed. Without usage yet it waits, unless none can come."""
        response.end_ns = now_ns()
        if isinstance(error, Exception):
            response.stage.fail(error, content=self._state.content)
        elif error is not None:
            response.outcome = attr.OUTCOME_CANCELLED
        if response.reported:
            self._drop(response)
            self._finish(response)

    def first_audio(self, at_ns: int, turn: Turn | None) -> None:
        """The agent's voice is heard: of the response that goes on in this turn."""
        for response in self._responses.values():
            if response.turn is turn and response.end_ns is None:
                offset = max(0, at_ns - response.stage.start_ns) / 1e9
                response.stage.set({attr.REALTIME_FIRST_AUDIO: offset})
                return

    def metrics(self, metrics: Any) -> None:
        """RealtimeModelMetrics: of the response with that id, else a span of their own."""
        fields = {**flatten("realtime", metrics), **model_attributes(metrics)}
        fields.update({attr.LANGFUSE_USAGE: attr.LANGFUSE_COUNTED_ELSEWHERE} if self._state.native else _usage(metrics))
        response = self._responses.get(metrics.request_id) if metrics.request_id else None
        if response is None or response.reported:
            start = to_ns(metrics.timestamp)
            if metrics.request_id:
                fields[attr.RESPONSE_ID] = clip(metrics.request_id)
            end = start + to_ns(metrics.duration)
            self._state.spans.start(attr.KIND_REALTIME, self._state.context, start, fields).end(end)
            return
        response.reported = True
        if metrics.cancelled:
            response.outcome = attr.OUTCOME_CANCELLED
        response.stage.set(fields)
        if response.end_ns is not None:
            self._drop(response)
            self._finish(response)

    def close(self, at_ns: int) -> None:
        for response in self._responses.values():
            if response.end_ns is None:
                response.outcome = attr.OUTCOME_CANCELLED
                response.end_ns = at_ns
            self._finish(response)
        self._responses.clear()

    def _drop(self, response: _Response) -> None:
        for key, one in list(self._responses.items()):
            if one is response:
                del self._responses[key]

    def _finish(self, response: _Response) -> None:
        response.stage.end(response.end_ns if response.end_ns is not None else now_ns(), response.outcome)


def _usage(metrics: Any) -> dict[str, AttributeValue]:
    inputs, outputs = metrics.input_token_details, metrics.output_token_details
    numbers = {
        attr.USAGE_INPUT_TOKENS: metrics.input_tokens,
        attr.USAGE_OUTPUT_TOKENS: metrics.output_tokens,
        attr.USAGE_CACHE_READ: inputs.cached_tokens,
        attr.USAGE_TEXT_INPUT: inputs.text_tokens,
        attr.USAGE_AUDIO_INPUT: inputs.audio_tokens,
        attr.USAGE_IMAGE_INPUT: inputs.image_tokens,
        attr.USAGE_TEXT_OUTPUT: outputs.text_tokens,
        attr.USAGE_AUDIO_OUTPUT: outputs.audio_tokens,
    }
    return {name: tokens for name, tokens in numbers.items() if tokens}


async def generation_task(wrapped: Callable[..., Awaitable[Any]], activity: Any, args: Any, kwargs: Any) -> Any:
    """``AgentActivity._realtime_generation_task(speech_handle=…, generation_ev=…)``: one response."""
    state = response = None
    with contained("realtime.begin"):
        state = registry.of(activity.session)
        if state is not None and state.recording:
            response = state.realtime_tracker.begin(activity, kwargs["speech_handle"], kwargs["generation_ev"])
    error: BaseException | None = None
    try:
        return await wrapped(*args, **kwargs)
    except BaseException as raised:
        error = raised
        raise
    finally:
        with contained("realtime.end"):
            if state is not None and response is not None:
                state.realtime_tracker.done(response, kwargs["speech_handle"], error)
