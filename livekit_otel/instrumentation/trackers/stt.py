"""STT: one span from the beginning of the speech to its final transcript.

A transcript's turn is known when its words are committed. The transcript waits until then; if it is never committed,
its span goes below the session. The span is ended slightly after its final transcript (with that transcript's time),
so that it includes usage that the provider reports right after the transcript. For a non-streaming recognizer, if
LiveKit's own spans are not recorded, the span is live and current while the recognizer runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from ...redaction import kinds
from ..clock import to_ns
from ..failures import Retries
from ..scope import SessionScope
from ..span import PipelineSpan, SpanOwner
from ..values import clip, flatten, model_attributes, named_model
from .failed_recognizers import FailedRecognizers
from .heard import Heard
from .recognition import Recognitions
from .segments import first_of
from .spoken import Spoken
from .stt_metrics import PendingUsage, summed, with_ids, with_usage
from .transcript import Transcript
from .turn import TurnState

if TYPE_CHECKING:
    from livekit.agents import UserInputTranscribedEvent
    from livekit.agents.metrics import STTMetrics
    from livekit.agents.stt import STT

__all__ = ["SttTracker"]

_MAX_WAITING = 32


class SttTracker:
    """Utterances of one session. ``speech_start`` returns when the user's unclaimed speech began."""

    def __init__(self, scope: SessionScope, speech_start: Callable[[], int | None]) -> None:
        self._scope = scope
        self._speech_start = speech_start
        self._usage = PendingUsage()
        self._finals: deque[Transcript] = deque()
        #: the claimed span that may still get usage: the span, its end time, its turn, and its attributes
        self._open: tuple[PipelineSpan, int, TurnState | None, dict[str, AttributeValue]] | None = None
        self.recognitions = Recognitions(scope, lambda: self._heard_ns or speech_start())
        self.retries = Retries(attr.STT_RETRIED_FOR, attr.STT_RETRIED_CODES)
        self.heard = Heard()
        #: records that an agent's ``stt_node`` held a transcript of this owner's from one time to another
        self.held: Callable[[SpanOwner, int, int, str | None], None] = lambda *_: None
        self._last_final_ns: int | None = None
        self._heard_ns: int | None = None
        self._failed_ns: int | None = None
        #: speech that the recognizer alone detects
        self.alone = Spoken(scope)
        self._failed = FailedRecognizers(self._usage.take)

    # --- events ------------------------------------------------------------------------------------

    def transcript(self, event: UserInputTranscribedEvent) -> None:
        """A transcript arrived, interim or final."""
        now = self._scope.now_ns()
        if self._heard_ns is None:
            self._heard_ns = max(self._speech_start() or now, self._last_final_ns or 0)
        if not event.is_final:
            return
        start, self._heard_ns = min(self._heard_ns, now), None
        self._last_final_ns = now
        attributes = {**self.heard.take(), **self.retries.take()}
        if event.language:
            language = clip(str(event.language))
            attributes.update({attr.STT_LANGUAGE: language, attr.SPEECH_INPUT_LANGUAGE: language})
        self._settle_final()
        final = Transcript(start, now, event.transcript, attributes)
        final.agent, final.held_ns = self.heard.agent, self.heard.held()
        self.alone.note(final)
        recognition = self.recognitions.take()
        if recognition is not None:
            final.span = recognition.span
            final.start_ns = min(start, recognition.start_ns)
            final.attributes = summed(attributes, recognition.attributes)
        self._finals.append(final)
        if len(self._finals) > _MAX_WAITING:
            if self._scope.redaction is None:
                self._write_texts()
            self._give(self._finals.popleft(), self._scope)

    def take(self, transcript: Transcript, owner: SpanOwner) -> None:
        """Record a transcript whose owner is already known; usage may follow."""
        self.settle()
        self._give(transcript, owner, keep_open=True)

    def silent(self, at_ns: int) -> None:
        """The recognizer detects the end of the speech; the final transcript may precede it."""
        self.alone.ends(at_ns, self._finals[-1] if self._finals else None)

    def metrics(self, metrics: STTMetrics) -> None:
        """STTMetrics: added to the running recognition, else summed on the utterance."""
        fields = with_ids({**flatten("stt", metrics), **model_attributes(metrics)})
        fields[attr.STT_METRICS_COUNT] = 1
        if metrics.streamed:
            self._usage.add(fields)
        elif not self.recognitions.metrics(fields):
            end = self._scope.clock.inside_ns(metrics.timestamp)
            self._span_without_words(end - to_ns(metrics.duration), end, with_usage(fields))

    def failed(self, stt: STT[Any], error: BaseException, begun_ns: int, *, nested: bool) -> None:
        """A recognizer stream raised, and without an adapter its current utterance fails with it.

        ``nested`` in an adapter, another stream continues the utterance: the span covers the failed stream only, from
        the stream's own beginning."""
        inner = self.recognitions.failure
        if inner is not None and inner in (error, error.__cause__):
            return  # the recognition inside has already recorded the error
        now = self._scope.now_ns()
        heard = self._heard_ns or self._speech_start()
        start = max(begun_ns, heard) if heard is not None else begun_ns if nested else now
        if self._last_final_ns is not None and nested:
            start = max(start, self._last_final_ns)
        attributes = named_model(stt.provider, stt.model)
        if nested:
            self._failed_ns = now
        else:
            self.settle()
            self._heard_ns = None
        attributes |= self._usage.take(attributes)
        attributes |= self.retries.take()
        span = self._scope.spans.start(attr.KIND_STT, self._scope, min(start, now), attributes)
        span.fail(error, message=self._scope.message_of(error))
        if nested:
            self._failed.add(span, now, attributes)
        else:
            span.end(now)

    def inner_failed_since(self, begun_ns: int) -> bool:
        """Whether a recognizer in an adapter has failed, and has a span, since the adapter's stream began."""
        return max(self._failed_ns or 0, self.recognitions.failed_ns or 0) >= begun_ns

    def adapter_failed(self) -> None:
        """All recognizers of an adapter failed. Each has its span; the current utterance is lost."""
        self.settle()
        self._failed.give(self._scope)
        self._heard_ns = None

    def settle(self) -> None:
        """End the latest utterance's span: no more usage is expected for it."""
        self._settle_final()
        if self._open is None:
            return
        (span, end_ns, turn, before), self._open = self._open, None
        taken = self._usage.take(before)
        if turn is not None:
            turn.models.note(attr.KIND_STT, taken)
        span.end(end_ns, attributes=summed(before, taken))

    def turn_ends(self, turn: TurnState) -> None:
        """The turn's span is about to end."""
        if self._open is not None and self._open[2] is turn:
            self.settle()

    # --- ownership ---------------------------------------------------------------------------------

    def spoken(self, text: str) -> tuple[int, int] | None:
        """Return when the first and last transcript that make up ``text`` began; None if no transcripts match."""
        first = first_of([final.text for final in self._finals], text)
        return (self._finals[first].start_ns, self._finals[-1].start_ns) if first is not None else None

    @property
    def unclaimed(self) -> str:
        """The words that no turn has claimed."""
        return " ".join(final.text for final in self._finals)

    def give(self, owner: TurnState) -> None:
        """The words of this turn were committed."""
        if self._open is not None and self._finals:
            self.settle()
        self._write_texts()
        self._failed.give(owner)
        while self._finals:
            final = self._finals.popleft()
            if final.end_ns < owner.span.start_ns:
                self._give(final, self._scope)  # spoken while the agent had the floor, and not committed
                continue
            final.start_ns = max(final.start_ns, owner.span.start_ns)
            self._give(final, owner, keep_open=not self._finals)

    def discard(self, speech_id: str | None = None) -> None:
        """Give the words to no turn. With ``speech_id``, they belong to an ended turn, whose answer is that speech."""
        self.settle()
        self._write_texts()
        self._failed.give(self._scope)
        while self._finals:
            final = self._finals.popleft()
            if speech_id is not None:
                final.attributes[attr.SPEECH_ID] = speech_id
            self._give(final, self._scope, keep_open=speech_id is not None and not self._finals)

    def _give(self, final: Transcript, owner: SpanOwner, *, keep_open: bool = False) -> None:
        turn = owner if isinstance(owner, TurnState) else None
        span = final.span or self._scope.spans.start(attr.KIND_STT, owner, final.start_ns)
        span.move_to(owner)
        span.agent = final.agent
        span.set({**final.attributes, **final.spoken})
        if final.held_ns is not None:
            self.held(owner, final.held_ns, final.end_ns, final.agent)
        if turn is not None:
            turn.models.note(attr.KIND_STT, final.attributes)
        if keep_open:
            self._open = (span, final.end_ns, turn, final.attributes)
        else:
            span.end(final.end_ns)

    def _write_texts(self) -> None:
        """Set the texts of a complete utterance; none if redaction finds more in the joined text than in its parts."""
        scope, texts = self._scope, [final.text for final in self._finals]
        if not scope.content:
            return
        shown = texts if scope.redaction is None else scope.redaction.pieces(texts, kinds.USER)
        for final, text in zip(self._finals, shown or (), strict=False):
            if text:
                final.attributes[attr.STT_TEXT] = clip(text)

    def _settle_final(self) -> None:
        """Assign usage up to now to the latest final transcript."""
        if self._finals and self._usage:
            final = self._finals[-1]
            final.attributes = summed(final.attributes, self._usage.take(final.attributes))

    def close(self, at_ns: int) -> None:
        """The session is over; usage that arrived after the last transcript gets a span of its own."""
        self.discard()
        self.alone.over(self._scope.close_called_ns or at_ns)
        self.recognitions.close()
        for one in self._usage.rest():
            timestamp = one.get(attr.metric("stt", "timestamp"))
            end = self._scope.clock.inside_ns(timestamp) if isinstance(timestamp, float) else at_ns
            self._span_without_words(end, end, {**one, attr.STT_SPEECH: False})

    def _span_without_words(self, start: int, end: int, attributes: dict[str, AttributeValue]) -> None:
        self._scope.spans.start(attr.KIND_STT, self._scope, start, attributes).end(end)
