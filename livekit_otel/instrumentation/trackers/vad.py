"""VAD: one span for each speech segment, with the sum of the metrics since the previous one.

A segment's turn is known when the words in it are committed. The segment waits until then; if no turn claims it
(noise, a backchannel, discarded words), its span goes below the session.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from ..scope import SessionScope
from ..span import SpanOwner
from ..values import flatten, model_attributes
from .segments import LATE_NS, Claim, Segment, Words, spoken_in, up_to_final
from .server_speech import ServerSpeech

if TYPE_CHECKING:
    from livekit.agents.metrics import VADMetrics

__all__ = ["VadTracker"]

_SUMMED = ("inference_duration_total", "inference_count")
_MAX_WAITING = 32
_MAX_WORDS = 64


class VadTracker:
    """The user's speech in one session: VAD's segments, and speech that LiveKit reports without VAD."""

    def __init__(self, scope: SessionScope) -> None:
        self._scope = scope
        self._current: Segment | None = None
        self._waiting: deque[Segment] = deque()
        self._words: deque[Words] = deque(maxlen=_MAX_WORDS)
        #: when a commit cut the user's speech
        self._cut_ns: int | None = None
        #: when VAD last heard the user in the current segment, and the LiveKit time that is not VAD's (unix seconds)
        self._heard_ns: int | None = None
        self._not_vads: float | None = None
        #: whether LiveKit handles an event of the recognizer, so that its time may not be VAD's
        self.recognizing = False
        #: end of the latest segment, claimed or not
        self._last_end_ns: int | None = None
        #: start of speech that LiveKit reports without VAD, as detected by the STT
        self._reported_ns: int | None = None
        #: speech detected by a realtime model's server
        self.server = ServerSpeech()
        self._metrics: dict[str, AttributeValue] = {}
        self._metrics_from_ns: int | None = None

    # --- detected speech ---------------------------------------------------------------------------

    def started(self, start_ns: int) -> None:
        """VAD detected the start of speech (back-dated)."""
        self.ended(self._scope.now_ns())
        self._current, self._heard_ns = Segment(start_ns), None

    def ended(self, end_ns: int) -> None:
        """VAD detected the end of the speech (back-dated)."""
        segment, self._current = self._current, None
        if segment is None or end_ns <= segment.start_ns == self._cut_ns:
            return  # no speech after the commit that cut the segment
        segment.end_ns = self._last_end_ns = max(end_ns, segment.start_ns)
        segment.attributes = self._take_metrics()
        self._waiting.append(segment)
        if len(self._waiting) > _MAX_WAITING:
            self._emit(self._waiting.popleft(), self._scope)

    def heard_until(self, last: float | None) -> None:
        """LiveKit's time at which the user was last heard, in unix seconds."""
        if last is not None and last != self._not_vads:
            self._heard_ns = self._scope.clock.at_ns(last)

    def recognizes(self, last: float | None) -> None:
        """Before an event of the recognizer, which overwrites that time."""
        self.recognizing = True
        self.heard_until(last)

    def overwritten(self, last: float | None) -> None:
        """After the event: it has overwritten LiveKit's time with ``last``, so this value does not come from VAD."""
        self.recognizing = False
        self._not_vads = last

    def flushed(self, now_ns: int) -> None:
        """The recognizer ended the speech and LiveKit flushes VAD, which will therefore not report the end."""
        if self._current is not None:
            heard = self._heard_ns
            self.ended(now_ns if heard is None or heard < self._current.start_ns else min(heard, now_ns))

    def reported(self, start_ns: int) -> None:
        """LiveKit reports that the recognizer detected the start of speech."""
        if self._reported_ns is None:
            self._reported_ns = start_ns

    def words(self, at_ns: int, *, final: bool) -> None:
        """A transcript arrived. Since the latest speech began, the first and the last of each kind are kept."""
        latest, words = self.segment_start_ns or 0, self._words
        while len(words) > 1 and words[-2].at_ns >= latest and (not words[-1].final or (final and words[-2].final)):
            words.pop()
        self._words.append(Words(at_ns, final))

    @property
    def speaking(self) -> bool:
        """Whether VAD currently detects speech."""
        return self._current is not None

    @property
    def unclaimed(self) -> bool:
        """Whether there is speech that no turn has claimed, apart from noise that a server took for speech."""
        if self.server.announces:
            return self.server.start_ns() is not None
        heard = self._current is not None or bool(self._waiting) or self._reported_ns is not None
        return heard or self.server.start_ns() is not None

    def began_ns(self, after_ns: int = 0) -> int | None:
        """Return when the user's unclaimed speech began."""
        heard = list(self._waiting)
        if self._current is not None and (self._words or not heard):
            heard.append(self._current)
        if heard:
            found = spoken_in(heard, self._words, after_ns) if self._words else heard[-1:]
            return found[0].start_ns
        server = self.server.start_ns()
        return self._reported_ns if server is None else server

    @property
    def speaks_ns(self) -> int | None:
        """When the user's current speech began, or noise that a server took for speech."""
        began = self.began_ns()
        return self.server.latest_ns if began is None else began

    @property
    def segment_start_ns(self) -> int | None:
        """When the user's latest speech began, if no turn has claimed it."""
        if self._current is not None:
            return self._current.start_ns
        server = self.server.latest_ns
        return self._waiting[-1].start_ns if self._waiting else self._reported_ns if server is None else server

    def latest(self) -> tuple[int, int | None] | None:
        """Return when that speech began, and when it ended, unless it lasts."""
        start = self.segment_start_ns
        ended = self._waiting[-1].end_ns if self._waiting else self.server.latest_end_ns
        return None if start is None else (start, None if self._current is not None else ended)

    # --- ownership ---------------------------------------------------------------------------------

    def claim(
        self, after_ns: int, *, words_ns: tuple[int, int] | None = None, words_follow: bool = False, cut: bool = False
    ) -> Claim:
        """Claim the speech of the words that are being committed.

        Args:
            after_ns: when the agent last had the floor.
            words_ns: when the first and the last of the words began, if known; may be before ``after_ns``.
            words_follow: whether the recognizer still works on later speech.
            cut: whether to claim speech that the user has not ended.
        """
        now, current = self._scope.now_ns(), self._current
        if current is not None and words_ns is not None and words_ns[1] >= current.start_ns:
            cut = True
        if current is not None and (cut or not self._waiting):
            cut = True
            self.ended(now)
            self._current, self._cut_ns = Segment(now), now
        else:
            cut = False
        heard = list(self._waiting)
        words, later_words = up_to_final(self._words)
        self._words = deque(later_words, maxlen=_MAX_WORDS)
        since = spoken_in(heard, words, after_ns)
        found = since if words_ns is None else spoken_in(heard, words, min(after_ns, words_ns[0]))
        self._waiting.clear()
        for other in heard:
            later = bool(found) and other.start_ns > found[-1].start_ns
            if later and (words_follow or now - (other.end_ns or now) <= LATE_NS):
                self._waiting.append(other)
            elif other not in found:
                self._emit(other, self._scope)
        reported, self._reported_ns = self._reported_ns, None
        by_server, items = self.server.claim()
        if found:
            return Claim(found, found[0].start_ns, found[-1].end_ns, floor_ns=since[0].start_ns, cut=cut, items=items)
        if by_server is not None:
            by_server.items = items
            return by_server
        # the words arrived late: their speech belongs to the previous turn
        late = self._last_end_ns
        follow = late is not None and bool(words) and late <= words[-1].at_ns <= late + LATE_NS
        return Claim((), reported, late if follow else None)

    def give(self, claim: Claim, owner: SpanOwner) -> None:
        """Assign the claimed segments to this turn."""
        for segment in claim.segments:
            self._emit(segment, owner)

    def release(self, claim: Claim) -> None:
        """Assign the claimed segments to no turn."""
        self.give(claim, self._scope)

    def discard(self) -> None:
        """Give up the unclaimed speech whose words are known: it will not be committed. Other words may still come."""
        finals = (word.at_ns for word in self._words if word.final)
        earliest = max([self._scope.now_ns() - LATE_NS, *finals])
        while self._waiting and (self._waiting[0].end_ns or 0) < earliest:
            self._emit(self._waiting.popleft(), self._scope)
        self._words.clear()
        self._reported_ns = None
        self.server.clear()

    # --- metrics -----------------------------------------------------------------------------------

    def metrics(self, metrics: VADMetrics) -> None:
        """VADMetrics, about one per second: counts are summed, other fields keep the latest value."""
        fields = {**flatten("vad", metrics), **model_attributes(metrics)}
        for name in _SUMMED:
            key = attr.metric("vad", name)
            before = self._metrics.get(key)
            if before is not None and key in fields:
                fields[key] = before + fields[key]  # type: ignore[operator]
        fields[attr.VAD_METRICS_COUNT] = int(self._metrics.get(attr.VAD_METRICS_COUNT, 0)) + 1  # type: ignore[arg-type]
        if self._metrics_from_ns is None:
            self._metrics_from_ns = self._scope.clock.inside_ns(metrics.timestamp)
        self._metrics = fields

    def close(self, at_ns: int) -> None:
        """The session is over: emit waiting segments; metrics of trailing silence get a span of their own."""
        self.ended(at_ns)
        while self._waiting:
            self._emit(self._waiting.popleft(), self._scope)
        if self._metrics:
            start = min(self._metrics_from_ns or at_ns, at_ns)
            attributes = {**self._take_metrics(), attr.VAD_SPEECH: False}
            self._scope.spans.start(attr.KIND_VAD, self._scope, start, attributes).end(at_ns)

    def _take_metrics(self) -> dict[str, AttributeValue]:
        taken, self._metrics, self._metrics_from_ns = self._metrics, {}, None
        return taken

    def _emit(self, segment: Segment, owner: SpanOwner) -> None:
        attributes = {**segment.attributes, attr.VAD_SPEECH: True}
        span = self._scope.spans.start(attr.KIND_VAD, owner, segment.start_ns, attributes)
        span.end(segment.end_ns if segment.end_ns is not None else self._scope.now_ns())
