"""One turn while it goes on and shortly after: slim records of its stages, and what its span was told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from opentelemetry.sdk.trace import ReadableSpan, Span

from .. import attributes as attr
from ..spans import SpanRecord
from .derive import Totals, derive_turn, with_turn
from .encode import Attributes, Corrections, turn_attributes
from .model import TurnDerivation
from .stages import STAGE_ATTRIBUTES
from .usage import USAGE_ATTRIBUTES

__all__ = ["TURN_ATTRIBUTES", "LiveTurn", "plain", "slim"]

MAX_RUNNING = 32
_LATER = 1 << 62
_STAGE = STAGE_ATTRIBUTES | USAGE_ATTRIBUTES
TURN_ATTRIBUTES = frozenset(
    {attr.KIND, attr.TURN_INDEX, attr.TURN_USER_INITIATED, attr.TURN_SPEECH_IDS, attr.AGENT_NAME}
    | {attr.reported(name) for name in attr.REPORTED_METRICS}
)


def plain(span: ReadableSpan) -> dict[str, Any]:
    """A span's attributes as a dictionary of its own."""
    attributes = span.attributes
    return cast("Any", attributes).copy() if attributes else {}


def slim(
    span: ReadableSpan, attributes: Mapping[str, Any], keep: frozenset[str] = _STAGE, end_ns: int | None = None
) -> SpanRecord:
    """The record of a span with only what derivation reads: long calls keep some hundreds of them."""
    context = span.get_span_context()
    start = span.start_time or 0
    return SpanRecord(
        trace_id="",
        span_id=format(context.span_id, "016x") if context else "",
        parent_id=format(span.parent.span_id, "016x") if span.parent else None,
        name=span.name,
        start_ns=start,
        end_ns=end_ns or span.end_time or start,
        attributes={name: value for name, value in attributes.items() if name in keep},
    )


class LiveTurn:
    """One turn: its span while it is open, the record of it afterwards, and its stages."""

    __slots__ = (
        "_derived",
        "_told",
        "_totals",
        "asked",
        "fell_silent_ns",
        "running",
        "said",
        "span",
        "span_id",
        "speaking",
        "stages",
        "turn",
    )

    def __init__(self, span: Span, record: SpanRecord) -> None:
        self.span: Span | None = span
        self.turn = record
        self.span_id = record.span_id
        self.stages: list[SpanRecord] = []
        self.asked = False
        self.speaking = 0
        self.fell_silent_ns = 0
        #: tools and realtime responses that go on: an answer can wait for one that outlives its turn
        self.running: dict[str, Span] = {}
        self._totals = Totals()
        self.said: Attributes = {}
        self._derived: TurnDerivation | None = None
        #: what ``said`` says
        self._told: TurnDerivation | None = None

    def started(self, span: Span) -> None:
        context = span.get_span_context()
        if context is not None and len(self.running) < MAX_RUNNING:
            self.running[format(context.span_id, "016x")] = span
            self._derived = None

    def add(self, record: SpanRecord) -> None:
        self.running.pop(record.span_id, None)
        self.stages.append(record)
        self._totals.add(record)
        self._derived = None

    def remove(self, record: SpanRecord) -> None:
        kept = [one for one in self.stages if one is not record]
        self.stages, self._totals = [], Totals()
        for one in kept:
            self.add(one)
        self._derived = None

    def derive(self) -> TurnDerivation:
        if self._derived is None:
            going_on = [slim(span, plain(span), end_ns=_LATER) for span in self.running.values()]
            self._derived = derive_turn([*self.stages, *going_on], self.turn, totals=self._totals)
        return self._derived

    def ended(self, record: SpanRecord) -> None:
        """The turn's own span has ended."""
        self.span, self.turn = None, record
        if self._derived is not None:
            told, self._derived = self._derived is self._told, with_turn(self._derived, record)
            if told and not self._derived.notes:
                self._told = self._derived

    def update(self) -> None:
        """Tell the live span what is known by now."""
        if self.span is None or not self.span.is_recording():
            return
        derived = self.derive()
        now = turn_attributes(derived)
        changed = {name: value for name, value in now.items() if self.said.get(name) != value}
        if changed:
            self.span.set_attributes(changed)
        # a live span keeps what it was told: what no longer holds is taken back by a correction
        self._told = derived if self.said.keys() <= now.keys() else None
        self.said = {**self.said, **now}

    def correct(self, corrections: Corrections) -> None:
        """The turn's span has ended; what it does not say goes out on a later span."""
        derived = self.derive()
        if derived is self._told:
            return
        self._told, before, self.said = derived, self.said, turn_attributes(derived)
        corrections.add(derived.index, before, self.said)
