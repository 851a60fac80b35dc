"""Finds missing parts of a report and their causes: the source of ``SessionReport.warnings`` and ``complete``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from .. import attributes as attr
from ..journal import JournalReader, RestoredSession
from ..spans import SpanRecord, number, text, whole
from ..turns import turns_of
from .head import close_reason
from .masks import warnings_of
from .values import clock

__all__ = ["ReportWarning", "Seen", "loss", "note", "warnings"]

_ENDED_BY = {
    attr.ENDED_FAILED_START: "AgentSession.start() failed",
    attr.ENDED_UNINSTRUMENTED: "the instrumentation was switched off while it ran",
    attr.ENDED_COLLECTED: "the session was garbage-collected",
    attr.ENDED_PROCESS_EXIT: "the process ended",
    attr.ENDED_FAILED_CLOSE: "its close failed or was cancelled",
}


class ReportWarning(msgspec.Struct, frozen=True):
    """One finding about a report.

    Attributes:
        message: the finding, in one line.
        loss: whether part of the session is missing or unknown. False for notes: redaction, masked IDs, a clock step,
            or skipped parts of a file if the session is complete.
    """

    message: str
    loss: bool


def loss(message: str) -> ReportWarning:
    """A warning about missing data."""
    return ReportWarning(message, loss=True)


def note(message: str) -> ReportWarning:
    """A warning without missing data."""
    return ReportWarning(message, loss=False)


@dataclass
class Seen:
    """The data of a session.

    Attributes:
        spans: its spans, by start.
        end: its session.end.
        count: the number of spans that session.end recorded.
        journal, restored: its journal, and the state restored from it.
        ended_at: end of the last span, Unix seconds.
        withheld: whether content was withheld, or removed before storage.
        in_part: whether the user's ``redact`` processed content.
        masks: names of masked identity attributes, by mask; ``nameless``: whether no span has a session ID.
        problems: problems that the reader of the spans reported.
        report_missing: whether session.end announces a session.report that is missing.
    """

    spans: Sequence[SpanRecord]
    end: SpanRecord | None
    count: int | None
    journal: JournalReader
    restored: RestoredSession
    ended_at: float
    withheld: bool
    in_part: bool
    masks: Mapping[str, Iterable[str]] = field(default_factory=dict)
    nameless: bool = False
    problems: Sequence[object] = ()
    report_missing: bool = False

    @property
    def counted(self) -> int:
        """The number of spans present, without session.report, which session.end does not count."""
        return sum(span.kind != attr.KIND_SESSION_REPORT for span in self.spans)

    @property
    def dropped(self) -> int:
        """Number of attributes that the SDK dropped because of its limits."""
        return sum(span.dropped_attributes for span in self.spans)

    @property
    def of_the_end(self) -> Mapping[str, object]:
        """The attributes of session.end."""
        return self.end.attributes if self.end is not None else {}


def warnings(seen: Seen) -> list[ReportWarning]:
    """The missing parts of a session, and notes for its reader."""
    found = [
        *_schema(seen),
        *_spans(seen),
        *_dropped(seen),
        *map(loss, seen.journal.warnings),
        *_close(seen),
        *_differences(seen),
        *_redaction(seen),
        *map(note, warnings_of(seen.masks, no_id=seen.nameless)),
        *_clock(seen),
    ]
    incomplete = any(one.loss for one in found)
    # skipped parts of a source are no loss if the session's own counts show that it is complete
    return [*found, *(note(str(one)) for one in seen.problems if incomplete or not _is_info(one))]


def _is_info(problem: object) -> bool:
    return getattr(problem, "level", "") == "info"


def _schema(seen: Seen) -> list[ReportWarning]:
    newest = max((whole(span.attributes, attr.SCHEMA) or 0 for span in seen.spans), default=0)
    if newest <= attr.SCHEMA_VERSION:
        return []
    newer = f"the trace has schema {newest}, and this version reads up to {attr.SCHEMA_VERSION}"
    return [loss(f"{newer}: what is new in it is missing here; update livekit-otel")]


def _spans(seen: Seen) -> list[ReportWarning]:
    if seen.end is None:
        return [loss(_without_end(seen))]
    if seen.count is None:
        return [loss("session.end does not say how many spans there are: whether some are missing is unknown")]
    missing = max(0, seen.count - seen.counted)
    dropped = whole(seen.end.attributes, attr.SESSION_DROPPED)
    why = f"; when the session ended, its exporters had lost {dropped} spans of the trace" if dropped else ""
    return [loss(f"{missing} of {seen.count} spans are missing{why}")] if missing else []


def _without_end(seen: Seen) -> str:
    stages = sum(len(one.stages) for one in turns_of(seen.spans) if one.turn is None)
    within = f", and the turn of the last {stages} stage spans" if stages else ""
    if any(span.kind == attr.KIND_SESSION for span in seen.spans):
        why = "the session's own span is here, so it was lost on the way, or filtered out"
    elif seen.dropped:
        why = "it may be a span whose attributes were dropped"
    elif not all(map(_is_info, seen.problems)):
        why = "it may be in what could not be read"
    else:
        why = "the process died, or its last spans were not exported"
    return f"session.end is missing{within}: {why}; what happened after {clock(seen.ended_at)} is unknown"


def _dropped(seen: Seen) -> list[ReportWarning]:
    if not seen.dropped:
        return []
    spans = sum(bool(span.dropped_attributes) for span in seen.spans)
    limit = "a limit of the SDK: raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT, or record fewer session attributes"
    return [loss(f"{seen.dropped:,} attributes of {spans:,} spans were dropped by {limit}")]


def _close(seen: Seen) -> list[ReportWarning]:
    """A session.end does not imply a close: the trace can end before the session does."""
    restored, end = seen.restored, seen.of_the_end
    if seen.end is None:
        return []
    ended_by = text(end, attr.SESSION_ENDED_BY)
    closed = bool(text(end, attr.SESSION_CLOSE_REASON))
    if ended_by in ("", attr.ENDED_CLOSE):  # older versions did not record it, or the attribute was dropped
        closed = closed or close_reason(restored.events) is not None
    if not closed or ended_by == attr.ENDED_FAILED_START:
        why = f": {_ENDED_BY[ended_by]}" if ended_by in _ENDED_BY else ""
        return [loss(f"the trace ended before LiveKit closed the session{why}; what happened after is unknown")]
    if seen.report_missing:
        return [
            loss(
                "session.report is missing: the process died before LiveKit made its report, or the span was not "
                "exported; timestamp, duration, tags and the recording's path are as the session closed"
            )
        ]
    if restored.head is not None and not restored.closed:
        return [loss("the final head is missing: tags, options and the recording's path are as the session began")]
    return []


def _differences(seen: Seen) -> list[ReportWarning]:
    """Data that the session counted and the journal lacks."""
    restored, found = seen.restored, list[ReportWarning]()
    if restored.head is None:
        found.append(loss("the report's head is missing: options, tags and the like are unknown"))
    if restored.unreadable:
        explained = not seen.journal.whole or seen.dropped or seen.masks
        why = "" if explained else ": written by a newer version?"
        found.append(loss(f"{restored.unreadable} journal entries could not be understood{why}"))
    if restored.beyond:
        found.append(loss(f"{restored.beyond} entries of usage were left out: beyond the limits of a session"))
    for what, expected, have in (
        ("events", restored.expected_events, len(restored.events)),
        ("history items", restored.expected_items, len(restored.items)),
    ):
        if expected is not None and expected != have:
            found.append(loss(f"the session counted {expected:,} {what}, and {have:,} are here"))
    return [*found, *_lost_entries(seen.of_the_end)]


def _lost_entries(end: Mapping[str, object]) -> list[ReportWarning]:
    lost, failed = whole(end, attr.SESSION_LOST) or 0, whole(end, attr.SESSION_FAILED)
    causes = (
        (lost, "they were too large, or could not be written as JSON")
        if failed is None  # older versions did not record which
        else (lost - failed, "they were too large"),
        (failed or 0, "they could not be written as JSON"),
    )
    return [
        loss(f"{count} journal entries were dropped within the process: {why}") for count, why in causes if count > 0
    ]


def _redaction(seen: Seen) -> list[ReportWarning]:
    if not seen.withheld:
        return _redaction_in_part(seen) if seen.in_part else []
    why = "was removed from the spans" if seen.journal.withheld else "was withheld by the session's settings"
    return [note(f"content was redacted: it {why}; texts are empty")]


def _redaction_in_part(seen: Seen) -> list[ReportWarning]:
    failed = whole(seen.of_the_end, attr.SESSION_REDACT_FAILED) or 0
    texts = f"{failed:,} texts are withheld because redact failed on them" if failed > 1 else ""
    texts = texts or ("one text is withheld because redact failed on it" if failed else "")
    return [
        note(
            "content was redacted in part: it went through the user's redact before it was recorded, and interim "
            "transcripts are withheld"
        ),
        *([note(texts)] if texts else []),
    ]


def _clock(seen: Seen) -> list[ReportWarning]:
    step = number(seen.of_the_end, attr.SESSION_CLOCK_STEP)
    if not step:
        return []
    where = "ahead" if step > 0 else "back"
    return [
        note(
            f"the wall clock was set {where} by {abs(step):,.3f} s during the call: LiveKit's own times and latencies "
            "in the report are off by as much where they span it; turns and stages are not"
        )
    ]
