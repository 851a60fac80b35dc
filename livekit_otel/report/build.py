"""Builds reports from spans of any source. Pure: no files, no network, no LiveKit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from .. import attributes as attr
from ..dialects import NativeSpans, is_native, is_report
from ..errors import AmbiguousSessionError, SessionNotFoundError
from ..spans import SpanRecord
from ..thresholds import Thresholds, check
from .masks import MaskedSpans, own_session
from .model import SessionReport
from .native import OpenNative
from .reported import OpenReported
from .same_call import call_of, once
from .session import OpenSession
from .values import clock

__all__ = ["build_report", "build_reports"]

_NAMED = 10
_Key = tuple[str, str]
_Open: TypeAlias = OpenSession | OpenNative | OpenReported


def build_reports(
    spans: Iterable[SpanRecord], *, thresholds: Mapping[str, float] | None = None
) -> Iterator[SessionReport]:
    """Yield the reports of all sessions among ``spans``: complete sessions immediately, the others at the end.

    Spans may be in any order, interleaved and duplicated. Memory is proportional to the incomplete sessions. A session
    that crashed is kept until the spans end, because no span marks its end: files are read in any order, and a session
    can be silent for an hour. Sessions whose IDs were masked or removed are distinguished by trace and session span,
    and come last. Spans of a session that was already yielded (duplicates) are dropped.

    Traces without pipeline spans give reports as far as LiveKit's own spans allow (see ``SessionReport.provenance``).
    In traces with both, only pipeline spans are used. A native session counts as complete when its session span was
    read, and 20,000 native spans of other traces followed its last span.

    A session report of LiveKit's (``read_spans`` of its file) gives the report of what it says, nothing derived.

    Args:
        spans: span records.
        thresholds: minimum waits that are flagged, in seconds: ``slow`` and ``dead_air``. The default for each is the
            session's own threshold from its trace, else the library's.

    Raises:
        OptionError: ``thresholds`` are invalid.
    """
    return _reports(spans, check(thresholds))


def _reports(spans: Iterable[SpanRecord], thresholds: Thresholds) -> Iterator[SessionReport]:
    # a session is one trace, so that two calls stay separate if a redaction rule made their IDs equal
    opened: dict[_Key, OpenSession] = {}
    done: set[int] = set()
    masked = MaskedSpans()
    natives = _natives(spans)
    for span in spans:
        session_id = own_session(span)
        if session_id is None:
            if is_report(span):
                if hash(span.trace_id) not in done:
                    done.add(hash(span.trace_id))
                    yield _report_of(OpenReported(span, thresholds))
            elif is_native(span):
                yield from (_report_of(OpenNative(one, thresholds)) for one in natives.add(span))
            continue
        natives.leave(span.trace_id)
        if not session_id:
            masked.add(span)
            continue
        key = session_id, span.trace_id
        session = opened.get(key)
        if session is None:
            # hashes instead of IDs, because a long file can contain a million sessions
            if hash(key) in done:
                continue
            session = opened[key] = OpenSession(session_id, thresholds)
        if session.add(span):
            del opened[key]
            done.add(hash(key))
            yield _report_of(session)
    _gather(opened, masked, thresholds)
    # the reader's problems are only known now; complete sessions lost nothing to them
    problems = list(getattr(spans, "problems", ()))
    while opened:
        yield _report_of(opened.pop(next(iter(opened))), problems)
    for native in natives.rest():
        yield _report_of(OpenNative(native, thresholds), problems)


def _natives(spans: Iterable[SpanRecord]) -> NativeSpans:
    """The collector of LiveKit's own spans. A reader's stream is configured to yield them."""
    natives = NativeSpans()
    if hasattr(spans, "native"):
        spans.native = natives.wants
    return natives


def _report_of(session: _Open, problems: Iterable[object] = ()) -> SessionReport:
    """The report of a session. If building it fails, a report with the error, so that other sessions are unaffected."""
    try:
        return session.report(problems)
    except Exception as error:
        return session.bare_report(error)


def _gather(opened: dict[_Key, OpenSession], masked: MaskedSpans, thresholds: Thresholds) -> None:
    """After all spans are read, assign spans outside of their session's trace, and spans without an ID, to sessions."""
    rooted = {session_id: session for (session_id, _), session in opened.items() if session.rooted}
    for key, session in list(opened.items()):
        if not session.rooted and (own := rooted.get(key[0])) is not None:
            own.take(opened.pop(key).spans)
    known: dict[str, list[str]] = {}
    for session_id, trace_id in opened:
        known.setdefault(trace_id, []).append(session_id)
    for session_id, trace_id, spans in masked.sessions(known):
        session = opened.setdefault((session_id, trace_id), OpenSession(session_id, thresholds))
        session.take(spans)


