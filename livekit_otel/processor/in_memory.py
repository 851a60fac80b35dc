"""SessionSpans: the spans of a process's own sessions, kept in memory for a report that waits for no backend."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

import msgspec
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from .. import attributes as attr
from ..errors import OptionError
from ..spans import SpanRecord, from_sdk, is_ours, session_of

__all__ = ["SessionSpans"]

logger = logging.getLogger("livekit_otel")

MAX_OPEN = 1_024
_IDS = (attr.SESSION_ID, attr.SESSION_JOB_ID, attr.SESSION_ROOM_ID, attr.BACKEND_SESSION_ID)
_POLL = 0.01


@dataclass
class _Session:
    ids: frozenset[str]
    spans: list[SpanRecord] = field(default_factory=list)
    ended: bool = False
    full: bool = False


class SessionSpans(SpanProcessor):
    """Keeps the pipeline spans of sessions that run and of the last ones that ended.

    ::

        kept = livekit_otel.SessionSpans()
        provider.add_span_processor(kept)


        async def on_session_end(ctx: JobContext) -> None:
            for report in livekit_otel.build_reports(await kept.when_ended(ctx.job.id)):
                ...

    Sessions are found by the id of their job, by that of the session itself (``livekit_otel.session.id``), the room's
    sid, or what backends group by (``session.id``).

    Args:
        max_ended: how many ended sessions are kept; the one that ended first goes first.
        max_spans: how many spans are kept of one session. Further ones are not, except ``session.end``, by which the
            report says how many are missing. A call has about one span per second, and ten more for each turn; a span
            takes about 2 kB.
    """

    def __init__(self, *, max_ended: int = 4, max_spans: int = 20_000) -> None:
        if max_ended < 1 or max_spans < 1:
            raise OptionError(f"SessionSpans: max_ended={max_ended} and max_spans={max_spans} must be at least 1")
        self._max_ended, self._max_spans = max_ended, max_spans
        self._lock = threading.Lock()
        self._open: OrderedDict[str, _Session] = OrderedDict()
        self._ended: OrderedDict[str, _Session] = OrderedDict()

    def of(self, session: str) -> list[SpanRecord]:
        """The spans so far of the session, or of the sessions of the job, with this id; empty for an unknown one."""
        return [span for one in self._found(session) for span in _as_of_now(tuple(one.spans))]

    async def when_ended(self, session: str, timeout: float = 5.0) -> list[SpanRecord]:
        """The same once these sessions have ended, or after ``timeout`` seconds what is there.

        LiveKit may run ``on_session_end`` while the end of a long call is still being written.
        """
        deadline = time.monotonic() + timeout
        # polled, as spans end in any thread
        while time.monotonic() < deadline and not all(one.ended for one in self._found(session)):  # noqa: ASYNC110
            await asyncio.sleep(_POLL)
        return self.of(session)

    # --- what happens ------------------------------------------------------------------------------

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.name != attr.KIND_SESSION or not is_ours(span):
            return
        attributes = span.attributes or {}
        ids = frozenset(str(attributes[key]) for key in _IDS if attributes.get(key))
        with self._lock:
            self._open[session_of(span)] = _Session(ids)
            if len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)

    def on_end(self, span: ReadableSpan) -> None:
        if not is_ours(span):
            return
        session_id = session_of(span)
        with self._lock:
            session = self._open.get(session_id) or self._ended.get(session_id)
            if session is None:
                return
            if len(session.spans) < self._max_spans or span.name == attr.KIND_SESSION_END:
                session.spans.append(from_sdk(span))
            elif not session.full:
                session.full = True
                logger.warning(
                    "livekit_otel: more than %d spans of one session, SessionSpans keeps no more of it; "
                    "its report will say how many are missing",
                    self._max_spans,
                )
            if span.name == attr.KIND_SESSION and not session.ended:
                session.ended = True
                self._ended[session_id] = self._open.pop(session_id)
                if len(self._ended) > self._max_ended:
                    self._ended.popitem(last=False)

    def shutdown(self) -> None:
        """Nothing to do: what is kept can still be read."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True

    def _found(self, wanted: str) -> list[_Session]:
        with self._lock:
            return [one for group in (self._ended, self._open) for one in group.values() if wanted in one.ids]


def _as_of_now(spans: tuple[SpanRecord, ...]) -> list[SpanRecord]:
    """The spans, without the word of session.end that LiveKit's report follows as long as it does not: in the process
    itself, what is yet to come is not missing."""
    if any(span.kind == attr.KIND_SESSION_REPORT for span in spans):
        return list(spans)
    return [_awaiting_nothing(span) if span.kind == attr.KIND_SESSION_END else span for span in spans]


def _awaiting_nothing(span: SpanRecord) -> SpanRecord:
    kept = {name: value for name, value in span.attributes.items() if name != attr.SESSION_REPORT_FOLLOWS}
    return msgspec.structs.replace(span, attributes=kept)
