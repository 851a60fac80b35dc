"""Realtime: one span for each response of a speech-to-speech model, with its usage whenever that arrives."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from ..clock import to_ns
from ..scope import SessionScope
from ..span import PipelineSpan
from ..values import clip, flatten, model_attributes, named_model
from .turn import TurnState
from .turns import TurnTracker

if TYPE_CHECKING:
    from livekit.agents import SpeechHandle
    from livekit.agents.llm import GenerationCreatedEvent, RealtimeModel
    from livekit.agents.metrics import RealtimeModelMetrics

__all__ = ["RealtimeTracker", "Response"]

_MAX_WAITING = 64
_FIRST_TOKEN = attr.metric("realtime", "ttft")


class Response:
    """One response of the model."""

    def __init__(self, span: PipelineSpan, turn: TurnState | None, response_id: str | None, *, native: bool) -> None:
        self.span = span
        self.turn = turn
        self.response_id = response_id
        #: LiveKit's span of this response reaches our provider, and has its usage
        self.native = native
        self.fields: dict[str, AttributeValue] = {}
        self.end_ns: int | None = None
        self.outcome: str | None = None
        self.reported = False
        self.heard = False


class RealtimeTracker:
    """Responses of a realtime model in one session. Usage can come after the turn: the span waits for it."""

    def __init__(self, scope: SessionScope, turns: TurnTracker) -> None:
        self._scope = scope
        self._turns = turns
        self._responses: OrderedDict[int, Response] = OrderedDict()
        #: the response that began last, ended or not
        self._latest: Response | None = None

    def begin(self, model: RealtimeModel, handle: SpeechHandle, generation: GenerationCreatedEvent) -> Response:
        session = self._scope.session
        audio = session is not None and session.output.audio is not None
        attributes: dict[str, AttributeValue] = {
            **named_model(model.provider, model.model),
            attr.SPEECH_ID: handle.id,
            attr.REQUEST_STREAM: True,
            attr.OUTPUT_TYPE: "speech" if audio else "text",
        }
        native = self._scope.layers.native_shared
        if native:
            attributes[attr.LANGFUSE_USAGE] = attr.LANGFUSE_COUNTED_ELSEWHERE
        response_id = getattr(generation, "response_id", None)
        if response_id:
            attributes[attr.RESPONSE_ID] = clip(response_id)
        turn = self._turns.working(handle)
        turn = turn if turn is not None and turn.open else None
        span = self._scope.spans.start(attr.KIND_REALTIME, turn or self._scope, self._scope.now_ns(), attributes)
        response = self._latest = Response(span, turn, response_id, native=native)
        if turn is not None:
            turn.tried_again(attr.KIND_REALTIME)
            turn.note_model(attr.KIND_REALTIME, attributes)
            self._turns.begin(turn)
        self._responses[id(response)] = response
        while len(self._responses) > _MAX_WAITING:
            self._finish(self._responses.popitem(last=False)[1])
        return response

    def done(self, response: Response, error: BaseException | None) -> None:
        """The response was played, cut off or failed. Without usage yet it waits, unless none can come."""
        response.end_ns = self._scope.now_ns()
        if isinstance(error, Exception):
            response.span.fail(error, message=self._scope.message_of(error))
            if response.turn is not None:
                response.turn.failed(attr.KIND_REALTIME, error)
        elif error is not None:
            response.outcome = attr.OUTCOME_CANCELLED
        if response.turn is not None:
            response.turn.last_ns = max(response.turn.last_ns, response.end_ns)
            self._turns.finish(response.turn)
        if response.reported and response.response_id:
            self._finish(response)

    def first_audio(self, at_ns: int, turn: TurnState | None) -> None:
        """The agent's voice is heard: of the response that is under way in this turn."""
        for response in self._responses.values():
            if response.turn is turn and response.end_ns is None and not response.heard:
                response.heard = True
                offset = max(0, at_ns - response.span.start_ns) / 1e9
                response.span.set({attr.REALTIME_FIRST_AUDIO: offset})
                return

    def metrics(self, metrics: RealtimeModelMetrics) -> None:
        """RealtimeModelMetrics: of the response with that id, else of the latest one; several of one are added up."""
        fields = {**flatten("realtime", metrics), **model_attributes(metrics, generates=True)}
        response = self._find(metrics.request_id)
        native = response.native if response is not None else self._scope.layers.native_shared
        fields.update({attr.LANGFUSE_USAGE: attr.LANGFUSE_COUNTED_ELSEWHERE} if native else _usage(metrics))
        if metrics.ttft < 0:
            fields.pop(_FIRST_TOKEN, None)
        if response is None:
            start = self._scope.clock.inside_ns(metrics.timestamp)
            if metrics.request_id:
                fields[attr.RESPONSE_ID] = clip(metrics.request_id)
            end = min(start + to_ns(max(metrics.duration, 0.0)), max(start, self._scope.now_ns()))
            self._scope.spans.start(attr.KIND_REALTIME, self._scope, start, fields).end(end)
            return
        response.fields = _added(response.fields, fields)
        response.reported = True
        if metrics.cancelled:
            response.outcome = attr.OUTCOME_CANCELLED
        if response.end_ns is not None and response.response_id:
            self._finish(response)

    def _find(self, request_id: str | None) -> Response | None:
        known = [one for one in self._responses.values() if not one.span.ended]
        if request_id:
            for response in known:
                if response.response_id == request_id:
                    return response
        latest = self._latest
        # ids that match no response: a plugin whose usage has ids of its own
        return latest if latest is not None and latest in known else None

    def turn_ends(self, turn: TurnState) -> None:
        """The turn's span is about to end: a response that nothing more can be said of ends, too."""
        for response in list(self._responses.values()):
            if response.turn is turn and response.reported and response.end_ns is not None:
                self._finish(response)

    def close(self, at_ns: int) -> None:
        for response in list(self._responses.values()):
            if response.end_ns is None:
                response.outcome = attr.OUTCOME_CANCELLED
                response.end_ns = at_ns
                self._turns.finish(response.turn)
            self._finish(response)

    def _finish(self, response: Response) -> None:
        self._responses.pop(id(response), None)
        end = response.end_ns if response.end_ns is not None else self._scope.now_ns()
        response.span.end(end, response.outcome, response.fields)


_ADDED = ("_tokens",)


def _added(before: dict[str, AttributeValue], fields: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    """The fields of both, token counts summed."""
    out = {**before, **fields}
    for name, value in fields.items():
        earlier = before.get(name)
        if name.endswith(_ADDED) and isinstance(value, int) and isinstance(earlier, int):
            out[name] = earlier + value
    return out


def _usage(metrics: RealtimeModelMetrics) -> dict[str, AttributeValue]:
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
