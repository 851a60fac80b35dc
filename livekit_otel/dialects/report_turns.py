"""The turns of a session report: what its items say of each exchange."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .. import attributes as attr
from ..spans import SpanRecord, number

__all__ = ["turn_records"]

Item = dict[str, Any]
#: when the user spoke is on the user's message; the agent's message has these of its own
_MOMENTS = ("started_speaking_at", "stopped_speaking_at")
#: which models served, in the order of a turn
_MODELS = ("stt_metadata", "llm_metadata", "tts_metadata")
_TOOLS = frozenset({"function_call", "function_call_output"})
_LATEST = 2**63 - 1


def turn_records(items: Sequence[Item], session_id: str) -> Iterator[SpanRecord]:
    """A ``turn`` record for each exchange, each followed by ``playback`` records of what the agent said in it.

    A message of the user begins a turn; what the agent said before the first one is a turn without a user.
    """
    agent = ""
    groups = list(_groups(items))
    for index, group in enumerate(groups):
        turn = _turn(group, index, session_id, agent, last=index + 1 == len(groups))
        yield turn
        yield from _playbacks(group, turn, session_id)
        agent = _agent(group, agent)


def _groups(items: Sequence[Item]) -> Iterator[list[Item]]:
    group: list[Item] = []
    for item in items:
        if _is(item, "user"):
            if _speaks(group):
                yield group
                group = []
            elif group:
                # what happened before anybody spoke: an agent took over, say
                group = [one for one in group if one.get("type") == "agent_handoff"]
        group.append(item)
    if _speaks(group):
        yield group


def _speaks(group: Sequence[Item]) -> bool:
    return any(_is(one, "user") or _is(one, "assistant") for one in group)


def _is(item: Item, role: str) -> bool:
    return item.get("type") == "message" and item.get("role") == role


def _agent(group: Sequence[Item], before: str) -> str:
    named = [
        str(one["new_agent_id"]) for one in group if one.get("type") == "agent_handoff" and one.get("new_agent_id")
    ]
    return named[-1] if named else before


def _metrics(item: Item) -> Mapping[str, Any]:
    found = item.get("metrics")
    return found if isinstance(found, dict) else {}


def _words(item: Item) -> str:
    content = item.get("content")
    return "\n".join(one for one in content if isinstance(one, str)) if isinstance(content, list) else ""


def _ns(seconds: float | None) -> int:
    return min(max(0, round((seconds or 0.0) * 1e9)), _LATEST)


def _turn(group: Sequence[Item], index: int, session_id: str, agent: str, *, last: bool) -> SpanRecord:
    users, answers = ([one for one in group if _is(one, role)] for role in ("user", "assistant"))
    first = (users or answers)[0]
    began = number(_metrics(first), _MOMENTS[0]) or number(first, "created_at")
    moments = [at for one in group if (at := number(one, "created_at")) is not None]
    moments += [at for one in answers if (at := number(_metrics(one), _MOMENTS[1])) is not None]
    start = _ns(began)
    found: dict[str, Any] = {
        attr.TURN_INDEX: index,
        attr.TURN_HAS_USER: bool(users),
        attr.AGENT_NAME: _agent(group[: group.index(first)], agent),
        attr.TURN_USER_TEXT: " ".join(filter(None, map(_words, users))),
        attr.TURN_AGENT_TEXT: " ".join(filter(None, map(_words, answers))),
        attr.TURN_MODELS: list(_models(group)),
        attr.END_REASON: _end_reason(answers, last=last),
        attr.TURN_ANSWERED: "yes" if users and _is_answered(group) else "",
        **_reported(users, answers),
    }
    kept = {name: value for name, value in found.items() if value not in ("", [])}
    end = max([start, *map(_ns, moments)])
    return _record(attr.KIND_TURN, session_id, f"turn-{index}", None, start, end, kept)


def _reported(users: Sequence[Item], answers: Sequence[Item]) -> dict[str, float]:
    """LiveKit's latencies: of the first message that has each."""
    found: dict[str, float] = {}
    for item in (*users, *answers):
        for name in attr.REPORTED_METRICS:
            value = number(_metrics(item), name)
            if value is not None and (name not in _MOMENTS or _is(item, "user")):
                found.setdefault(attr.reported(name), value)
    return found


def _models(group: Sequence[Item]) -> Iterator[str]:
    named = (one for item in group for name in _MODELS if isinstance(one := _metrics(item).get(name), dict))
    parts = ([str(one[name]) for name in ("model_provider", "model_name") if one.get(name)] for one in named)
    yield from dict.fromkeys("/".join(some) for some in parts if some)


def _end_reason(answers: Sequence[Item], *, last: bool) -> str:
    """Only that the user interrupted the agent: the close may have cut the last words off, and code may cut any."""
    return attr.END_INTERRUPTED if answers and answers[-1].get("interrupted") and not last else ""


def _is_answered(group: Sequence[Item]) -> bool:
    """Whether the user heard words that no tool call followed: those before one may be no more than a preamble. Only
    of words with a voice it is known that they were heard."""
    steps = [one for one in group if _is(one, "assistant") or one.get("type") in _TOOLS]
    return bool(steps) and _is(steps[-1], "assistant") and number(_metrics(steps[-1]), "tts_node_ttfb") is not None


def _playbacks(group: Sequence[Item], turn: SpanRecord, session_id: str) -> Iterator[SpanRecord]:
    for number_, item in enumerate(one for one in group if _is(one, "assistant")):
        began, stopped = (number(_metrics(item), name) for name in _MOMENTS)
        if began is not None and stopped is not None:
            found = {attr.TURN_INDEX: turn.attributes[attr.TURN_INDEX]}
            cut = {attr.PLAYBACK_INTERRUPTED: True} if item.get("interrupted") else {}
            span_id = f"{turn.span_id}-{number_}"
            start = _ns(began)
            yield _record(
                attr.KIND_PLAYBACK, session_id, span_id, turn.span_id, start, max(start, _ns(stopped)), {**found, **cut}
            )


def _record(
    kind: str, session_id: str, span_id: str, parent: str | None, start: int, end: int, found: dict[str, Any]
) -> SpanRecord:
    return SpanRecord(
        trace_id=session_id, span_id=span_id, parent_id=parent, name=kind, start_ns=start, end_ns=end,
        attributes={**found, attr.KIND: kind, attr.SESSION_ID: session_id},
    )  # fmt: skip
