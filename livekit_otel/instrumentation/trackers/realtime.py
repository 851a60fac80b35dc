"""Realtime: one span for each response of a speech-to-speech model, with its usage whenever that arrives."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from ..clock import to_ns
from ..livekit_voices import named_voice
from ..scope import SessionScope
from ..values import clip, named_model
from .realtime_usage import added, connection_fields, fields_of, of_connection
from .responses import Announced, Response, ResponseFailed, ResponseLost, finish_reason
from .turn import SERVER, TurnState
from .turns import TurnTracker

if TYPE_CHECKING:
    from livekit.agents import SpeechHandle
    from livekit.agents.llm import GenerationCreatedEvent, RealtimeModel
    from livekit.agents.metrics import RealtimeModelMetrics

__all__ = ["RealtimeTracker", "Response"]

_MAX_WAITING = 64


class RealtimeTracker:
    """Responses of a realtime model in one session. A span may stay open after its turn to wait for the usage."""

    def __init__(self, scope: SessionScope, turns: TurnTracker) -> None:
        self._scope = scope
        self._turns = turns
        self._announced = Announced()
        self._responses: OrderedDict[int, Response] = OrderedDict()
        #: connection metrics since the latest response began
        self._connection: dict[str, AttributeValue] = {}
        #: id of each response whose span has ended, and the id of its speech
        self._ended: OrderedDict[str, str] = OrderedDict()
        #: the response that began last, ended or not
        self._latest: Response | None = None

    # --- begin and end -----------------------------------------------------------------------------

    def announced(self, response_id: str | None) -> None:
        """The server created a response that LiveKit does not handle yet."""
        if response_id:
            self._announced.add(response_id, self._scope.now_ns())

    def begin(
        self,
        model: RealtimeModel,
        handle: SpeechHandle,
        generation: GenerationCreatedEvent,
        broke_off: Callable[[], bool | None] = lambda: None,
    ) -> Response:
        """LiveKit begins to handle a response. ``broke_off``: returns whether its server never completed it."""
        session = self._scope.session
        audio = session is not None and session.output.audio is not None
        attributes: dict[str, AttributeValue] = {
            **named_model(model.provider, model.model),
            **named_voice(model),
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
        early = self._announced.take(response_id)
        start = early.at_ns if early is not None else self._scope.now_ns()
        start = max(start, turn.span.start_ns) if turn is not None else start
        span = self._scope.spans.start(attr.KIND_REALTIME, turn or self._scope, start, attributes)
        response = self._latest = Response(span, turn, response_id, native=native)
        response.broke_off = broke_off
        response.fields, self._connection = connection_fields(self._connection), {}
        if turn is not None:
            turn.tried_again(attr.KIND_REALTIME)
            turn.tried_again(SERVER)
            turn.models.note(attr.KIND_REALTIME, attributes)
            self._turns.begin(turn)
        self._responses[id(response)] = response
        while len(self._responses) > _MAX_WAITING:
            self._finish(self._responses.popitem(last=False)[1])
        for metrics in early.metrics if early is not None else ():
            self.metrics(metrics)
        if early is not None and early.end is not None:
            self._server_ended(response, early.end)
        if early is not None and early.failure is not None:
            self._fail(response, early.failure)
        return response

    def done(self, response: Response, error: BaseException | None, *, interrupted: bool = False) -> None:
        """The response was played, cut off or failed. It waits for its usage, unless none can arrive."""
        response.end_ns = self._scope.now_ns()
        if isinstance(error, Exception):
            self._fail(response, error)
        elif error is not None:
            response.outcome = attr.OUTCOME_CANCELLED
        elif response.failure is None and response.cut_short and not interrupted and not self._scope.closing:
            self._fail(response, ResponseLost("the connection was replaced within the response"))
        if response.turn is not None:
            response.turn.last_ns = max(response.turn.last_ns, response.end_ns)
            self._turns.finish(response.turn)
        if response.reported and response.response_id and not response.awaits_error:
            self._finish(response)

    def first_audio(self, at_ns: int, turn: TurnState | None) -> None:
        """The agent's voice is heard: set the time on the turn's current response."""
        for response in self._responses.values():
            if response.turn is turn and response.end_ns is None and not response.heard:
                response.heard = True
                offset = max(0, at_ns - response.span.start_ns) / 1e9
                response.span.set({attr.REALTIME_FIRST_AUDIO: offset})
                return

    # --- server events -----------------------------------------------------------------------------

    def server_event(self, event: Mapping[str, Any]) -> None:
        """Read an event of OpenAI's protocol before the plugin does: its ``response.done`` holds the outcome."""
        end = event.get("response")
        if event.get("type") != "response.done" or not isinstance(end, Mapping):
            return
        early = self._announced.get(end.get("id"))
        if early is not None:
            early.end = end
            return
        for response in self._responses.values():
            if response.response_id == end.get("id"):
                self._server_ended(response, end)

    def error(self, error: BaseException, *, disconnected: bool) -> bool:
        """The plugin reported an error; return whether it belongs to responses. ``disconnected``: the current responses
        are lost."""
        early = self._announced.failed()
        if early is not None:
            early.failure = error
            return True
        failed = [one for one in self._responses.values() if one.awaits_error]
        if not failed and disconnected:
            failed = [one for one in self._responses.values() if one.end_ns is None and one.lost]
        for response in failed:
            self._fail(response, error)
            if response.turn is not None:
                self._turns.check(response.turn)
        return bool(failed)

    def _server_ended(self, response: Response, end: Mapping[str, Any]) -> None:
        response.fields.update(finish_reason(end))
        if end.get("status") == "failed" and response.failure is None:
            details = end.get("status_details")
            body = details.get("error") if isinstance(details, Mapping) else None
            self._fail(response, ResponseFailed("the server ended the response as failed", body))

    def _fail(self, response: Response, error: BaseException) -> None:
        response.fail(error, self._scope.message_of(error))

    def metrics(self, metrics: RealtimeModelMetrics) -> None:
        """RealtimeModelMetrics of the response with that id, else of the latest; several of one response are summed."""
        early = self._announced.get(metrics.request_id)
        if early is not None:
            early.metrics.append(metrics)
            return
        response = self._find(metrics)
        # LiveKit's own span gets the first metrics of a response
        native = response is not None and response.native and not response.reported
        fields = fields_of(metrics, native=native)
        if response is None:
            self._of_no_response(metrics, fields)
            return
        response.fields = added(response.fields, fields)
        response.reported = True
        if metrics.cancelled:
            response.outcome = attr.OUTCOME_CANCELLED
        if response.end_ns is not None and response.response_id and not response.awaits_error:
            self._finish(response)

    def _of_no_response(self, metrics: RealtimeModelMetrics, fields: dict[str, AttributeValue]) -> None:
        """Connection metrics wait for the next response; metrics of an ended span get a span of their own."""
        if of_connection(metrics):
            self._connection = added(self._connection, fields)
            return
        fields[attr.REALTIME_RESPONSE] = False
        if metrics.request_id:
            fields[attr.RESPONSE_ID] = clip(metrics.request_id)
        if (speech := self._ended.get(metrics.request_id)) is not None:
            fields[attr.SPEECH_ID] = speech
        start = self._scope.clock.inside_ns(metrics.timestamp)
        end = min(start + to_ns(max(metrics.duration, 0.0)), max(start, self._scope.now_ns()))
        self._scope.spans.start(attr.KIND_REALTIME, self._scope, start, fields).end(end)

    def _find(self, metrics: RealtimeModelMetrics) -> Response | None:
        known = [one for one in self._responses.values() if not one.span.ended]
        if metrics.request_id:
            for response in known:
                if response.response_id == metrics.request_id:
                    return response
        latest = self._latest
        if latest is None or latest not in known or of_connection(metrics) or metrics.request_id in self._ended:
            return None
        # the id matches no response: this plugin's usage has ids of its own
        return latest

    # --- the end -----------------------------------------------------------------------------------

    def turn_ends(self, turn: TurnState) -> None:
        """The turn's span is about to end: end the responses that are complete."""
        for response in list(self._responses.values()):
            if response.turn is turn and response.reported and response.end_ns is not None:
                self._finish(response)

    def close(self, at_ns: int) -> None:
        for early in self._announced.rest():
            for metrics in early.metrics:
                self.metrics(metrics)
        for response in list(self._responses.values()):
            if response.end_ns is None:
                response.outcome = attr.OUTCOME_CANCELLED
                response.end_ns = at_ns
                self._turns.finish(response.turn)
            self._finish(response)
        if self._connection:
            fields = {**self._connection, attr.REALTIME_RESPONSE: False}
            self._scope.spans.start(attr.KIND_REALTIME, self._scope, at_ns, fields).end(at_ns)

    def _finish(self, response: Response) -> None:
        self._responses.pop(id(response), None)
        end = response.end_ns if response.end_ns is not None else self._scope.now_ns()
        response.span.end(end, response.outcome, response.fields)
        speech = response.turn.speech_ids[-1] if response.turn is not None and response.turn.speech_ids else None
        if response.response_id and speech is not None:
            self._ended[response.response_id] = speech
            while len(self._ended) > _MAX_WAITING:
                self._ended.popitem(last=False)
