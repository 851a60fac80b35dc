"""Own work of the agent's nodes and hooks while an answer was waited for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from .. import attributes as attr
from ..spans import SpanRecord, nanoseconds, numbers, text
from .intervals import Interval
from .model import Segment

__all__ = ["OwnWork", "explained", "first_output", "node_of", "own_work", "work_before", "writer_of"]

_HOOK, _NODE, _OTHER = (attr.SILENCE_STAGES[at] for at in (2, 3, -1))
_HOOKS = frozenset({"on_enter", "on_exit"})


class OwnWork(msgspec.Struct, frozen=True, gc=False):
    """One interval of own work. Unix nanoseconds.

    Attributes:
        node: the method's name.
        stage: ``node``, or ``hook`` for ``on_enter``, ``on_exit`` and ``on_user_turn_completed``.
        speech: id of the speech that the work was for; empty for these hooks.
    """

    node: str
    stage: str
    speech: str
    start_ns: int
    end_ns: int


def own_work(nodes: Iterable[SpanRecord], hooks: Iterable[Interval] = ()) -> list[OwnWork]:
    """The own work in ``node`` spans, and when ``on_user_turn_completed`` ran, by start."""
    found = [one for span in nodes for one in _of(span)]
    found += [OwnWork("on_user_turn_completed", _HOOK, "", *hook) for hook in hooks]
    return sorted(found, key=lambda one: (one.start_ns, one.end_ns))


def _of(span: SpanRecord) -> Iterator[OwnWork]:
    name = text(span.attributes, attr.NODE_NAME)
    speech = text(span.attributes, attr.SPEECH_ID)
    if name in _HOOKS:
        yield OwnWork(name, _HOOK, speech, span.start_ns, span.end_ns)
        return
    moments = [span.start_ns + round(offset * 1e9) for offset in numbers(span.attributes, attr.NODE_OWN_WORK)]
    for start, end in zip(moments[::2], moments[1::2], strict=False):
        yield OwnWork(name, _NODE, speech, start, end)


def node_of(nodes: Iterable[SpanRecord], name: str, speech: str | None, at_ns: int) -> SpanRecord | None:
    """The run of a node for a speech at a given time, if it has a span."""
    for one in nodes:
        mine = text(one.attributes, attr.NODE_NAME) == name and text(one.attributes, attr.SPEECH_ID) == speech
        if mine and one.start_ns <= at_ns <= one.end_ns:
            return one
    return None


def writer_of(
    nodes: Iterable[SpanRecord], speech: str | None, before_ns: int, name: str = "llm_node"
) -> SpanRecord | None:
    """The latest run of a node for a speech that produced output before a given time."""
    found = [
        one
        for one in nodes
        if text(one.attributes, attr.NODE_NAME) == name
        and text(one.attributes, attr.SPEECH_ID) == speech
        and (first_output(one) or before_ns + 1) <= before_ns
    ]
    return found[-1] if found else None


def first_output(node: SpanRecord) -> int | None:
    """When a node yielded its first output."""
    offset = nanoseconds(node.attributes, attr.NODE_FIRST_OUTPUT)
    return None if offset is None else node.start_ns + offset


def work_before(work: Iterable[OwnWork], node: str, speech: str | None, at_ns: int) -> OwnWork | None:
    """The latest own work of a node for a speech that was done by a given time."""
    found = [one for one in work if one.node == node and one.speech == speech and one.end_ns <= at_ns]
    return max(found, key=lambda one: (one.end_ns, one.start_ns), default=None)


def explained(path: Iterable[Segment], work: Sequence[OwnWork]) -> tuple[Segment, ...]:
    """The path with own work (sorted by start) in place of time that no stage explains; the order is kept."""
    apart = _apart(work)
    out: list[Segment] = []
    first = 0
    for segment in path:
        at = segment.start_ns
        while first < len(apart) and apart[first].end_ns <= at:
            first += 1
        here = first
        while segment.stage == _OTHER and here < len(apart) and apart[here].start_ns < segment.end_ns:
            one = apart[here]
            start, end = max(one.start_ns, at), min(one.end_ns, segment.end_ns)
            _append(out, Segment(_OTHER, at, start))
            _append(out, Segment(one.stage, start, end))
            at, here = end, here + 1
        _append(out, Segment(segment.stage, at, segment.end_ns))
    return tuple(out)


def _apart(work: Sequence[OwnWork]) -> list[Segment]:
    """Own work without overlaps: where two intervals overlap, the time counts for the one that began first."""
    out: list[Segment] = []
    until = 0
    for one in work:
        if one.end_ns > until:
            out.append(Segment(one.stage, max(one.start_ns, until), one.end_ns))
            until = one.end_ns
    return out


def _append(path: list[Segment], segment: Segment) -> None:
    if segment.start_ns >= segment.end_ns:
        return
    if path and path[-1].stage == segment.stage:
        segment = Segment(segment.stage, path.pop().start_ns, segment.end_ns)
    path.append(segment)
