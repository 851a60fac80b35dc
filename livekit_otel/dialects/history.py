"""Rebuilds the chat history of a session from its spans."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .exchanges import Exchange
from .names import NativeSpan, objects
from .tree import Tree

__all__ = ["history_of", "said_by_agent"]

Item = dict[str, Any]
_ONLY_THERE = frozenset({"function_call", "function_call_output", "agent_config_update"})
#: nanoseconds, rank among items of the same time, item
_Placed = tuple[int, int, Item]


def history_of(root: NativeSpan | None, turns: Sequence[Exchange], tree: Tree) -> list[Item]:
    """The items that the spans show, by time. Items in a request's context have LiveKit's ID, others have none."""
    placed = [*_handoffs(root, tree)]
    for turn in turns:
        commit = None
        if turn.user is not None:
            # the hook can keep a message out of the history; then there is no answer
            commit = turn.user.end_ns
            if turn.agents and (turn.user.text("user_text").strip() or not _is_realtime(turn, tree)):
                placed.append(_words(turn.user.text("user_text"), commit, turn.user))
        elif turn.typed:
            placed.append(_words(turn.agents[0].text("user_input"), turn.agents[0].start_ns, None))
        for agent in turn.agents:
            placed += _of_agent(agent, tree, commit)
    items = [item for _, _, item in sorted(placed, key=lambda one: one[:2])]
    return _with_ids(items, tree)


def _is_realtime(turn: Exchange, tree: Tree) -> bool:
    """Whether a realtime model received the user's audio. Then no span has the words."""
    return any(tree.responses(one) for one in turn.agents)


def _seconds(ns: int) -> float:
    return ns / 1e9


def _words(text: str, at_ns: int, user: NativeSpan | None) -> _Placed:
    item: Item = {"type": "message", "role": "user", "content": [text], "interrupted": False}
    confidence = user.number("confidence") if user is not None else None
    if confidence is not None:
        item["transcript_confidence"] = confidence
    return at_ns, 0, {**item, "created_at": _seconds(at_ns)}


def _handoffs(root: NativeSpan | None, tree: Tree) -> Iterator[_Placed]:
    started = tree.by_name["start_agent_activity"]
    first = next((label for one in (root, *started) if one is not None and (label := one.text("agent_label"))), "")
    if first and root is not None:
        yield root.start_ns, -2, _handoff(root.start_ns, None, first)
    for at, old, new in tree.handoffs():
        if old and new:
            yield at, 2, _handoff(at, old, new)


def _handoff(at_ns: int, old: str | None, new: str) -> Item:
    own = {} if old is None else {"old_agent_id": old}
    return {"type": "agent_handoff", **own, "new_agent_id": new, "created_at": _seconds(at_ns)}


def said_by_agent(agent: NativeSpan, tree: Tree, commit: int | None) -> Iterator[tuple[int, str, bool]]:
    """The messages of one speech: time, text, and whether it was cut off. Steps with tool calls can also have text.

    ``commit``: when the user's turn was committed. Parts of the answer before that time do not count.
    """
    unused = [one for one, _ in tree.discarded(agent, commit)]
    steps = [one for one in tree.below(agent, "llm_node") if one not in unused]
    final = agent.text("response_text")
    cut = agent.flag("interrupted")
    playouts = tree.below(agent, "agent_speaking")
    if not playouts:
        return
    if "response_text" not in agent.fields and not any("response_text" in one.fields for one in steps):
        yield playouts[0].start_ns, "", cut  # its text was withheld
        return
    spoken = [one for one in steps if one.text("response_text").strip()]
    if not final.strip():
        # the last step was not spoken; the steps before it were, as far as there are playouts
        spoken = spoken[: len(playouts)] if len(steps) > 1 else []
        yield from ((one.start_ns, one.text("response_text"), False) for one in spoken)
        return
    for one in spoken[:-1]:
        yield one.start_ns, one.text("response_text"), False
    yield spoken[-1].start_ns if spoken else playouts[0].start_ns, final, cut