def build_report(
    spans: Iterable[SpanRecord], session_id: str | None = None, *, thresholds: Mapping[str, float] | None = None
) -> SessionReport:
    """The report of one session.

    Args:
        spans: span records in any order; duplicates and other sessions are harmless.
        session_id: session ID or conversation ID, or a unique prefix of one; required only if there are several
            sessions.
        thresholds: as in :func:`build_reports`.

    Raises:
        SessionNotFoundError: there is no such session, or no session.
        AmbiguousSessionError: several sessions match.
        OptionError: ``thresholds`` are invalid.
    """
    flagged_by = check(thresholds)
    wanted = session_id or ""
    opened: dict[_Key, OpenSession] = {}
    others: dict[str, None] = {}
    masked, natives = MaskedSpans(), _natives(spans)
    native: list[OpenNative | OpenReported] = []
    rest = iter(spans)
    for span in rest:
        own = own_session(span)
        if own is None:
            if is_report(span) and all(one.session_id != span.trace_id for one in native):
                native += _wanted([OpenReported(span, flagged_by)], wanted, others)
            elif is_native(span):
                native += _wanted((OpenNative(one, flagged_by) for one in natives.add(span)), wanted, others)
            continue
        natives.leave(span.trace_id)
        if not own:
            masked.add(span)
            continue
        session = opened.get((own, span.trace_id))
        if session is None:
            if not _matches(span, own, wanted):
                if len(others) <= _NAMED:
                    others[own] = None
                continue
            session = opened[own, span.trace_id] = OpenSession(own, flagged_by)
        whole = session.add(span)
        if not wanted and len({found for found, _ in opened}) > 1:
            raise AmbiguousSessionError(_several(_starts(opened.values(), rest), wanted))
        if whole and own == wanted:
            return session.report(getattr(spans, "problems", ()))
    _gather(opened, masked, flagged_by)
    native += _wanted((OpenNative(one, flagged_by) for one in natives.rest()), wanted, others)
    # if livekit_otel traced a call, calls without it are not candidates
    found = [session for session in opened.values() if _is(session, wanted)] or _once(native)
    others.update(dict.fromkeys(session.session_id for session in opened.values() if session not in found))
    return _choose(found, wanted, list(others)).report(getattr(spans, "problems", ()))


def _wanted(
    sessions: Iterable[OpenNative | OpenReported], wanted: str, others: dict[str, None]
) -> Iterator[OpenNative | OpenReported]:
    """The sessions that match. The IDs of some others are added to ``others``."""
    for session in sessions:
        if _is(session, wanted):
            yield session
        elif len(others) <= _NAMED:
            others[session.session_id] = None


def _once(found: Sequence[OpenNative | OpenReported]) -> list[OpenNative | OpenReported]:
    """The sessions, without LiveKit's own reports of calls whose traces are there, too."""
    if len({type(one) for one in found}) < 2:
        return list(found)
    return once((one, call_of(_report_of(one))) for one in found)


def _is(session: _Open, wanted: str) -> bool:
    return session.session_id.startswith(wanted) or session.conversation_id.startswith(wanted)


def _matches(span: SpanRecord, own: str, wanted: str) -> bool:
    return own.startswith(wanted) or str(span.attributes.get(attr.BACKEND_SESSION_ID, "")).startswith(wanted)


def _choose(opened: Sequence[_Open], wanted: str, others: list[str]) -> _Open:
    exact = [session for session in opened if session.session_id == wanted]
    found = exact or [s for s in opened if wanted and s.conversation_id == wanted] or opened
    if len(found) == 1:
        return found[0]
    if found:
        raise AmbiguousSessionError(_several(_starts(found, ()), wanted))
    if wanted and others:
        named = ", ".join(others[:_NAMED]) + (", …" if len(others) > _NAMED else "")
        raise SessionNotFoundError(f"no session {wanted!r} among the spans; there are: {named}")
    raise SessionNotFoundError(
        "no session among the spans, neither of livekit_otel nor of LiveKit's own tracing; is it the trace of a call?"
    )


def _starts(found: Iterable[_Open], rest: Iterable[SpanRecord]) -> dict[str, int]:
    """IDs and start times of sessions, including those in ``rest``, whose spans are not kept."""
    starts = {session.session_id: session.start_ns for session in found}
    for span in rest:
        if own := own_session(span):
            starts[own] = min(starts.get(own, span.start_ns), span.start_ns)
    return starts


def _several(starts: dict[str, int], wanted: str) -> str:
    first = sorted(starts, key=lambda session_id: (starts[session_id], session_id))[:_NAMED]
    named = ", ".join(f"{session_id} ({clock(starts[session_id] / 1e9)})" for session_id in first)
    more = f" and {len(starts) - _NAMED} more" if len(starts) > _NAMED else ""
    which = f" match {wanted!r}" if wanted else " are here"
    return f"{len(starts)} sessions{which}, choose one by its id: {named}{more}"
