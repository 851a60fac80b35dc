"""TurnSpanProcessor: sets each turn's latency, silence and usage on its span, and the session's totals at its end."""

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
#: the kinds whose start the processor handles, and the kinds whose end it handles
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
    """Derives turns from the pipeline spans it receives, with the same functions as reports.

    Add it to the ``TracerProvider`` that the pipeline spans go to, before or after the exporters' processors. It uses
    only public hooks of the SDK: it reads stage spans as they end, and sets attributes on recording spans (the turn's,
    ``session.start``, ``session.end``, ``session``). Values that become known only after the turn's span has ended
    (usage of a realtime model, how long the user kept waiting) are set on the next checkpoint of the session or on its
    end, in ``livekit_otel.turn_late.*``.

    Its memory does not grow with the length of a call. It never raises.

    Args:
        meter_provider: where to record metrics. None: the global provider if it is a ``MeterProvider`` of the SDK; else
            no metrics are recorded.
        thresholds: seconds from which waits are flagged: ``slow`` (2.0, of ``e2e_latency``) and ``dead_air`` (3.0);
            those of ``set_tracer_provider`` take precedence. docs/latency.md describes the flags.

    Raises:
        OptionError: ``thresholds`` is invalid.
    """

    def __init__(
        self, meter_provider: MeterProvider | None = None, *, thresholds: Mapping[str, float] | None = None
    ) -> None:
        self._thresholds: Thresholds = check(thresholds)
        self._configured: Thresholds = {}
        self._ends_announced = False
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

    def configure(self, thresholds: Thresholds, *, ends_announced: bool = False) -> None:
        """Set thresholds that take precedence over its own, for sessions that start from now on.

        ``ends_announced``: :meth:`turn_ending` is called for every turn.
        """
        self._configured, self._ends_announced = thresholds, ends_announced

    def turn_ending(self, span: Span, end_ns: int) -> None:
        """Complete a turn's span, which is still recording, with the values that depend on its end."""
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

    # --- events ------------------------------------------------------------------------------------

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
        """Record metrics of the turns that can no longer change."""
        for one in session.unmeasured.take(others_open=bool(session.open), last=last):
            self._metrics.turn(one)

    def _measure_all(self, session: LiveSession) -> None:
        self._measure(session, last=True)

    def _open(self, span: Span) -> None:
        session_id = session_of(span)
        if session_id:
            session = LiveSession(over(self._configured, self._thresholds), ends_announced=self._ends_announced)
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