def _of_agent(agent: NativeSpan, tree: Tree, commit: int | None) -> Iterator[_Placed]:
    for at, text, cut in said_by_agent(agent, tree, commit):
        at = max(at, commit or 0)
        message = {"type": "message", "role": "assistant", "content": [text], "interrupted": cut}
        yield at, 3, {**message, "created_at": _seconds(at)}
    for tool in tree.below(agent, "function_tool"):
        call_id, name = tool.text("tool_call_id"), tool.text("tool_name")
        call: Item = {"type": "function_call", "call_id": call_id, "arguments": tool.text("tool_arguments")}
        yield tool.start_ns, 1, {**call, "name": name, "created_at": _seconds(tool.start_ns)}
        if "tool_output" in tool.fields or "tool_is_error" in tool.fields:
            output: Item = {"type": "function_call_output", "name": name, "call_id": call_id}
            said = {"output": tool.text("tool_output"), "is_error": tool.flag("tool_is_error")}
            yield tool.end_ns, 1, {**output, **said, "created_at": _seconds(tool.end_ns)}


def _with_ids(items: list[Item], tree: Tree) -> list[Item]:
    """The items with their IDs from the contexts of requests."""
    ids: defaultdict[tuple[object, ...], list[str]] = defaultdict(list)
    seen: set[str] = set()
    contexts: list[list[Mapping[str, Any]]] = []
    for node in tree.by_name["llm_node"]:
        context = [] if node.flag("input_delta") else objects(node.fields.get("chat_ctx"))
        contexts.append(context)
        for one in (*context, *objects(node.fields.get("function_calls"))):
            if (own := one.get("id")) is not None and own not in seen:
                seen.add(own)
                ids[_mark(one)].append(own)
    found = []
    for item in items:
        known = ids.get(_mark(item))
        found.append({"id": known.pop(0), **item} if known else item)
    return _with_others(_as_sent(found, contexts), contexts)


def _as_sent(items: list[Item], contexts: Sequence[Sequence[Mapping[str, Any]]]) -> list[Item]:
    """The items in the order of the requests: a call that asked the user is placed where its result arrived."""
    found = list(items)
    for context in contexts:
        sent = {one.get("id"): number for number, one in enumerate(context)}
        places = [at for at, item in enumerate(found) if item.get("id") in sent and "id" in item]
        ordered = sorted((found[at] for at in places), key=lambda item: sent[item["id"]])
        for at, item in zip(places, ordered, strict=True):
            found[at] = item
    return found


def _with_others(items: list[Item], contexts: Sequence[Sequence[Mapping[str, Any]]]) -> list[Item]:
    """Add the items that only contexts have, after their predecessors there: calls without a span (unknown tools,
    invalid arguments), results that arrived later, and changes of an agent's instructions."""
    places = {item["id"]: number for number, item in enumerate(items) if "id" in item}
    known = {_content(item) for item in items}
    behind: defaultdict[int, list[Item]] = defaultdict(list)
    for context in contexts:
        listed = [one for one in context if "id" in one]
        at = _before(next((places[one["id"]] for one in listed if one["id"] in places), 0), items)
        for one in listed:
            if one["id"] in places:
                at = places[one["id"]]
            elif one.get("type") in _ONLY_THERE and _content(one) not in known:
                known.add(_content(one))
                places[one["id"]] = at
                behind[at].append(dict(one))
    found = list(behind[-1])
    for number, item in enumerate(items):
        found += [item, *behind[number]]
    return found


def _before(place: int, items: Sequence[Item]) -> int:
    """The handoff to the agent whose context goes back to this position."""
    handoffs = (at for at in range(min(place, len(items) - 1), -1, -1) if items[at]["type"] == "agent_handoff")
    return next(handoffs, -1)


def _content(item: Mapping[str, Any]) -> tuple[str, ...]:
    names = ("type", "call_id", "arguments", "output", "instructions", "tools_added", "tools_removed")
    return tuple(str(item.get(name)) for name in names)


def _mark(item: Mapping[str, Any]) -> tuple[object, ...]:
    """The key by which items of contexts and of spans are matched."""
    kind = item.get("type") or ("function_call" if "arguments" in item else "")
    if kind == "message":
        content = item.get("content")
        words = tuple(one for one in content if isinstance(one, str)) if isinstance(content, list) else ()
        return kind, str(item.get("role")), words
    return str(kind), str(item.get("call_id") or item.get("new_agent_id"))
