"""What the processor keeps of a session while it runs: slim records of the latest turns, and sums of all."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any, cast

from opentelemetry.sdk.trace import ReadableSpan, Span

from .. import attributes as attr
from ..spans import SpanRecord
from .derive import Totals, derive_turn, owner, summary
from .encode import Attributes, Corrections, session_attributes, turn_attributes
from .model import SessionDerivation, TurnDerivation
from .stages import STAGE_ATTRIBUTES
from .stats import LatencyStats
from .usage import USAGE_ATTRIBUTES

__all__ = ["LiveSession", "LiveTurn", "slim"]

#: turns that stay open for late spans, after they ended
KEPT_TURNS = 64
MAX_OPEN = 64
MAX_STAGES = 512
MAX_LOOSE = 64
MAX_PIECES = 16
#: attributes that a span may have before an SDK drops the oldest (OpenTelemetry's default)
SPAN_ATTRIBUTES = 128

_STAGE = STAGE_ATTRIBUTES | USAGE_ATTRIBUTES
_TURN = frozenset(
    {attr.KIND, attr.TURN_INDEX, attr.TURN_USER_INITIATED, attr.TURN_SPEECH_IDS, attr.AGENT_NAME}
    | {attr.reported(name) for name in attr.REPORTED_METRICS}
)


def plain(span: ReadableSpan) -> dict[str, Any]:
    """A span's attributes as a dictionary of its own."""
    attributes = span.attributes
    return cast("Any", attributes).copy() if attributes else {}


def slim(span: ReadableSpan, attributes: Mapping[str, Any], keep: frozenset[str] = _STAGE) -> SpanRecord:
    """The record of a span with only what derivation reads: long calls keep some hundreds of them."""
    context = span.get_span_context()
    start = span.start_time or 0
    return SpanRecord(
        trace_id="",
        span_id=format(context.span_id, "016x") if context else "",
        parent_id=format(span.parent.span_id, "016x") if span.parent else None,
        name=span.name,
        start_ns=start,
        end_ns=span.end_time or start,
        attributes={name: value for name, value in attributes.items() if name in keep},
    )


class LiveTurn:
    """One turn: its span while it is open, the record of it afterwards, and its stages."""

    __slots__ = ("said", "span", "span_id", "speaking", "stages", "turn")

    def __init__(self, span: Span, record: SpanRecord) -> None:
        self.span: Span | None = span
        self.turn = record
        self.span_id = record.span_id
        self.stages: list[SpanRecord] = []
        self.speaking = 0
        self.said: Attributes = {}

    def derive(self) -> TurnDerivation:
        return derive_turn(self.stages, self.turn)

    def update(self) -> None:
        """Tell the live span what is known by now."""
        if self.span is None or not self.span.is_recording():
            return
        now = turn_attributes(self.derive())
        changed = {name: value for name, value in now.items() if self.said.get(name) != value}
        if changed:
            self.span.set_attributes(changed)
        self.said = now


