"""One turn while it is open and shortly after: reduced records of its stages, and the attributes on its span."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan, Span

from .. import attributes as attr
from ..spans import SpanRecord
from ..thresholds import Thresholds
from ..turns.around import Around, sooner
from ..turns.cutoff import AFTER_AUDIO, EXACT
from ..turns.derive import Totals, derive_turn, with_turn
from ..turns.encode import Attributes, turn_attributes
from ..turns.flags import flags_of
from ..turns.intervals import Interval
from ..turns.model import Flag, TurnDerivation
from ..turns.path import AT_ONCE
from ..turns.usage import Use, use_of
from .corrections import Corrections
from .records import TURN_ATTRIBUTES, number_of, plain, reduced_record
from .shared import Shared

__all__ = ["LiveTurn"]

MAX_RUNNING = 32
MAX_STAGES = 512
MAX_ARRIVED = 32
_LATER = 1 << 62


class LiveTurn:
    """One turn: its span while it is open, its record after that, and its stages."""

    __slots__ = (
        "_arrived",
        "_closed",
        "_commit_ns",
        "_derived",
        "_session",
        "_shared",
        "_stages",
        "_thresholds",
        "_tool_end_ns",
        "_totals",
        "_written_from",
        "asked",
        "fell_silent_ns",
        "running",
        "span",
        "span_id",
        "speaking",
        "turn",
        "until_ns",
        "until_spoken",
        "written",
    )

    def __init__(self, span: Span, record: SpanRecord, session: Totals, shared: Shared, thresholds: Thresholds) -> None:
        self.span: Span | None = span
        self._thresholds = thresholds
        #: whether the end of the turn is known
        self._closed = False
        self.turn = record
        self.span_id = record.span_id
        #: ended stages as SDK spans; reading them together costs half as much as one by one
        self._arrived: list[ReadableSpan] = []
        self._stages: list[SpanRecord] = []
        self._session = session
        self.asked = False
        self.speaking = 0
        self.fell_silent_ns = 0
        #: running tools and realtime responses; an answer can wait for one that outlives its turn
        self.running: dict[int, Span] = {}
        self._totals = Totals()
        #: the earliest decision that the user had finished speaking
        self._commit_ns = _LATER
        self._tool_end_ns = 0
        self._shared = shared
        #: when the user spoke again after this turn, or the closing of the session began
        self.until_ns: int | None = None
        self.until_spoken = False
        self.written: Attributes = {}
        self._derived: TurnDerivation | None = None
        #: the derivation that ``written`` was made from
        self._written_from: TurnDerivation | None = None

    def started(self, span: Span) -> None:
        if len(self.running) < MAX_RUNNING:
            self.running[number_of(span)] = span
            self._derived = None

    def add(self, span: ReadableSpan) -> None:
        """Add an ended stage of this turn."""
        self.running.pop(number_of(span), None)
        self._arrived.append(span)
        self._derived = None
        if len(self._arrived) >= MAX_ARRIVED:
            self.read()

    def read(self) -> None:
        """Convert the stages that arrived to reduced records, and release their spans."""
        arrived, self._arrived = self._arrived, []
        for span in arrived:
            record = reduced_record(span, plain(span))
            use = use_of(record)
            self._session.count(record, use)
            self.take(record, use)

    def take(self, record: SpanRecord, use: Use | None) -> None:
        """Add a stage that the session has already counted, with its usage."""
        if len(self._stages) < MAX_STAGES:
            self._stages.append(record)
            kind = record.kind
            if kind == attr.KIND_EOU:
                self._commit_ns = min(self._commit_ns, record.end_ns)
            elif kind == attr.KIND_TOOL:
                self._tool_end_ns = max(self._tool_end_ns, record.end_ns)
            self._totals.count(record, use)
            self._derived = None

    @property
    def stages(self) -> list[SpanRecord]:
        self.read()
        return self._stages

    def remove(self, record: SpanRecord) -> None:
        kept = [one for one in self.stages if one is not record]
        self._stages, self._totals, self._derived = [], Totals(), None
        for one in kept:
            self.take(one, use_of(one))

    def derive(self) -> TurnDerivation:
        if self._arrived:
            self.read()
        if self._derived is None:
            going_on = [reduced_record(span, plain(span), end_ns=_LATER) for span in self.running.values()]
            shared = self._shared
            around = Around(heard=shared.sounds, tools=shared.tools, until_ns=self.until_ns, spoken=self.until_spoken)
            self._derived = derive_turn([*self._stages, *going_on], self.turn, totals=self._totals, around=around)
        return self._derived

    def flags(self) -> tuple[Flag, ...]:
        return flags_of(self.derive(), self._thresholds)

    def heard(self, sound: Interval) -> bool:
        """Account for a sound, which is not part of a silence. Returns whether it falls into a derived silence."""
        if self._derived is None or not self._derived.gaps:
            return False
        if not any(one.start_ns < sound[1] and one.end_ns > sound[0] for one in self._derived.gaps):
            return False
        self._derived = None
        return True

    def tool_ended(self, at_ns: int) -> bool:
        """A tool of another turn has ended: a step of this turn may have waited for it, if one began right then.

        Returns True if the turn has to be derived again.
        """
        if self._derived is None or not self.turn.start_ns <= at_ns:
            return False
        if self.span is None and at_ns > self.turn.end_ns:
            return False
        if not any(at_ns <= one.start_ns <= at_ns + AT_ONCE for one in self.stages):
            return False
        self._derived = None
        return True

    def end_wait(self, at_ns: int, *, spoken: bool) -> bool:
        """End the wait, because the user speaks again or the session closes.

        Returns whether this changes the known end of the wait.
        """
        known_until = self.until_ns, self.until_spoken
        until = sooner(known_until, (at_ns, spoken))
        if until == known_until:
            return False
        self.until_ns, self.until_spoken = until
        known = self._derived
        if known is None or known.answered == "no" or known.acknowledged or known.false_cutoff:
            self._derived = None
        elif self._tool_end_ns > until[0]:
            self._derived = None  # the turn ended before its tool did
        elif self._commit_ns - EXACT <= until[0] <= (known.answered_ns or _LATER) + AFTER_AUDIO + EXACT:
            # so early that the user may only have paused
            self._derived = None
        return True

    def ending(self, end_ns: int) -> None:
        """Complete the turn's span, which is still recording and already has all its other attributes."""
        if self.span is not None:
            self._close(reduced_record(self.span, plain(self.span), TURN_ATTRIBUTES, end_ns))
            self.update()

    def ended(self, span: ReadableSpan) -> SpanRecord:
        """Handle the end of the turn's own span. Returns its record."""
        if not self._closed:
            self._close(reduced_record(span, plain(span), TURN_ATTRIBUTES))
        self.span = None
        return self.turn

    def _close(self, record: SpanRecord) -> None:
        self._closed, self.turn = True, record
        if self._derived is not None and not self._is_settled(record):
            self._derived = None
        if self._derived is not None:
            same, self._derived = self._derived is self._written_from, with_turn(self._derived, record)
            if same and not self._derived.notes and self._derived.end_reason != attr.END_FAILED:
                self._written_from = self._derived

    def _is_settled(self, record: SpanRecord) -> bool:
        """Whether the kind of end changes nothing: the turn was answered, and no tool ran beyond its speech."""
        if self._derived is None or self._derived.answered != "yes" or self.running:
            return False
        if self._arrived:
            self.read()
        if not self._tool_end_ns:
            return True
        return record.attributes.get(attr.END_REASON) == attr.END_COMPLETED and self._tool_end_ns <= self.fell_silent_ns

    def is_decided(self, *, others_open: bool) -> bool:
        """Whether the user's next action cannot change the turn any more (its wait, or a pause taken for its end)."""
        if self.until_ns is not None:
            return True
        derived = self.derive()
        if others_open or derived.end_reason != attr.END_COMPLETED or derived.answered not in ("yes", None):
            return False
        return derived.answered_ns is None or self.turn.end_ns > derived.answered_ns + AFTER_AUDIO + EXACT

    def update(self) -> None:
        """Set the current values on the recording span."""
        if self.span is None or not self.span.is_recording():
            return
        derived = self.derive()
        if derived is self._written_from:
            return
        now = turn_attributes(derived, self._thresholds)
        changed = {name: value for name, value in now.items() if self.written.get(name) != value}
        if changed:
            self.span.set_attributes(changed)
        # attributes cannot be removed from a live span; a correction withdraws those that no longer hold
        self._written_from = derived if self.written.keys() <= now.keys() else None
        self.written = {**self.written, **now}

    def correct(self, corrections: Corrections) -> None:
        """Add corrections for values that the turn's ended span lacks."""
        derived = self.derive()
        if derived is self._written_from:
            return
        self._written_from, before, self.written = derived, self.written, turn_attributes(derived, self._thresholds)
        corrections.add(derived.index, before, self.written)
