"""Collects the spans of one session until it is complete, and builds its report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import attributes as attr
from ..journal import JournalReader, RestoredSession
from ..spans import SpanRecord, flag, number, whole
from ..thresholds import DEFAULTS, Thresholds, over
from .bare import bare_report
from .head import close_reason, complete_head
from .masks import is_mask, masks_of, own_session, unmasked
from .missing import Seen, warnings
from .model import SessionReport
from .tagged import tagged
from .under_way import playback_under_way
from .values import plain

__all__ = ["OpenSession"]

_SAY_THRESHOLDS = (attr.KIND_SESSION_START, attr.KIND_SESSION)
_ROOTS = frozenset({attr.KIND_SESSION, attr.KIND_SESSION_START, attr.KIND_SESSION_END})


class OpenSession:
    """Collects the spans of one session, in any order and with duplicates."""

    def __init__(self, session_id: str, thresholds: Thresholds | None = None) -> None:
        """``thresholds``: the caller's, which take precedence over the thresholds in the trace."""
        self.session_id = session_id
        self._thresholds = thresholds
        self._spans: dict[str, SpanRecord] = {}
        self._journal = JournalReader()
        self._end: SpanRecord | None = None
        self._count: int | None = None
        self._reports = 0
        #: session.end announces LiveKit's own report, and that is missing
        self._awaits_report = False
        self._reported = False
        self._masks: dict[str, set[str]] = {}
        self._nameless = True
        #: Whether a span that only sessions have is present: the session span, session.start or session.end.
        self.rooted = False

    def add(self, span: SpanRecord) -> bool:
        """Add a span. Returns whether all spans that the session counted are now present."""
        spans = self._spans
        if span.span_id not in spans:
            for name, mask in masks_of(span.attributes).items():
                self._masks.setdefault(mask, set()).add(name)
            self._nameless = self._nameless and not own_session(span)
            span = unmasked(span)
            spans[span.span_id] = span
            attributes = span.attributes
            self.rooted = self.rooted or span.kind in _ROOTS
            self._journal.add(attributes)
            if attributes.get(attr.KIND) == attr.KIND_SESSION_END:
                self._end = span
                self._count = whole(attributes, attr.SESSION_SPAN_COUNT)
                self._awaits_report = flag(attributes, attr.SESSION_REPORT_FOLLOWS)
            elif span.kind == attr.KIND_SESSION_REPORT:
                # recorded after session.end counted the spans
                self._reports += 1
                self._reported = self._reported or flag(attributes, attr.REPORT_FINAL)
        return self._is_whole

    @property
    def _is_whole(self) -> bool:
        counted = self._count is not None and len(self._spans) - self._reports >= self._count
        return counted and (self._reported or not self._awaits_report)

    @property
    def spans(self) -> list[SpanRecord]:
        """The spans so far."""
        return list(self._spans.values())

    def take(self, spans: Iterable[SpanRecord]) -> None:
        """Add spans that belong to this session by another rule than their session ID."""
        for span in spans:
            self.add(span)

    @property
    def start_ns(self) -> int:
        """Start of the earliest span so far, Unix nanoseconds."""
        return min(span.start_ns for span in self._spans.values())

    @property
    def conversation_id(self) -> str:
        """The ID that backends group by."""
        names = (attr.BACKEND_SESSION_ID, attr.CONVERSATION_ID)
        said = (s.attributes.get(name) for name in names for s in self._spans.values())
        return next((str(one) for one in said if one and not is_mask(one)), "")

    def report(self, problems: Iterable[object] = ()) -> SessionReport:
        """Build the report from the present spans. Call it once. ``problems``: those of the reader of the spans."""
        spans = sorted(self._spans.values(), key=lambda span: (span.start_ns, span.end_ns, span.span_id))
        end = self._end.attributes if self._end is not None else {}
        start = next((span.attributes for span in spans if span.kind == attr.KIND_SESSION_START), {})
        journal, restored = self._journal, RestoredSession()
        restored.play(journal.entries(whole(end, attr.JOURNAL_BATCHES)), gaps=bool(journal.gaps))
        started_at = number(start, attr.SESSION_STARTED_AT) or spans[0].start_ns / 1e9
        ended_at = max(span.end_ns for span in spans) / 1e9
        withheld = flag(start, attr.SESSION_REDACTED) or journal.withheld
        in_part = any(flag(said, attr.SESSION_REDACTED_IN_PART) for said in (start, end))
        playback = playback_under_way(spans, restored.events) if self._end is None else None
        head = complete_head(restored, start, started_at, ended_at)
        seen = Seen(
            spans, self._end, self._count, journal, restored, ended_at, withheld, in_part, self._masks, self._nameless,
            list(problems), report_missing=self._awaits_report and not self._reported,
        )  # fmt: skip
        return SessionReport(
            session_id=self.session_id,
            conversation_id=self.conversation_id,
            started_at=started_at,
            ended_at=ended_at,
            job_id=plain(head.get("job_id")),
            room_id=plain(head.get("room_id")),
            room=plain(head.get("room")),
            agent_name=plain(head.get("agent_name")),
            close_reason=close_reason(restored.events),
            redacted=withheld,
            redacted_in_part=in_part,
            findings=warnings(seen),
            events=restored.events,
            history=restored.items,
            usage=_usage(restored),
            spans=spans,
            head=head,
            thresholds=self._flagged_by(spans),
            under_way=[] if playback is None else [playback],
            **tagged(restored, head)._asdict(),
        )

    def _flagged_by(self, spans: Iterable[SpanRecord]) -> Thresholds:
        recorded: dict[str, float] = {}
        for span in spans:
            if span.kind in _SAY_THRESHOLDS:
                said = {name: number(span.attributes, attr.threshold(name)) for name in DEFAULTS}
                recorded.update({name: value for name, value in said.items() if value is not None and value > 0})
        return over(self._thresholds, recorded)

    def bare_report(self, error: Exception) -> SessionReport:
        """A report that contains only the spans and the error."""
        end_ns = max(span.end_ns for span in self._spans.values())
        return bare_report(self.session_id, self.conversation_id, self.start_ns, end_ns, error, spans=self.spans)


def _usage(restored: RestoredSession) -> list[dict[str, Any]]:
    """The last usage state. After a gap in the journal, the head identifies the model of each value."""
    usage, final = restored.usage, (restored.head or {}).get("usage") if restored.closed else None
    if isinstance(final, list) and len(final) == len(usage):
        models = [one if isinstance(one, dict) else {} for one in final]
        usage = [one if "type" in one else {**known, **one} for known, one in zip(models, usage, strict=True)]
    return [one for one in usage if one]
