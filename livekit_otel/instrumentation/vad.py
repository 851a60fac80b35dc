"""VAD: one span for each speech segment, with the metrics since the last one summed on it.

A segment's turn is known only when words arrive, so the span is made afterwards: below the turn that claims it, or
below the session when nobody does (noise).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from .values import flatten, model_attributes, now_ns, to_ns

if TYPE_CHECKING:
    from .session import SessionState
    from .turn import Turn

_SUMMED = ("inference_duration_total", "inference_count")
_MAX_WAITING = 8


class _Segment:
    def __init__(self, start_ns: int) -> None:
        self.start_ns = start_ns
        self.end_ns: int | None = None
        self.turn: Turn | None = None
        self.attributes: dict[str, AttributeValue] = {}


class VadTracker:
    """Speech segments of one session."""

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._current: _Segment | None = None
        self._waiting: deque[_Segment] = deque()
        self._metrics: dict[str, AttributeValue] = {}
        self._metrics_from_ns: int | None = None
        self._heard_ns: int | None = None
        #: user speech that VAD heard and that an answer without words may claim (realtime models, timeouts)
        self.claimable = False

    @property
    def unclaimed(self) -> bool:
        """Whether there is speech of the user that no turn has claimed."""
        return self._heard_ns is not None

    @property
    def segment_start_ns(self) -> int | None:
        """When the speech that goes on, or that nobody claimed yet, began."""
        if self._current is not None:
            return self._current.start_ns
        return self._waiting[-1].start_ns if self._waiting else self._heard_ns

    def started(self, start_ns: int) -> None:
        """VAD heard speech begin (back-dated)."""
        self._finish_current(now_ns())
        self._drop_waiting()
        self._current = _Segment(start_ns)
        pending = self._state.turns.pending
        if pending is not None and not pending.committed:
            self._current.turn = pending
        elif self._heard_ns is None:
            self._heard_ns = start_ns

    def user_state(self, *, speaking: bool, at_ns: int) -> None:
        """LiveKit says the user speaks or not, whoever heard it: a realtime model's server has no VAD of ours."""
        if not self._state.realtime:
            return
        pending = self._state.turns.pending
        if speaking and self._heard_ns is None and (pending is None or pending.committed):
            self._heard_ns = at_ns
        self.claimable = self._heard_ns is not None

    def ended(self, end_ns: int) -> None:
        """VAD heard the speech end (back-dated)."""
        segment = self._current
        if segment is None:
            return
        self._current = None
        segment.end_ns = max(end_ns, segment.start_ns)
        segment.attributes = self._take_metrics()
        if segment.turn is not None:
            self._emit(segment)
        else:
            self._waiting.append(segment)
            if len(self._waiting) > _MAX_WAITING:
                self._emit(self._waiting.popleft())

    def timed_out(self) -> None:
        """No transcript came for the speech: what the agent says now answers it."""
        self.claimable = self._heard_ns is not None

    def claim(self) -> int | None:
        """When the speech that nobody claimed yet began; it is claimed now."""
        heard, self._heard_ns = self._heard_ns, None
        self.claimable = False
        return heard

    def adopt(self, turn: Turn) -> None:
        """Segments without a turn belong to this one."""
        if self._current is not None and self._current.turn is None:
            self._current.turn = turn
        while self._waiting:
            segment = self._waiting.popleft()
            segment.turn = turn
            self._emit(segment)

    def metrics(self, metrics: Any) -> None:
        """VADMetrics, about one a second: counts are summed, the rest is the latest."""
        fields = flatten("vad", metrics)
        for name in _SUMMED:
            key = attr.metric("vad", name)
            before = self._metrics.get(key)
            if before is not None and key in fields:
                fields[key] = before + fields[key]  # type: ignore[operator]
        fields[attr.VAD_METRICS_COUNT] = int(self._metrics.get(attr.VAD_METRICS_COUNT, 0)) + 1  # type: ignore[arg-type]
        fields.update(model_attributes(metrics))
        if self._metrics_from_ns is None:
            self._metrics_from_ns = to_ns(metrics.timestamp)
        self._metrics = fields

    def close(self, at_ns: int) -> None:
        """The session is over: nothing waits any longer, and metrics of trailing silence get a span of their own."""
        self._finish_current(at_ns)
        self._drop_waiting()
        if self._metrics:
            start = min(self._metrics_from_ns or at_ns, at_ns)
            attributes = {**self._take_metrics(), attr.VAD_SPEECH: False}
            self._state.spans.start(attr.KIND_VAD, self._state.context, start, attributes).end(at_ns)

    def _take_metrics(self) -> dict[str, AttributeValue]:
        taken, self._metrics, self._metrics_from_ns = self._metrics, {}, None
        return taken

    def _finish_current(self, at_ns: int) -> None:
        if self._current is not None:
            self.ended(at_ns)

    def _drop_waiting(self) -> None:
        """Noise: nobody claimed these segments."""
        if self._waiting:
            self._heard_ns = None
            self.claimable = False
        while self._waiting:
            self._emit(self._waiting.popleft())

    def _emit(self, segment: _Segment) -> None:
        parent = segment.turn.context if segment.turn is not None else self._state.context
        attributes = {**segment.attributes, attr.VAD_SPEECH: True}
        end = segment.end_ns if segment.end_ns is not None else now_ns()
        self._state.spans.start(attr.KIND_VAD, parent, segment.start_ns, attributes).end(end)
