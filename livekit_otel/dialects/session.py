"""Converts a session of native spans into records of the pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from .. import attributes as attr
from ..spans import SpanRecord
from .collect import Session
from .exchanges import Exchange, exchanges
from .history import history_of
from .names import NODE, PYTHON, NativeSpan
from .node import as_python, is_node
from .requests import Stage, beside
from .stages import to_record
from .tree import Tree
from .turns import bare_record, parts_of, turn_record

__all__ = ["NativeSession", "convert"]

#: latencies that spans carry as attributes; the others are differences of two times
_REPORTED = ("transcription_delay", "end_of_turn_delay", "llm_node_ttft", "llm_node_tps", "tts_node_ttfb")


class NativeSession(msgspec.Struct, kw_only=True):
    """One session, converted from LiveKit's own spans.

    Attributes:
        session_id: the trace ID; with the ID of the session span if the trace has several sessions.
        conversation_id: the room's SID; empty if unknown.
        provenance: ``native python`` or ``native node``.
        job_id, room_id, room, agent_name: empty if unknown.
        started_ns, ended_ns: Unix nanoseconds.
        close_reason: LiveKit's reason; empty if no span has it.
        rooted: whether the session span is present. It is exported when the session has ended.
        basis: for each latency, whether it was ``derived`` from the times of spans or ``reported`` by LiveKit on them.
        history: items of the chat history; without an ``id`` if no span has it.
        spans: the records.
    """

    session_id: str
    conversation_id: str
    provenance: str
    job_id: str
    room_id: str
    room: str
    agent_name: str
    started_ns: int
    ended_ns: int
    close_reason: str
    rooted: bool
    basis: dict[str, str]
    history: list[dict[str, Any]]
    spans: list[SpanRecord]


def convert(session: Session) -> NativeSession:
    """Convert a session into the records that the pipeline would have made, as far as its spans allow."""
    node = is_node(session.spans)
    tree, root = Tree(as_python(session.spans) if node else session.spans), session.root
    own = [one for one in tree.spans if one.name != "job_entrypoint"]
    started = root.start_ns if root is not None else min(one.start_ns for one in own)
    ended = root.end_ns if root is not None else max(one.end_ns for one in own)
    turns = exchanges(tree)
    close = next(iter(tree.by_name["session_close"]), None)
    room_id = _said(own, attr.CONVERSATION_ID) or _said(tree.spans, "room_sid")
    return NativeSession(
        session_id=session.session_id,
        conversation_id=room_id,
        provenance=NODE if node else PYTHON,
        job_id=_said(tree.spans, "job_id"),
        room_id=_said(tree.spans, "room_sid") or room_id,
        room=_said(tree.spans, "room_name"),
        agent_name=_said(tree.spans, "agent_name"),
        started_ns=started,
        ended_ns=ended,
        close_reason=close.text("close_reason") if close is not None else "",
        rooted=root is not None,
        basis=_basis(tree),
        history=history_of(root, turns, tree),
        spans=list(_records(session, tree, turns, close, ended)),
    )


def _basis(tree: Tree) -> dict[str, str]:
    reported = set(_REPORTED)
    if any("stt_events" in one.fields for one in tree.by_name["user_turn"]):
        reported.discard("transcription_delay")
    return {name: "reported" if name in reported else "derived" for name in attr.DERIVED_LATENCIES}


def _said(spans: list[NativeSpan], field: str) -> str:
    return next((found for one in spans if (found := one.text(field))), "")


def _records(
    session: Session, tree: Tree, turns: list[Exchange], close: NativeSpan | None, ended: int
) -> Iterator[SpanRecord]:
    common: dict[str, Any] = {attr.SESSION_ID: session.session_id}
    root = session.root or tree.spans[0]
    taken: set[str] = set()
    parts = parts_of(turns, tree)
    used = {stage[1].span_id for part in parts for stage in part.stages}
    records: list[SpanRecord] = []
    for index, part in enumerate(parts):
        record = turn_record(index, part, tree, parts[index + 1 :], close, common)
        named = {**common, attr.TURN_INDEX: index}
        records.append(record)
        records += [to_record(stage, record.span_id, named, taken) for stage in part.stages]
    records += [to_record(stage, root.span_id, common, taken) for stage in _beside(tree, used)]
    if session.root is not None:
        start, end = root.start_ns, root.end_ns
        yield bare_record(attr.KIND_SESSION, root.trace_id, root.span_id, None, start, end, common)
        closing = {} if close is None else {attr.SESSION_CLOSING: max(0, ended - close.start_ns) / 1e9}
        counted = {attr.SESSION_SPAN_COUNT: len(records) + 2, **closing}
        last = f"end-{root.span_id}"
        yield bare_record(attr.KIND_SESSION_END, root.trace_id, last, root.span_id, end, end, {**common, **counted})
    yield from records


def _beside(tree: Tree, used: set[str]) -> Iterator[Stage]:
    """Stages outside of turns: speech that did not become a turn, and requests."""
    for one in tree.by_name["user_speaking"]:
        if one.span_id not in used:
            yield attr.KIND_VAD, one, one.start_ns, one.end_ns, {}
    for one in tree.by_name["llm_request"]:
        if one.span_id not in used:
            yield from beside(one, tree)
