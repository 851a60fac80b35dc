"""STT: one span from the beginning of the speech to its final transcript.

The span ends (at the time of its final transcript) a little later than that, so that usage the provider reports
right after the transcript is on it. Where a non-streaming recognizer runs and LiveKit's own spans do not record,
the span is live and current while it runs.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from .stage import Stage
from .turn import Turn, model_name
from .values import clip, flatten, model_attributes, named_model, now_ns, to_ns

if TYPE_CHECKING:
    from .session import SessionState

_SUMMED = (
    "duration",
    "audio_duration",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "input_audio_tokens",
    "acquire_time",
)
_MAX_WAITING = 8


class _Recognition:
    """One call of a non-streaming recognizer."""

    def __init__(self, start_ns: int) -> None:
        self.start_ns = start_ns
        self.end_ns = start_ns
        self.stage: Stage | None = None
        self.attributes: dict[str, AttributeValue] = {}


class SttTracker:
    """Utterances of one session."""

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._metrics: dict[str, AttributeValue] = {}
        self._open: tuple[Stage, int, Turn | None] | None = None
        self._running: _Recognition | None = None
        self._waiting: deque[_Recognition] = deque()
        self._last_final_ns: int | None = None
        self._heard_ns: int | None = None
        self._failure: BaseException | None = None
        self._failed_ns: int | None = None

    # --- what happens ------------------------------------------------------------------------------

    def transcript(self, event: Any, turn: Turn | None) -> None:
        """Words arrived; a final transcript makes a span."""
        now = now_ns()
        if self._heard_ns is None:
            heard = self._state.vad.segment_start_ns
            if heard is None and turn is not None:
                heard = turn.stage.start_ns
            self._heard_ns = max(heard or now, self._last_final_ns or 0)
        if not event.is_final:
            return
        start, self._heard_ns = min(self._heard_ns, now), None
        self._last_final_ns = now
        attributes: dict[str, AttributeValue] = {}
        if event.language:
            attributes[attr.STT_LANGUAGE] = clip(str(event.language))
        if self._state.content and event.transcript:
            attributes[attr.STT_TEXT] = clip(event.transcript)
        self.settle()
        parent = turn.context if turn is not None else self._state.context
        if self._waiting:
            recognition = self._waiting.popleft()
            stage = recognition.stage or self._state.spans.start(
                attr.KIND_STT, parent, min(start, recognition.start_ns)
            )
            if turn is not None and recognition.stage is not None:
                recognition.stage.move_to(turn.stage)
            stage.set({**attributes, **recognition.attributes})
            self._note_model(turn, recognition.attributes)
        else:
            stage = self._state.spans.start(attr.KIND_STT, parent, start, attributes)
        self._open = (stage, now, turn)

    def speech_started(self) -> None:
        """The user began to speak (again): usage from here on is the next utterance's."""
        self.settle()

    def metrics(self, metrics: Any) -> None:
        """STTMetrics: of the recognition that runs, else summed on the utterance."""
        fields = {**flatten("stt", metrics), **model_attributes(metrics)}
        fields[attr.STT_METRICS_COUNT] = 1
        if not metrics.streamed and self._running is not None:
            self._running.attributes = _summed(self._running.attributes, fields)
        elif not metrics.streamed:
            end = to_ns(metrics.timestamp)
            start = end - to_ns(metrics.duration)
            self._stage_of_its_own(start, end, _with_usage(fields))
        else:
            self._metrics = _summed(self._metrics, fields)

    def failed(self, stt: Any, error: BaseException, begun_ns: int, *, nested: bool) -> None:
        """A recognizer stream raised. Alone, the utterance it was at failed with it; ``nested`` in an adapter, another
        stream goes on with the utterance: the span is of the one that failed, from its own beginning."""
        if self._failure is not None and self._failure in (error, error.__cause__):
            return  # the recognition inside has recorded it already
        now = now_ns()
        heard = self._heard_ns or self._state.vad.segment_start_ns
        start = max(begun_ns, heard) if heard is not None else begun_ns if nested else now
        if self._last_final_ns is not None and nested:
            start = max(start, self._last_final_ns)
        turn = self._state.turns.pending
        attributes = named_model(stt.provider, stt.model)
        if nested:
            self._failed_ns = now
        else:
            self.settle()
            self._heard_ns = None
            attributes |= self._take()
            if turn is not None:
                turn.failed(attr.KIND_STT, error)
        parent = turn.context if turn is not None else self._state.context
        if turn is not None:
            start = max(start, turn.stage.start_ns)
        stage = self._state.spans.start(attr.KIND_STT, parent, min(start, now), attributes)
        stage.fail(error, content=self._state.content)
        stage.end(now)

    def inner_failed_since(self, begun_ns: int) -> bool:
        """Whether a recognizer inside an adapter has failed, with a span, since the adapter's stream began."""
        return self._failed_ns is not None and self._failed_ns >= begun_ns

    def adapter_failed(self, error: BaseException) -> None:
        """All recognizers of an adapter failed; each has its span, and what the user says is lost."""
        self.settle()
        self._heard_ns = None
        turn = self._state.turns.pending
        if turn is not None:
            turn.failed(attr.KIND_STT, error)

    def settle(self) -> None:
        """End the utterance's span: nothing more is expected for it."""
        if self._open is None:
            return
        (stage, end_ns, turn), self._open = self._open, None
        taken = self._take()
        self._note_model(turn, taken)
        stage.end(end_ns, attributes=taken)

    def close(self, at_ns: int) -> None:
        """The session is over; usage that came after the last transcript gets a span of its own."""
        self.settle()
        while self._waiting:
            self._finish_unheard(self._waiting.popleft())
        if self._metrics:
            timestamp = self._metrics.get(attr.metric("stt", "timestamp"))
            end = to_ns(timestamp) if isinstance(timestamp, float) else at_ns
            self._stage_of_its_own(end, end, self._take())

    # --- a non-streaming recognizer ----------------------------------------------------------------

    def begin_recognition(self, stt: Any) -> _Recognition:
        now = now_ns()
        heard = self._heard_ns or self._state.vad.segment_start_ns
        recognition = _Recognition(min(heard, now) if heard is not None else now)
        recognition.attributes = named_model(stt.provider, stt.model)
        self._running = recognition
        if not self._state.layers.native_shared:
            turn = self._state.turns.pending
            parent = self._state.context if turn is None or turn.committed else turn.context
            recognition.stage = self._state.spans.start(
                attr.KIND_STT, parent, recognition.start_ns, recognition.attributes
            )
        return recognition

    def end_recognition(self, recognition: _Recognition, event: Any, error: BaseException | None) -> None:
        recognition.end_ns = now_ns()
        if self._running is recognition:
            self._running = None
        recognition.attributes = _with_usage(recognition.attributes)
        heard = bool(event is not None and event.alternatives and event.alternatives[0].text)
        if error is None and heard:
            self._waiting.append(recognition)
            if len(self._waiting) > _MAX_WAITING:
                self._finish_unheard(self._waiting.popleft())
            return
        stage = recognition.stage or self._state.spans.start(
            attr.KIND_STT, self._state.context, recognition.start_ns, recognition.attributes
        )
        stage.set(recognition.attributes)
        if isinstance(error, Exception):
            self._failure = error
            self._failed_ns = recognition.end_ns
            stage.fail(error, content=self._state.content)
        stage.end(recognition.end_ns, "cancelled" if error is not None else None)

    def _finish_unheard(self, recognition: _Recognition) -> None:
        stage = recognition.stage or self._state.spans.start(attr.KIND_STT, self._state.context, recognition.start_ns)
        stage.end(recognition.end_ns, attributes=recognition.attributes)

    # --- helpers -----------------------------------------------------------------------------------

    def _take(self) -> dict[str, AttributeValue]:
        taken, self._metrics = self._metrics, {}
        return _with_usage(taken)

    def _stage_of_its_own(self, start: int, end: int, attributes: dict[str, AttributeValue]) -> None:
        self._state.spans.start(attr.KIND_STT, self._state.context, start, attributes).end(end)

    def _note_model(self, turn: Turn | None, attributes: dict[str, AttributeValue]) -> None:
        name = model_name(attributes)
        if turn is not None and name is not None:
            turn.models.setdefault(name)


def _summed(before: dict[str, AttributeValue], fields: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    out = {**before, **fields}
    for key in (*(attr.metric("stt", name) for name in _SUMMED), attr.STT_METRICS_COUNT):
        if key in before and key in fields:
            out[key] = before[key] + fields[key]  # type: ignore[operator]
    return out


def _with_usage(attributes: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
    """GenAI usage for a provider that bills STT by tokens; LiveKit's own spans have none for STT."""
    for field, name in (("input_tokens", attr.USAGE_INPUT_TOKENS), ("output_tokens", attr.USAGE_OUTPUT_TOKENS)):
        tokens = attributes.get(attr.metric("stt", field))
        if tokens:
            attributes[name] = tokens
    return attributes
