"""Reports from spans, wherever they come from. Pure: no files, no network, no LiveKit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .. import attributes as attr
from ..errors import AmbiguousSessionError, SessionNotFoundError
from ..spans import SpanRecord
from .model import SessionReport
from .session import OpenSession
from .values import clock

__all__ = ["build_report", "build_reports"]

_NAMED = 10


def build_reports(spans: Iterable[SpanRecord]) -> Iterator[SessionReport]:
    """The reports of all sessions among ``spans``; each as soon as it is whole, the others at the end.

    Spans may come in any order, interleaved, more than once. Memory follows the sessions that are not whole yet:
    one that crashed is kept until the spans end, as no span tells that none of its session will follow (files are read
    in any order, a session may say nothing for an hour). Spans of a session that was already yielded (duplicates) are
    dropped.
    """
    opened: dict[str, OpenSession] = {}
    done: set[int] = set()
    for span in spans:
        session_id = span.attributes.get(attr.SESSION_ID)
        if not session_id or not isinstance(session_id, str):
            continue
        session = opened.get(session_id)
        if session is None:
            # hashes instead of ids: a long file may hold a million sessions
            if hash(session_id) in done:
                continue
            session = opened[session_id] = OpenSession(session_id)
        if session.add(span):
            del opened[session_id]
            done.add(hash(session_id))
            yield session.report()
    # only now is it known which problems the reader had; sessions that were whole lost nothing to them
    problems = list(getattr(spans, "problems", ()))
    while opened:
        yield opened.pop(next(iter(opened))).report(problems)


def build_report(spans: Iterable[SpanRecord], session_id: str | None = None) -> SessionReport:
    """The report of one session.

    Args:
        spans: span records in any order; duplicates and other sessions are harmless.
        session_id: the session's id, its conversation id, or a unique beginning of one; needed only to choose among
            several sessions.

    Raises:
        SessionNotFoundError: there is no such session, or none at all.
        AmbiguousSessionError: several sessions match.
    """
    wanted = session_id or ""
    opened: dict[str, OpenSession] = {}
    others: dict[str, None] = {}
    rest = iter(spans)
    for span in rest:
        own = span.attributes.get(attr.SESSION_ID)
        if not own or not isinstance(own, str):
            continue
        session = opened.get(own)
        if session is None:
            if not _matches(span, own, wanted):
                if len(others) <= _NAMED:
                    others[own] = None
                continue
            session = opened[own] = OpenSession(own)
        whole = session.add(span)
        if not wanted and len(opened) > 1:
            raise AmbiguousSessionError(_several(_starts(opened.values(), rest), wanted))
        if whole and own == wanted:
            return session.report(getattr(spans, "problems", ()))
    return _choose(opened, wanted, list(others)).report(getattr(spans, "problems", ()))


def _matches(span: SpanRecord, own: str, wanted: str) -> bool:
    return own.startswith(wanted) or str(span.attributes.get(attr.BACKEND_SESSION_ID, "")).startswith(wanted)


def _choose(opened: dict[str, OpenSession], wanted: str, others: list[str]) -> OpenSession:
    if wanted in opened:
        return opened[wanted]
    found = [s for s in opened.values() if wanted and s.conversation_id == wanted] or list(opened.values())
    if len(found) == 1:
        return found[0]
    if found:
        raise AmbiguousSessionError(_several(_starts(found, ()), wanted))
    if wanted and others:
        named = ", ".join(others[:_NAMED]) + (", …" if len(others) > _NAMED else "")
        raise SessionNotFoundError(f"no session {wanted!r} among the spans; there are: {named}")
    raise SessionNotFoundError("no livekit_otel session among the spans; was the call traced with livekit_otel?")


def _starts(found: Iterable[OpenSession], rest: Iterable[SpanRecord]) -> dict[str, int]:
    """Ids and start times, also of the sessions that are only in ``rest``, whose spans are not kept."""
    starts = {session.session_id: session.start_ns for session in found}
    for span in rest:
        if own := span.session_id:
            starts[own] = min(starts.get(own, span.start_ns), span.start_ns)
    return starts


def _several(starts: dict[str, int], wanted: str) -> str:
    first = sorted(starts, key=lambda session_id: (starts[session_id], session_id))[:_NAMED]
    named = ", ".join(f"{session_id} ({clock(starts[session_id] / 1e9)})" for session_id in first)
    more = f" and {len(starts) - _NAMED} more" if len(starts) > _NAMED else ""
    which = f" match {wanted!r}" if wanted else " are here"
    return f"{len(starts)} sessions{which}, choose one by its id: {named}{more}"
