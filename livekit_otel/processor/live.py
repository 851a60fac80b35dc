"""The processor's state of a running session: reduced records of the latest turns, and totals over all turns."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from itertools import islice
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, Span

from .. import attributes as attr
from ..spans import SpanRecord, attribute_limit, flag, outcome
from ..thresholds import DEFAULTS, Thresholds
from ..turns.around import close_ns, is_spoken
from ..turns.attribution import index_of, owner
from ..turns.derive import Totals, summary
from ..turns.encode import Attributes, session_attributes
from ..turns.model import SessionDerivation
from ..turns.stats import LatencyStats
from ..turns.usage import use_of
from .corrections import Corrections
from .live_turn import LiveTurn
from .records import TURN_ATTRIBUTES, number_of, plain, reduced_record
from .shared import Shared
from .unmeasured import Unmeasured

__all__ = ["LiveSession"]

#: ended turns that are kept for late spans
KEPT_TURNS = 64
MAX_OPEN = 64
MAX_LOOSE = 64
MAX_PIECES = 16
#: number of recent turns in whose silences a sound can fall; the wait of an older turn ended with a later turn
RECENT_TURNS = 8
#: stages that lead to an answer that will be heard
_LEADS_TO_VOICE = frozenset(
    {attr.KIND_EOU, attr.KIND_LLM, attr.KIND_NODE, attr.KIND_TTS, attr.KIND_TOOL, attr.KIND_REALTIME}
)
_SHARED = frozenset({attr.KIND_VAD, attr.KIND_STT, attr.KIND_PLAYBACK, attr.KIND_TOOL})
_BEFORE_ASKING = frozenset({attr.KIND_VAD, attr.KIND_STT})
#: the number of attributes above which an SDK drops the oldest of a span (OpenTelemetry's default)
SPAN_ATTRIBUTES = 128


class LiveSession:
    """One session. Its size is bounded by the limits above and does not grow with the length of the call.

    ``thresholds``: the values from which its turns are flagged. ``ends_announced``: :meth:`turn_ending` is called.
    """

    def __init__(self, thresholds: Thresholds = DEFAULTS, *, ends_announced: bool = False) -> None:
        self.span: Span | None = None
        self._thresholds = thresholds
        self._ends_announced = ends_announced
        #: by the numeric id of their span
        self.open: OrderedDict[int, LiveTurn] = OrderedDict()
        self.kept: OrderedDict[int, LiveTurn] = OrderedDict()
        self.totals = Totals()
        self.corrections = Corrections()
        self.unmeasured = Unmeasured()
        self._stats = LatencyStats(thresholds)
        self._shared = Shared()
        #: turns whose wait has not ended, and the latest time at which the wait of another turn ended
        self._waiting: list[LiveTurn] = []
        self._until_ns = 0
        self._loose: deque[tuple[SpanRecord, str | None]] = deque(maxlen=MAX_LOOSE)
        self._ended = False
        self._voiced = False

    # --- turns -------------------------------------------------------------------------------------

    def turn_started(self, span: Span, attributes: Mapping[str, Any]) -> None:
        record = reduced_record(span, attributes, TURN_ATTRIBUTES)
        turn = LiveTurn(span, record, self.totals, self._shared, self._thresholds)
        self.open[number_of(span)] = turn
        self._waiting.append(turn)
        if len(self.open) > MAX_OPEN:
            self._stats.add(self.open.popitem(last=False)[1].derive())

    def turn_ending(self, span_id: int, end_ns: int) -> None:
        """Update a turn whose span is about to end."""
        turn = self.open.get(span_id)
        if turn is not None:
            turn.ending(end_ns)

    def turn_ended(self, span: ReadableSpan) -> LiveTurn | None:
        number = number_of(span)
        turn = self.open.pop(number, None)
        if turn is None:
            return None
        record = turn.ended(span)
        if flag(record.attributes, attr.TURN_HAS_USER):
            self._end_waits(record.start_ns, index_of(record), spoken=is_spoken(record))
        self.kept[number] = turn
        self._settle_loose()
        turn.correct(self.corrections)
        if len(self.kept) > KEPT_TURNS:
            self._stats.add(self.kept.popitem(last=False)[1].derive())
        return turn

    def _end_waits(self, at_ns: int, index: int | None = None, *, spoken: bool = False) -> None:
        """End the waits before turn ``index``, in which the user spoke, or all of them when the session closes."""
        # usually, only the turns since the user last spoke are waiting
        turns = self._waiting if at_ns >= self._until_ns else [*self.kept.values(), *self.open.values()]
        self._until_ns = max(self._until_ns, at_ns)
        for turn in list(turns):
            before = index is None or index_of(turn.turn) < index
            if before and turn.end_wait(at_ns, spoken=spoken) and turn.span is None:
                turn.correct(self.corrections)
        self._waiting = [turn for turn in self._waiting if turn.until_ns is None][-KEPT_TURNS:]

    def _share(self, span: ReadableSpan) -> None:
        """Apply a sound or a tool run to other turns as well: their silences must not contain sound."""
        sounds = self._shared.take(span)
        turns = (*self.open.values(), *islice(reversed(self.kept.values()), RECENT_TURNS))
        changed = [turn for sound in sounds for turn in turns if turn.heard(sound)]
        if span.name == attr.KIND_TOOL:
            changed = [turn for turn in turns if turn.tool_ended(span.end_time or 0)]
        for turn in (one for one in changed if one.span is None):
            turn.correct(self.corrections)

    # --- stages ------------------------------------------------------------------------------------

    def stage_started(self, span: Span) -> None:
        """Handle the start of a playout, a tool call or a realtime response."""
        turn = self.open.get(span.parent.span_id) if span.parent is not None else None
        if turn is None:
            return
        if span.name == attr.KIND_PLAYBACK:
            turn.speaking += 1
        else:
            turn.started(span)

    def stage_ended(self, span: ReadableSpan) -> None:
        if span.name in _SHARED and (span.name != attr.KIND_STT or attr.STT_SPOKEN in (span.attributes or ())):
            self._share(span)
        parent = span.parent.span_id if span.parent is not None else 0
        turn = self.open.get(parent) or self.kept.get(parent)
        if turn is None:
            record = reduced_record(span, plain(span))
            self.totals.add(record)
            if record.attributes.get(attr.SPEECH_ID):
                self._loose.append((record, None))
                self._settle_loose()
        else:
            if span.name == attr.KIND_PLAYBACK:
                self._voiced = True
                turn.speaking = max(0, turn.speaking - 1)
                turn.fell_silent_ns = max(turn.fell_silent_ns, span.end_time or 0)
            turn.add(span)
            self._refresh(turn, span)
        if self._ended:
            self.write_session()

    def _refresh(self, turn: LiveTurn, span: ReadableSpan) -> None:
        """Derive the turn again, unless that is premature: its voice is playing, is expected soon, or is not requested.

        If the expected voice does not follow, the end of the turn writes the missing values to a later span.
        """
        if turn.span is None:
            turn.correct(self.corrections)
            return
        if self._ends_announced:
            return  # nobody sees the span before its end, which writes all of it
        kind = span.name
        turn.asked = turn.asked or kind == attr.KIND_EOU
        if turn.speaking or (kind in _BEFORE_ASKING and not turn.asked):
            return
        working = kind in _LEADS_TO_VOICE and (span.start_time or 0) >= turn.fell_silent_ns
        if working and self._voiced and outcome(span.attributes or {}) == attr.OUTCOME_COMPLETED:
            return
        turn.update()

    def _settle_loose(self) -> None:
        """Assign stages below the session to the turn that names their speech; a later turn may match better."""
        if not self._loose:
            return
        turns = {turn.span_id: turn for turn in self.kept.values()}
        for _ in range(len(self._loose)):
            record, home = self._loose.popleft()
            found = owner(record, [turn.turn for turn in turns.values()])
            new = found.span_id if found is not None else None
            if home is not None and home not in turns:
                new = home  # final: this turn is no longer kept
            if new != home:
                if home in turns:
                    turns[home].remove(record)
                    turns[home].correct(self.corrections)
                if new is not None:
                    turns[new].take(record, use_of(record))
                    turns[new].correct(self.corrections)
            self._loose.append((record, new))

    def agent(self, parent: int) -> object:
        """The agent in charge during a stage that belongs to no open turn."""
        turn = self.kept.get(parent)
        if turn is not None:
            return turn.turn.attributes.get(attr.AGENT_NAME)
        return plain(self.span).get(attr.AGENT_NAME) if self.span is not None else None

    # --- the session's own attributes --------------------------------------------------------------

    def summary(self) -> SessionDerivation:
        """The current numbers of the session."""
        stats = self._stats.copy()
        for turn in (*self.kept.values(), *self.open.values()):
            stats.add(turn.derive())
        return summary(stats, self.totals)

    def say_thresholds(self, span: Span) -> None:
        """Set the thresholds for flags on the session's span or on its first span."""
        _set_if_room(span, {attr.threshold(name): value for name, value in self._thresholds.items()})

    def session_ends(self, span: Span) -> None:
        """Set the totals on ``session.end``, which is recording, and on the session's span."""
        self._ended = True
        self._end_waits(close_ns(plain(span), span.start_time or 0))
        totals, each = session_attributes(self.summary())
        _set_if_room(span, totals)
        self.carry(span)
        if lost := self.corrections.lost + len(self.corrections):
            span.set_attribute(attr.SESSION_LATE_LOST, lost)
        self.write_session(totals, each)

    def write_session(self, *parts: Attributes) -> None:
        """Set attributes on the session's own span, while it is recording; single percentiles where there is room."""
        if self.span is not None and self.span.is_recording():
            totals, each = parts or session_attributes(self.summary())
            _set_if_room(self.span, {name: one for name, one in totals.items() if name != attr.SESSION_LATENCIES})
            _set_if_room(self.span, each)

    def carry(self, span: Span) -> None:
        """Set pending corrections on a recording span of the session."""
        if len(self.corrections):
            span.set_attributes(self.corrections.take(min(_room(span) - 1, MAX_PIECES)))


def _room(span: ReadableSpan, more: Attributes | None = None) -> int:
    """The number of attributes that fit on a span in addition to ``more`` before the SDK drops its oldest."""
    limit = attribute_limit(span)
    return (SPAN_ATTRIBUTES if limit is None else min(limit, SPAN_ATTRIBUTES)) - len(
        plain(span).keys() | (more or {}).keys()
    )


def _set_if_room(span: Span, attributes: Attributes) -> None:
    if _room(span, attributes) >= 0:
        span.set_attributes(attributes)
