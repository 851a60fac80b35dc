"""Which turns a session had, from ``user_turn`` and ``agent_turn`` spans and the times of what is below them."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .names import NativeSpan

__all__ = ["Exchange", "Tree", "exchanges"]

#: nanoseconds: a speech that begins so soon after the one before goes on with its turn
_AT_ONCE = 50_000_000
#: an agent's turn begins so long before the end of the user's at most, where it follows it
_BEFORE = 2_000_000


class Tree:
    """The spans of a session, and what stands above and below each."""

    def __init__(self, spans: Iterable[NativeSpan]) -> None:
        self.spans = sorted(spans, key=lambda one: (one.start_ns, one.end_ns, one.span_id))
        self._by_id = {one.span_id: one for one in self.spans}
        self.by_name: defaultdict[str, list[NativeSpan]] = defaultdict(list)
        self._below: defaultdict[str, list[NativeSpan]] = defaultdict(list)
        for one in self.spans:
            self.by_name[one.name].append(one)
        #: attempts, late metrics, and requests below a request, by the span above them
        self._attempts: defaultdict[str, list[NativeSpan]] = defaultdict(list)
        self._turns = self.by_name["agent_turn"]
        self._starts = [one.start_ns for one in self._turns]
        for one in self.spans:
            if (above := self.above(one, "agent_turn", "user_turn")) is not None:
                self._below[above.span_id].append(one)
            if one.parent_id and one.name in _ATTEMPTS:
                self._attempts[one.parent_id].append(one)

    def above(self, span: NativeSpan, *names: str) -> NativeSpan | None:
        """The nearest span above one that has one of these names."""
        at, steps = self._by_id.get(span.parent_id or ""), 0
        while at is not None and at.name not in names and steps < 64:
            at, steps = self._by_id.get(at.parent_id or ""), steps + 1
        if at is not None and at.name in names:
            return at
        if "agent_turn" in names and span.parent_id not in self._by_id and span.name in _OF_AGENTS:
            return self._during(span)
        return None

    def _during(self, span: NativeSpan) -> NativeSpan | None:
        """The agent's turn in whose time a span lies that is below the span of somebody else."""
        for turn in reversed(self._turns[: bisect_right(self._starts, span.start_ns)][-8:]):
            if span.start_ns <= turn.end_ns:
                return turn
        return None

    def below(self, span: NativeSpan, *names: str) -> list[NativeSpan]:
        """The spans of these names whose turn this is, by start."""
        return [one for one in self._below.get(span.span_id, ()) if one.name in names]

    def runs(self, span: NativeSpan) -> list[NativeSpan]:
        """The attempts of a request."""
        return [one for one in self._attempts.get(span.span_id, ()) if one.name.endswith("_run")]

    def late(self, span: NativeSpan) -> NativeSpan | None:
        """The metrics of a response that came when its span had ended."""
        return next((one for one in self._attempts.get(span.span_id, ()) if one.name == "realtime_metrics"), None)

    def has_inner(self, span: NativeSpan) -> bool:
        """Whether a request has requests below it: a fallback adapter's."""
        below = self._attempts.get(span.span_id, [])
        inner = [two for one in below for two in self._attempts.get(one.span_id, [])]
        return any(one.name == span.name for one in (*below, *inner))


_ATTEMPTS = frozenset({"llm_request", "llm_request_run", "tts_request", "tts_request_run", "realtime_metrics"})
_OF_AGENTS = frozenset({"llm_node", "llm_request", "tts_node", "tts_request", "agent_speaking", "function_tool"})


@dataclass
class Exchange:
    """One turn.

    Attributes:
        user: the ``user_turn`` that it answers, if any.
        agents: its ``agent_turn`` spans, by start.
        heard: ``user_speaking`` spans that no ``user_turn`` is above (realtime models).
        typed: the user's side was written.
    """

    user: NativeSpan | None = None
    agents: list[NativeSpan] = field(default_factory=list)
    heard: list[NativeSpan] = field(default_factory=list)
    typed: bool = False

    @property
    def has_user(self) -> bool:
        """Whether the user said something."""
        return self.user is not None or self.typed or bool(self.heard)

    @property
    def start_ns(self) -> int:
        """When it began."""
        first = [self.user] if self.user is not None else [*self.heard, *self.agents]
        return min(one.start_ns for one in first)


def exchanges(tree: Tree) -> list[Exchange]:
    """The turns of a session, by start."""
    users = [one for one in tree.by_name["user_turn"] if is_committed(one, tree)]
    found: list[Exchange] = []
    by_user = {one.span_id: Exchange(user=one) for one in users}
    starts = [one.start_ns for one in users]
    loose = [one for one in tree.by_name["user_speaking"] if tree.above(one, "user_turn") is None]
    for agent in tree.by_name["agent_turn"]:
        before = users[: bisect_right(starts, agent.start_ns)]
        home = _home(agent, before, by_user, found, tree)
        if home is None:
            home = Exchange(typed=bool(agent.text("user_input").strip()))
            since = max((_active_until(one, tree) for one in found), default=0)
            home.heard = [one for one in loose if since <= one.end_ns and one.start_ns < agent.start_ns]
            loose = [one for one in loose if one not in home.heard]
            found.append(home)
        elif not home.agents:
            found.append(home)
        home.agents.append(agent)
    found += [one for one in by_user.values() if not one.agents]
    return sorted(found, key=lambda one: one.start_ns)


def is_committed(user: NativeSpan, tree: Tree) -> bool:
    """Whether words of the user's turn were committed."""
    if not user.text("user_text").strip():
        return False
    waits = tree.below(user, "eou_wait")
    if waits and all("eou_outcome" in one.fields for one in waits):
        return any(one.text("eou_outcome") == "committed" for one in waits) or "end_of_turn_delay" in user.fields
    return True


def _home(
    agent: NativeSpan,
    before: Sequence[NativeSpan],
    by_user: dict[str, Exchange],
    found: Sequence[Exchange],
    tree: Tree,
) -> Exchange | None:
    """The turn of an agent's speech; None where it begins one of its own. ``before``: users who had begun to speak."""
    asked = agent.text("user_input").strip()
    if before:
        latest = by_user[before[-1].span_id]
        over = agent.start_ns >= before[-1].end_ns - _BEFORE
        said = before[-1].text("user_text").strip()
        if over and not latest.agents and (not asked or asked in said or said in asked):
            return latest
        if not over and asked and (said.startswith(asked) or asked.startswith(said)):
            return latest
        if over and asked and asked == said:
            return latest
    if asked and not any(asked == one.text("user_input").strip() for turn in found[-1:] for one in turn.agents):
        return None
    for turn in reversed(found[-4:]):
        if agent.start_ns <= _active_until(turn, tree) + _AT_ONCE:
            return turn
    return None


def _active_until(turn: Exchange, tree: Tree) -> int:
    """When what a turn does was over."""
    until = [turn.user.end_ns] if turn.user is not None else [one.end_ns for one in turn.heard]
    for agent in turn.agents:
        until.append(agent.end_ns)
        until += [one.end_ns for one in tree.below(agent, "agent_speaking", "function_tool")]
    return max(until, default=0)
