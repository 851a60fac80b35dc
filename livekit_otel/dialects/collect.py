"""Collects native spans by session, from spans in any order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .. import attributes as attr
from ..spans import SpanRecord, found_above
from .names import NativeSpan, read

__all__ = ["NativeSpans", "Session"]

#: a trace with its session span is complete when this many native spans of other traces followed its last span
_QUIET = 20_000
_LOOK = 1_024
#: only the latest of the requests whose contexts begin alike keeps its context, because contexts repeat one another
_MAX_CONTEXTS, _BEGINNING = 16, 200
_JOB = "job_entrypoint"
_ITEM, _ID = '"item_', 24


@dataclass
class Session:
    """The spans of one session. ``root`` is the session span; None if it is missing."""

    session_id: str
    root: NativeSpan | None
    spans: list[NativeSpan] = field(default_factory=list)

    @property
    def room(self) -> str:
        """SID of the room; empty if no span carries it."""
        return _room(self.spans)


class _Trace:
    """The native spans of one trace."""

    __slots__ = ("_contexts", "last", "rooted", "spans")

    def __init__(self) -> None:
        self.spans: dict[str, NativeSpan] = {}
        self.rooted = False
        self.last = 0
        self._contexts: dict[str, NativeSpan] = {}

    def add(self, span: NativeSpan) -> None:
        if span.span_id in self.spans:
            return
        self.spans[span.span_id] = span
        self.rooted = self.rooted or span.name == attr.NATIVE_SESSION
        context = span.fields.get("chat_ctx")
        if isinstance(context, str):
            # the instructions distinguish agents, the IDs of items distinguish sessions
            at = context.find(_ITEM)
            begin = context[:_BEGINNING] + context[at : at + _ID if at >= 0 else at]
            known = self._contexts.get(begin)
            if known is None and len(self._contexts) >= _MAX_CONTEXTS:
                del span.fields["chat_ctx"]
            elif known is None or known.start_ns <= span.start_ns:
                self._contexts[begin] = span
                if known is not None:
                    del known.fields["chat_ctx"]
            else:
                del span.fields["chat_ctx"]


class NativeSpans:
    """Collects native spans, except those of traces with pipeline spans, which carry the same information.

    Memory is proportional to the incomplete traces. A trace with its session span counts as complete once 20,000 native
    spans of other traces followed its last span. All other traces are kept until the spans end.
    """

    def __init__(self) -> None:
        self._traces: dict[str, _Trace] = {}
        #: hashes instead of ids, because a long file can contain a million traces
        self._done: set[int] = set()
        self._count = 0

    def wants(self, trace_id: str) -> bool:
        """Whether native spans of a trace are needed."""
        return hash(trace_id) not in self._done

    def leave(self, trace_id: str) -> None:
        """Discard a trace, because it has pipeline spans."""
        key = hash(trace_id)
        if key not in self._done:
            self._done.add(key)
            self._traces.pop(trace_id, None)

    def add(self, record: SpanRecord) -> list[Session]:
        """Add a span. Returns the sessions that are now complete."""
        if hash(record.trace_id) in self._done:
            return []
        span = read(record)
        if span is None:
            return []
        trace = self._traces.get(span.trace_id)
        if trace is None:
            trace = self._traces[span.trace_id] = _Trace()
        trace.add(span)
        self._count += 1
        trace.last = self._count
        return list(self._quiet()) if self._count % _LOOK == 0 else []

    def _quiet(self) -> Iterator[Session]:
        before = self._count - _QUIET
        for trace_id in [key for key, one in self._traces.items() if one.rooted and one.last < before]:
            trace = self._traces.pop(trace_id)
            self._done.add(hash(trace_id))
            yield from _sessions(trace_id, trace.spans)

    def rest(self) -> Iterator[Session]:
        """The sessions that were not returned yet."""
        traces, self._traces = self._traces, {}
        _join(traces)
        while traces:
            trace_id = next(iter(traces))
            yield from _sessions(trace_id, traces.pop(trace_id).spans)


def _join(traces: dict[str, _Trace]) -> None:
    """Join the traces of a call by the room's ID. If the session span was never recorded, each of its children is the
    root of its own trace."""
    homes: dict[str, _Trace] = {}
    rootless: dict[str, list[str]] = {}
    for trace_id, trace in traces.items():
        if room := _room(trace.spans.values()):
            if trace.rooted:
                homes.setdefault(room, trace)
            else:
                rootless.setdefault(room, []).append(trace_id)
    for room, ids in rootless.items():
        first = min(ids, key=lambda one: min(span.start_ns for span in traces[one].spans.values()))
        home = homes.get(room) or traces[first]
        for trace_id in ids:
            if (trace := traces[trace_id]) is not home:
                for span in traces.pop(trace_id).spans.values():
                    home.add(span)
                del trace


def _room(spans: Iterable[NativeSpan]) -> str:
    return next((room for span in spans if (room := span.text(attr.CONVERSATION_ID))), "")


def _sessions(trace_id: str, spans: dict[str, NativeSpan]) -> Iterator[Session]:
    """The sessions of one trace: the spans below each session span. Spans below none are assigned by room and time."""
    if not any(span.name in attr.NATIVE_EVIDENCE for span in spans.values()):
        return
    roots = sorted((one for one in spans.values() if one.name == attr.NATIVE_SESSION), key=lambda one: one.start_ns)
    if not roots:
        rooms = _by_room(spans)
        for room, some in rooms.items():
            yield Session(trace_id if len(rooms) == 1 else f"{trace_id}-{room}", None, some)
        return
    found = [Session(trace_id if len(roots) == 1 else f"{trace_id}-{root.span_id}", root) for root in roots]
    own = {root.span_id: one for root, one in zip(roots, found, strict=True)}
    starts = [root.start_ns for root in roots]
    above = {span_id: span_id for span_id in own}
    others: dict[str, NativeSpan] = {}
    for span in spans.values():
        session = own.get(found_above(span.span_id, spans, above))
        if span.name == _JOB:
            continue
        if session is None:
            session = found[max(bisect_right(starts, span.start_ns) - 1, 0)]
            if _is_of_another_room(span, session):
                others[span.span_id] = span
                continue
        session.spans.append(span)
    jobs = [span for span in spans.values() if span.name == _JOB]
    of_job = {job.span_id: job.span_id for job in jobs}
    for root, one in zip(roots, found, strict=True):
        # a job's attributes apply to each of its sessions
        home = found_above(root.span_id, spans, of_job) if len(jobs) > 1 else None
        one.spans += [spans[home]] if home else jobs if len(jobs) == 1 else []
        yield one
    # a call in the same trace that still runs, or was cut
    for room, some in _by_room(others).items():
        if any(span.name in attr.NATIVE_EVIDENCE for span in some):
            yield Session(f"{trace_id}-{room}", None, some)


def _is_of_another_room(span: NativeSpan, session: Session) -> bool:
    room, own = (one.text(attr.CONVERSATION_ID) if one is not None else "" for one in (span, session.root))
    return bool(room and own and room != own)


def _by_room(spans: dict[str, NativeSpan]) -> dict[str, list[NativeSpan]]:
    """The spans of each room's ID. Spans without one belong to the room of the spans above, else to the first room."""
    ordered = sorted(spans.values(), key=lambda one: one.start_ns)
    rooms = {one.span_id: room for one in ordered if (room := one.text(attr.CONVERSATION_ID))}
    first = next(iter(rooms.values()), "")
    found: dict[str, list[NativeSpan]] = {}
    for span in spans.values():
        found.setdefault(found_above(span.span_id, spans, rooms) or first, []).append(span)
    return found
