"""Finds the turns of a session from ``user_turn`` and ``agent_turn`` spans and the times of the spans below them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..spans import finite
from .names import NativeSpan, decoded
from .tree import BEFORE, Tree

__all__ = ["Exchange", "exchanges", "is_committed"]

#: nanoseconds: a speech that starts within this time after the previous speech continues the turn
_AT_ONCE = 50_000_000
#: user sounds that are further apart are separate utterances, unless both produced words
_APART = 1_000_000_000
#: number of user turns before a speech that are searched for the turn that it answers
_MAX_USERS, _MAX_TURNS = 4, 4
#: maximum number of handoffs followed in one turn
_MAX_HANDOFFS = 16
#: attributes that LiveKit sets on a speech that answers the user
_ANSWERS = ("e2e_latency", "end_of_turn_delay")


@dataclass
class Exchange:
    """One turn.

    Attributes:
        user: the ``user_turn`` that it answers, if any.
        agents: its ``agent_turn`` spans, by start.
        heard: its ``user_speaking`` spans.
        typed: whether the user's input was text.
    """

    user: NativeSpan | None = None
    agents: list[NativeSpan] = field(default_factory=list)
    heard: list[NativeSpan] = field(default_factory=list)
    typed: bool = False

    @property
    def has_user(self) -> bool:
        """Whether the user took part in it."""
        return self.user is not None or self.typed or bool(self.heard)

    @property
    def start_ns(self) -> int:
        """Start, in Unix nanoseconds."""
        first = self.heard or ([self.user] if self.user is not None else self.agents)
        return min(one.start_ns for one in first)


def exchanges(tree: Tree) -> list[Exchange]:
    """The turns of a session, by start."""
    users = [one for one in tree.by_name["user_turn"] if is_committed(one, tree)]
    by_user = {one.span_id: Exchange(user=one, heard=_utterance(one, tree)) for one in users}
    starts = [one.start_ns for one in users]
    loose = [one for one in tree.by_name["user_speaking"] if tree.above(one, "user_turn") is None]
    found: list[Exchange] = []
    for agent in tree.by_name["agent_turn"]:
        # LiveKit reuses a speech for the next words if the words that it was prepared for were never committed
        at = bisect_right(starts, agent.end_ns)
        before = [by_user[one.span_id] for one in users[max(0, at - _MAX_USERS) : at]]
        home = _home(agent, before, found, tree)
        if home is None:
            home = Exchange(typed=bool(agent.text("user_input").strip()))
            since = max((_active_until(one, tree) for one in found[-_MAX_TURNS:]), default=0)
            home.heard = _last(one for one in loose if since <= one.end_ns and one.start_ns < agent.start_ns)
            loose = [one for one in loose if one.start_ns >= agent.start_ns]
            found.append(home)
        elif not home.agents:
            found.append(home)
        home.agents.append(agent)
    found += [one for one in by_user.values() if not one.agents]
    return sorted(found, key=lambda one: one.start_ns)


def is_committed(user: NativeSpan, tree: Tree) -> bool:
    """Whether the user's turn was committed: then the agent's hook ran. Older releases have no span of the hook."""
    if tree.by_name["on_user_turn_completed"]:
        return bool(tree.below(user, "on_user_turn_completed"))
    return bool(user.text("user_text").strip()) or bool(
        "end_of_turn_delay" in user.fields and tree.below(user, "user_speaking")
    )


def _utterance(user: NativeSpan, tree: Tree) -> list[NativeSpan]:
    """The user's sounds in a turn, without noise before the words."""
    heard = tree.below(user, "user_speaking")
    if len(heard) < 2:
        return heard
    events = decoded(user.fields.get("stt_events"))
    times = [
        round(at * 1e9)
        for one in (events if isinstance(events, list) else ())
        if isinstance(one, Mapping) and (at := finite(one.get("received_at"))) is not None
    ]
    return _last(heard, times)


def _last(heard: Iterable[NativeSpan], words: Sequence[int] = ()) -> list[NativeSpan]:
    """The last sounds that form one utterance. ``words``: times of words, in Unix nanoseconds."""
    found: list[NativeSpan] = []
    for one in sorted(heard, key=lambda one: one.start_ns):
        apart = bool(found) and one.start_ns - found[-1].end_ns >= _APART
        if apart and not any(found[0].start_ns <= at < one.start_ns for at in words):
            found = []
        found.append(one)
    return found


def _home(agent: NativeSpan, before: Sequence[Exchange], found: Sequence[Exchange], tree: Tree) -> Exchange | None:
    """The turn of an agent's speech; None if the speech starts its own turn. ``before``: turns in which the user began
    to speak before the speech ended."""
    asked = agent.text("user_input").strip()
    over = [one for one in before if one.user is not None and agent.start_ns >= one.user.end_ns - BEFORE]
    if asked:
        for one in reversed(before):
            said = _said(one)
            early = one not in over and one.user is not None and one.user.start_ns <= agent.start_ns
            if said == asked or (early and said and (said.startswith(asked) or asked.startswith(said))):
                return one
        if over and not over[-1].agents and (asked in _said(over[-1]) or not _said(over[-1])):
            return over[-1]
        return None
    answers = any(name in agent.fields for name in _ANSWERS)
    if answers:
        over += [one for one in before if one not in over and one.heard and one.heard[-1].end_ns <= agent.start_ns]
    latest = over[-1] if over else None
    if latest is not None and (answers or not latest.agents):
        other = found[-1] if found else latest
        if other is latest or other.start_ns <= latest.start_ns:
            return latest
    for turn in reversed(found[-_MAX_TURNS:]):
        if _goes_on(turn, agent, tree):
            return turn
    return None


def _said(turn: Exchange) -> str:
    return turn.user.text("user_text").strip() if turn.user is not None else ""


def _goes_on(turn: Exchange, agent: NativeSpan, tree: Tree) -> bool:
    """Whether a speech that is not an answer belongs to a turn: spoken during it, or right after an answer."""
    until = _active_until(turn, tree)
    last = turn.agents[-1] if turn.agents else None
    if last is not None and last.flag("interrupted") and last.end_ns <= agent.start_ns:
        return False
    return agent.start_ns < until - BEFORE or (turn.has_user and agent.start_ns <= until + _AT_ONCE)


def _active_until(turn: Exchange, tree: Tree) -> int:
    """When the last activity of a turn ended."""
    until = [turn.user.end_ns] if turn.user is not None else [one.end_ns for one in turn.heard]
    for agent in turn.agents:
        until.append(agent.end_ns)
        until += [one.end_ns for one in tree.below(agent, "agent_speaking", "function_tool")]
    handoffs = tree.by_name["update_agent"]
    first = bisect_left(handoffs, turn.start_ns, key=lambda one: one.start_ns)
    for handoff in handoffs[first : first + _MAX_HANDOFFS]:
        # what an agent says in on_enter belongs to the turn that handed over to it
        if not until or handoff.start_ns > max(until) + _AT_ONCE:
            break
        until += [one.end_ns for one in tree.entries(handoff)]
    return max(until, default=0)
