"""The native spans of a session as a tree, with queries."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

from .. import attributes as attr
from .names import NativeSpan

__all__ = ["BEFORE", "Tree"]

#: nanoseconds by which the spans that follow a user's turn can start before its end, at most
BEFORE = 2_000_000
#: nanoseconds: an event within this time counts as immediate
_AT_ONCE = 20_000_000


class Tree:
    """The spans of a session, with the parents and children of each."""

    def __init__(self, spans: Iterable[NativeSpan]) -> None:
        self.spans = sorted(spans, key=lambda one: (one.start_ns, one.end_ns, one.span_id))
        self._by_id = {one.span_id: one for one in self.spans}
        self.by_name: defaultdict[str, list[NativeSpan]] = defaultdict(list)
        self._below: defaultdict[str, list[NativeSpan]] = defaultdict(list)
        for one in self.spans:
            self.by_name[one.name].append(one)
        #: spans with a name of _CHILDREN, by their parent
        self._children: defaultdict[str, list[NativeSpan]] = defaultdict(list)
        #: provider and name of the models that generate the session's answers
        self.models = {
            (one.text(attr.PROVIDER_NAME), one.text(attr.REQUEST_MODEL))
            for name in ("llm_node", "realtime_inference")
            for one in self.by_name[name]
        }
        self._turns = self.by_name["agent_turn"]
        self._starts = [one.start_ns for one in self._turns]
        for one in self.spans:
            if (above := self.above(one, "agent_turn", "user_turn")) is not None:
                self._below[above.span_id].append(one)
            if one.parent_id and one.name in _CHILDREN:
                self._children[one.parent_id].append(one)

    def above(self, span: NativeSpan, *names: str) -> NativeSpan | None:
        """The nearest ancestor of a span with one of these names."""
        last, at, steps = span, self._by_id.get(span.parent_id or ""), 0
        while at is not None and at.name not in names and steps < 64:
            last, at, steps = at, self._by_id.get(at.parent_id or ""), steps + 1
        if at is not None and at.name in names:
            return at
        if "agent_turn" in names and last.parent_id not in self._by_id and span.name in _OF_AGENTS:
            return self._during(span)
        return None

    def _during(self, span: NativeSpan) -> NativeSpan | None:
        """The agent's turn during which a span ran that is below a span of other code."""
        for turn in reversed(self._turns[: bisect_right(self._starts, span.start_ns)][-8:]):
            if span.start_ns <= turn.end_ns:
                return turn
        return None

    def below(self, span: NativeSpan, *names: str) -> list[NativeSpan]:
        """The spans with these names that belong to this turn, by start."""
        return [one for one in self._below.get(span.span_id, ()) if one.name in names]

    def responses(self, agent: NativeSpan) -> list[NativeSpan]:
        """The realtime model's responses in a speech. Before 1.8, the speech's own span is also its response's."""
        if "realtime_metrics" in agent.fields:
            return [agent]
        return self.below(agent, "realtime_inference")

    def handoffs(self) -> list[tuple[int, str, str]]:
        """Handoffs: time, previous agent, new agent. Before 1.8, only the start spans of agents have this."""
        found = [
            (self.began(one), one.text("previous_agent_label"), one.text("agent_label"))
            for one in self.by_name["update_agent"]
        ]
        if found:
            return _chained(found)
        began = [*self.by_name["start_agent_activity"], *self.by_name["resume_agent_activity"]]
        labels = sorted((one.start_ns, one.text("agent_label")) for one in began if one.text("agent_label"))
        # on Node.js an agent starts once, whatever its name
        node = any(one.node for one in began)
        return [(at, old, new) for (_, old), (at, new) in pairwise(labels) if node or old != new]

    def playouts(self, agent: NativeSpan) -> list[NativeSpan]:
        """The playouts of an agent's speech; none if the answer was text that was not synthesised."""
        made = ("tts_node", "tts_request", "realtime_inference")
        if self.below(agent, "llm_node") and not self.below(agent, *made):
            return []
        return self.below(agent, "agent_speaking")

    def discarded(self, agent: NativeSpan, committed: int | None) -> list[tuple[NativeSpan, int]]:
        """Answers that were generated before the user's turn was committed, and then discarded for another: each step,
        and when the next step started."""
        steps = self.below(agent, "llm_node")
        if committed is None or len(steps) < 2:
            return []
        tools = [one.start_ns for one in self.below(agent, "function_tool")]
        return [
            (step, after.start_ns)
            for step, after in pairwise(steps)
            if step.start_ns < committed - BEFORE and not any(step.start_ns <= at <= after.start_ns for at in tools)
        ]

    def runs(self, span: NativeSpan) -> list[NativeSpan]:
        """The attempts of a request."""
        return [one for one in self._children.get(span.span_id, ()) if one.name.endswith("_run")]

    def late(self, span: NativeSpan) -> NativeSpan | None:
        """The metrics of a response that arrived after its span had ended."""
        return next((one for one in self._children.get(span.span_id, ()) if one.name == "realtime_metrics"), None)

    def began(self, handoff: NativeSpan) -> int:
        """When the agent that took over started or resumed."""
        started = [one for one in self._children.get(handoff.span_id, ()) if one.name in _BEGINNINGS]
        return max((one.start_ns for one in started), default=handoff.start_ns)

    def agent(self, at_ns: int) -> str:
        """The active agent at a time; empty if no span has it."""
        started = (*self.by_name[attr.NATIVE_SESSION], *self.by_name["start_agent_activity"])
        labels = [(one.start_ns, one.text("agent_label")) for one in started if one.text("agent_label")]
        labels += [(self.began(one), one.text("agent_label")) for one in self.by_name["update_agent"]]
        return max((one for one in labels if one[0] <= at_ns), default=(0, ""))[1]

    def entries(self, handoff: NativeSpan) -> list[NativeSpan]:
        """The ``on_enter`` spans of the agent that took over."""
        started = [one for one in self._children.get(handoff.span_id, ()) if one.name in _BEGINNINGS]
        return [one for above in started for one in self._children.get(above.span_id, ()) if one.name == "on_enter"]

    def inside(self, node: NativeSpan) -> list[NativeSpan]:
        """The requests directly below a node, by start."""
        return [one for one in self._children.get(node.span_id, ()) if one.name == "llm_request"]

    def failed(self, request: NativeSpan) -> bool:
        """Whether the last attempt of a request failed."""
        return any(one.failed for one in self.runs(request)[-1:])

    def released(self, agent: NativeSpan, at_ns: int) -> tuple[str, int] | None:
        """The event that released a waiting speech, and its time: the end of another speech or of answering machine
        detection. None if the speech waited for neither."""
        before = self._turns[: bisect_right(self._starts, agent.start_ns)][-8:]
        others = [("speech", one.end_ns) for one in before if one is not agent and self.playouts(one)]
        found = [*others, *(("amd", one.end_ns) for one in self.by_name["amd"])]
        return next(((what, end) for what, end in found if agent.start_ns < end <= at_ns <= end + _AT_ONCE), None)

    def has_inner(self, span: NativeSpan) -> bool:
        """Whether a request has requests below it, as a fallback adapter's does."""
        below = self._children.get(span.span_id, [])
        inner = [two for one in below for two in self._children.get(one.span_id, [])]
        return any(one.name == span.name for one in (*below, *inner))


def _chained(handoffs: list[tuple[int, str, str]]) -> list[tuple[int, str, str]]:
    """Handoffs of the same time in the order in which they must have happened."""
    found = sorted(handoffs, key=lambda one: one[0])
    for at in range(1, len(found) - 1):
        one, two = found[at : at + 2]
        if one[0] == two[0] and two[1] == found[at - 1][2] != one[1]:
            found[at : at + 2] = two, one
    return found


_BEGINNINGS = frozenset({"start_agent_activity", "resume_agent_activity"})
_CHILDREN = _BEGINNINGS | {
    *("llm_request", "llm_request_run", "tts_request", "tts_request_run", "realtime_metrics", "on_enter")
}
_OF_AGENTS = frozenset({"llm_node", "llm_request", "tts_node", "tts_request", "agent_speaking", "function_tool"})
