"""TurnSpanProcessor: puts each turn's latency, silence and usage on its span, and the session's totals at its end."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from .. import attributes as attr
from ..containment import where
from ..spans import is_ours, session_of
from ..thresholds import Thresholds, check, over
from .live import LiveSession
from .metrics import TurnMetrics
from .records import plain, reduced_record
from .unmeasured import Ended

__all__ = ["TurnSpanProcessor"]

logger = logging.getLogger("livekit_otel")

MAX_SESSIONS = 1_024
#: kinds of which the start is of interest, and kinds of which the end is
_STARTS = frozenset(
    {
        attr.KIND_SESSION,
        attr.KIND_SESSION_START,
        attr.KIND_SESSION_CHECKPOINT,
        attr.KIND_SESSION_END,
        attr.KIND_TURN,
        attr.KIND_PLAYBACK,
        attr.KIND_TOOL,
        attr.KIND_REALTIME,
    }
)
_ENDS = attr.STAGE_KINDS | {attr.KIND_SESSION, attr.KIND_TURN}


class TurnSpanProcessor(SpanProcessor):
    """Derives turns from the pipeline spans that pass, with the functions that reports use.

    Add it to the ``TracerProvider`` that the pipeline spans go to, before or after the exporters'. It uses the SDK's
    public hooks only: it learns from stage spans as they end, and sets attributes on spans that are live (the turn's,
    ``session.start``, ``session.end``, ``session``). What becomes known when the turn's span has ended (usage of a
    realtime model, how long the user went on waiting) is on the next checkpoint of the session or its end, in
    ``livekit_otel.turn_late.*``.

    Nothing that it keeps grows with the length of a call. It never raises.

    Args:
        meter_provider: where to record metrics. None: the global one, if that is a ``MeterProvider`` of the SDK; else
            nothing is recorded.
        thresholds: from how many seconds on waits are flagged: ``slow`` (2.0, of ``e2e_latency``) and ``dead_air``
            (3.0); those of ``set_tracer_provider`` win. docs/latency.md has the flags.

    Raises:
        OptionError: ``thresholds`` are none.
    """

    def __init__(
        self, meter_provider: MeterProvider | None = None, *, thresholds: Mapping[str, float] | None = None
    ) -> None:
        self._thresholds: Thresholds = check(thresholds)
        self._configured: Thresholds = {}
        self._lock = threading.RLock()
        self._sessions: OrderedDict[str, LiveSession] = OrderedDict()
        self._metrics = TurnMetrics(meter_provider)
        self._failed: set[str] = set()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.name in _STARTS and is_ours(span):
            self._contained("turn processor, on_start", self._started, span)

    def on_end(self, span: ReadableSpan) -> None:
        if span.name in _ENDS and is_ours(span):
            self._contained("turn processor, on_end", self._ended, span)

    def configure(self, thresholds: Thresholds) -> None:
        """Thresholds that win over its own, for sessions that start from now on."""
        self._configured = thresholds

    def turn_ending(self, span: Span, end_ns: int) -> None:
        """A turn's span, which is live, is about to end: what its end decides is known, and can be on it."""
        context = span.get_span_context()
        if context is not None:
            self._contained("turn processor, turn_ending", self._ending, (span, context.span_id, end_ns))

    def shutdown(self) -> None:
        with self._lock:
            for session in self._sessions.values():
                self._contained("turn processor, metrics", self._measure_all, session)
            self._sessions.clear()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True

    # --- what happens ------------------------------------------------------------------------------

    def _started(self, span: Span) -> None:
        kind = span.name
        if kind == attr.KIND_SESSION:
            self._open(span)
            return
        session = self._session(span)
        if session is None:
            return
        if kind == attr.KIND_TURN:
            session.turn_started(span, plain(span))
        elif kind == attr.KIND_SESSION_END:
            session.session_ends(span)
            self._measure_all(session)
        elif kind == attr.KIND_SESSION_START:
            session.say_thresholds(span)
        elif kind == attr.KIND_SESSION_CHECKPOINT:
            session.carry(span)
        else:
            session.stage_started(span)

    def _ending(self, turn: tuple[Span, int, int]) -> None:
        span, span_id, end_ns = turn
        session = self._session(span)
        if session is not None:
            session.turn_ending(span_id, end_ns)

    def _ended(self, span: ReadableSpan) -> None:
        kind = span.name
        if kind in attr.STAGE_KINDS:
            session = self._session(span)
            if session is not None:
                session.stage_ended(span)
                parent = span.parent.span_id if span.parent is not None else 0
                if parent not in session.open and self._metrics.enabled:
                    self._metrics.stage(reduced_record(span, plain(span)), session.agent(parent), span)
        elif kind == attr.KIND_TURN:
            session = self._session(span)
            turn = session.turn_ended(span) if session is not None else None
            if session is not None and turn is not None and self._metrics.enabled:
                session.unmeasured.add(Ended(turn, span, self._metrics.stages(turn.stages, turn.derive().agent, span)))
                self._measure(session)
        elif kind == attr.KIND_SESSION:
            session = self._sessions.pop(session_of(span), None)
            if session is not None:
                self._measure_all(session)

    def _measure(self, session: LiveSession, *, last: bool = False) -> None:
        """Record metrics of the turns that nothing changes any more."""
        for one in session.unmeasured.take(others_open=bool(session.open), last=last):
            self._metrics.turn(one)

    def _measure_all(self, session: LiveSession) -> None:
        self._measure(session, last=True)

    def _open(self, span: Span) -> None:
        session_id = session_of(span)
        if session_id:
            session = LiveSession(over(self._configured, self._thresholds))
            session.span = span
            session.say_thresholds(span)
            self._sessions[session_id] = session
            if len(self._sessions) > MAX_SESSIONS:
                self._measure_all(self._sessions.popitem(last=False)[1])

    def _session(self, span: ReadableSpan) -> LiveSession | None:
        return self._sessions.get(session_of(span))

    def _contained(self, kind: str, function: Callable[[Any], None], span: Any) -> None:
        try:
            with self._lock:
                function(span)
        except Exception as error:
            if kind not in self._failed:
                self._failed.add(kind)
                logger.error(
                    "livekit_otel: %s failed; the call is not affected, this kind is logged once\n%s",
                    kind,
                    where(error),
                )