class LiveSession:
    """One session. Nothing in it grows with the length of the call beyond the limits above."""

    def __init__(self) -> None:
        self.span: Span | None = None
        self.open: OrderedDict[str, LiveTurn] = OrderedDict()
        self.kept: OrderedDict[str, LiveTurn] = OrderedDict()
        self.totals = Totals()
        self.corrections = Corrections()
        self._stats = LatencyStats()
        self._loose: deque[tuple[SpanRecord, str | None]] = deque(maxlen=MAX_LOOSE)
        self._ended = False

    # --- turns -------------------------------------------------------------------------------------

    def turn_started(self, span: Span, attributes: Mapping[str, Any]) -> None:
        turn = LiveTurn(span, slim(span, attributes, _TURN))
        self.open[turn.span_id] = turn
        if len(self.open) > MAX_OPEN:
            self._stats.add(self.open.popitem(last=False)[1].derive())

    def turn_ended(self, span: ReadableSpan, attributes: Mapping[str, Any]) -> LiveTurn | None:
        record = slim(span, attributes, _TURN)
        turn = self.open.pop(record.span_id, None)
        if turn is None:
            return None
        turn.span = None
        turn.turn = record
        self.kept[turn.span_id] = turn
        self._settle_loose()
        self._correct(turn)
        if len(self.kept) > KEPT_TURNS:
            self._stats.add(self.kept.popitem(last=False)[1].derive())
        return turn

    def _correct(self, turn: LiveTurn) -> None:
        """The turn's span has ended; what it does not say goes out on a later span."""
        now = turn_attributes(turn.derive())
        if now != turn.said:
            index = int(turn.turn.attributes.get(attr.TURN_INDEX, 0))  # type: ignore[arg-type]
            self.corrections.add(index, turn.said, now)
            turn.said = now

    # --- stages ------------------------------------------------------------------------------------

    def playback_started(self, turn_id: str) -> None:
        turn = self.open.get(turn_id)
        if turn is not None:
            turn.speaking += 1

    def stage_ended(self, record: SpanRecord) -> None:
        self.totals.add(record)
        parent = record.parent_id or ""
        turn = self.open.get(parent) or self.kept.get(parent)
        if turn is None:
            if record.attributes.get(attr.SPEECH_ID):
                self._loose.append((record, None))
                self._settle_loose()
        else:
            kind = record.kind
            if kind == attr.KIND_PLAYBACK:
                turn.speaking = max(0, turn.speaking - 1)
            if len(turn.stages) < MAX_STAGES:
                turn.stages.append(record)
                self._refresh(turn, kind)
        if self._ended:
            self.tell_session()

    def _refresh(self, turn: LiveTurn, kind: str) -> None:
        if turn.span is None:
            self._correct(turn)
        elif not turn.speaking and not (kind == attr.KIND_VAD and not turn.said):
            # while the agent speaks nothing is final: its playout ends, and then all is derived at once
            turn.update()

    def _settle_loose(self) -> None:
        """Stages below the session go to the turn that names their speech; a later turn can have the better claim."""
        if not self._loose:
            return
        turns = {turn.span_id: turn for turn in self.kept.values()}
        for _ in range(len(self._loose)):
            record, home = self._loose.popleft()
            found = owner(record, [turn.turn for turn in turns.values()])
            new = found.span_id if found is not None else None
            if home is not None and home not in turns:
                new = home  # settled for good
            if new != home:
                if home in turns:
                    turns[home].stages = [one for one in turns[home].stages if one is not record]
                    self._correct(turns[home])
                if new is not None:
                    turns[new].stages.append(record)
                    self._correct(turns[new])
            self._loose.append((record, new))

    def agent(self, record: SpanRecord) -> object:
        """Who was in charge at a stage that belongs to no open turn."""
        turn = self.kept.get(record.parent_id or "")
        if turn is not None:
            return turn.turn.attributes.get(attr.AGENT_NAME)
        return plain(self.span).get(attr.AGENT_NAME) if self.span is not None else None

    # --- what the session says ---------------------------------------------------------------------

    def summary(self) -> SessionDerivation:
        """The session's numbers up to now."""
        stats = self._stats.copy()
        for turn in (*self.kept.values(), *self.open.values()):
            stats.add(turn.derive())
        return summary(stats, self.totals)

    def session_ends(self, span: Span) -> None:
        """session.end is live: it and the session's span get the totals."""
        self._ended = True
        totals, each = session_attributes(self.summary())
        _set_if_room(span, totals)
        self.carry(span)
        if lost := self.corrections.lost + len(self.corrections):
            span.set_attribute(attr.SESSION_LATE_LOST, lost)
        _set_if_room(span, each)
        self.tell_session(totals, each)

    def tell_session(self, *parts: Attributes) -> None:
        """The session's own span, which is still live."""
        if self.span is not None and self.span.is_recording():
            for part in parts or session_attributes(self.summary()):
                _set_if_room(self.span, part)

    def carry(self, span: Span) -> None:
        """A span of the session that can carry corrections is live."""
        if len(self.corrections):
            span.set_attributes(self.corrections.take(min(_room(span) - 1, MAX_PIECES)))


def _room(span: ReadableSpan, more: Attributes | None = None) -> int:
    """How many attributes a span can take besides ``more`` before the SDK drops its oldest."""
    return SPAN_ATTRIBUTES - len(plain(span).keys() | (more or {}).keys())


def _set_if_room(span: Span, attributes: Attributes) -> None:
    if _room(span, attributes) >= 0:
        span.set_attributes(attributes)
