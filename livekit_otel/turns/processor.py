"""TurnSpanProcessor: puts each turn's latency, silence and usage on its span, and the session's totals at its end."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from .. import attributes as attr
from .live import LiveSession
from .live_turn import plain, slim
from .metrics import TurnMetrics

__all__ = ["TurnSpanProcessor"]

logger = logging.getLogger("livekit_otel")

MAX_SESSIONS = 1_024
_OBSERVED = frozenset({attr.KIND_PLAYBACK, attr.KIND_TOOL, attr.KIND_REALTIME})
_CARRIERS = frozenset({attr.KIND_SESSION_CHECKPOINT, attr.KIND_SESSION_END})


class TurnSpanProcessor(SpanProcessor):
    """Derives turns from the pipeline spans that pass, with the functions that reports use.

    Add it to the ``TracerProvider`` that the pipeline spans go to, before or after the exporters'. It uses the SDK's
    public hooks only: it learns from stage spans as they end, and sets attributes on spans that are live (the turn's,
    ``session.end``, ``session``). What becomes known when the turn's span has ended (usage of a realtime model, notes
    on LiveKit's own values) is told by the session's next checkpoint or its end, in ``livekit_otel.turn_late.*``.

    Nothing that it keeps grows with the length of a call. It never raises.

    Args:
        meter_provider: where to record metrics. None: the global one, if that is a ``MeterProvider`` of the SDK; else
            nothing is recorded.
    """

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        self._lock = threading.RLock()
        self._sessions: OrderedDict[str, LiveSession] = OrderedDict()
        self._metrics = TurnMetrics(meter_provider)
        self._failed: set[str] = set()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        scope = span.instrumentation_scope
        if scope is None or scope.name != attr.SCOPE:
            return
        self._contained("turn processor, on_start", self._started, span)

    def on_end(self, span: ReadableSpan) -> None:
        scope = span.instrumentation_scope
        if scope is None or scope.name != attr.SCOPE:
            return
        self._contained("turn processor, on_end", self._ended, span)

    def shutdown(self) -> None:
        with self._lock:
            self._sessions.clear()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True

    # --- what happens ------------------------------------------------------------------------------

    def _started(self, span: Span) -> None:
        kind = span.name
        if kind in _OBSERVED:
            session = self._session(plain(span))
            if session is not None:
                session.stage_started(span)
        elif kind == attr.KIND_TURN:
            attributes = plain(span)
            session = self._session(attributes)
            if session is not None:
                session.turn_started(span, attributes)
        elif kind == attr.KIND_SESSION:
            self._open(span)
        elif kind in _CARRIERS:
            session = self._session(plain(span))
            if session is not None and kind == attr.KIND_SESSION_END:
                session.session_ends(span)
            elif session is not None:
                session.carry(span)

    def _ended(self, span: ReadableSpan) -> None:
        kind = span.name
        if kind in attr.STAGE_KINDS:
            attributes = plain(span)
            session = self._session(attributes)
            if session is not None:
                record = slim(span, attributes)
                session.stage_ended(record)
                if (record.parent_id or "") not in session.open and self._metrics.enabled:
                    self._metrics.stage(record, session.agent(record), span)
        elif kind == attr.KIND_TURN:
            attributes = plain(span)
            session = self._session(attributes)
            turn = session.turn_ended(span, attributes) if session is not None else None
            if turn is not None and self._metrics.enabled:
                self._metrics.turn(turn.derive(), turn.stages, span)
        elif kind == attr.KIND_SESSION:
            self._sessions.pop(str(plain(span).get(attr.SESSION_ID, "")), None)

    def _open(self, span: Span) -> None:
        session_id = plain(span).get(attr.SESSION_ID)
        if session_id:
            session = LiveSession()
            session.span = span
            self._sessions[str(session_id)] = session
            if len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)

    def _session(self, attributes: dict[str, Any]) -> LiveSession | None:
        return self._sessions.get(str(attributes.get(attr.SESSION_ID, "")))

    def _contained(self, kind: str, function: Callable[[Any], None], span: Any) -> None:
        try:
            with self._lock:
                function(span)
        except Exception:
            if kind not in self._failed:
                self._failed.add(kind)
                logger.exception("livekit_otel: %s failed; the call is not affected, this kind is logged once", kind)
