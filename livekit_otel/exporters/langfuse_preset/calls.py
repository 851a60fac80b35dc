"""Recent calls: used to label spans of their traces that do not name their call."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass, field

from opentelemetry.util.types import AttributeValue

__all__ = ["Call", "Calls"]

_MAX_TRACES = 1_000
_MAX_CALLS = 100


@dataclass
class Call:
    """One session: ``shared`` attributes are set on each of its spans; the texts are from its first and last turn."""

    session_id: str
    start_ns: int
    shared: dict[str, AttributeValue] = field(default_factory=dict)
    first_words: str | None = None
    last_words: str | None = None


class Calls:
    """Calls by trace; their number is limited."""

    def __init__(self) -> None:
        self._traces: OrderedDict[int, list[Call]] = OrderedDict()

    def open(self, trace_id: int, session_id: str, start_ns: int) -> Call:
        """The call with this id, created if necessary; ``start_ns`` is the start of one of its spans."""
        calls = self._traces.setdefault(trace_id, [])
        self._traces.move_to_end(trace_id)
        while len(self._traces) > _MAX_TRACES:
            self._traces.popitem(last=False)
        call = self.find(trace_id, session_id)
        if call is None:
            call = Call(session_id, start_ns)
            calls.append(call)
            del calls[:-_MAX_CALLS]
        call.start_ns = min(call.start_ns, start_ns)
        calls.sort(key=lambda one: one.start_ns)
        return call

    def find(self, trace_id: int, session_id: str) -> Call | None:
        """The call with this id, or None."""
        return next((call for call in self._traces.get(trace_id, ()) if call.session_id == session_id), None)

    def at(self, trace_id: int, time_ns: int) -> Call | None:
        """The call of a trace that was current at this time, else its first call; None if the trace has no calls."""
        calls = self._traces.get(trace_id)
        if not calls:
            return None
        return calls[max(0, bisect_right([call.start_ns for call in calls], time_ns) - 1)]
