"""Turns from native spans: their parts, how they ended, and their records."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .. import attributes as attr
from ..spans import SpanRecord
from .exchanges import Exchange
from .history import said_by_agent
from .names import NativeSpan
from .nodes import hooks_of
from .requests import Stage
from .stages import stages_of
from .tree import Tree

__all__ = ["Part", "bare_record", "parts_of", "turn_record"]

#: audible stages, and the stages of each step of a speech
_VOICED = frozenset({attr.KIND_PLAYBACK})
_STEPS = frozenset({attr.KIND_NODE, attr.KIND_LLM, attr.KIND_TTS, attr.KIND_REALTIME, attr.KIND_PLAYBACK})
_DELAYS = ("transcription_delay", "end_of_turn_delay", "on_user_turn_completed_delay", "e2e_latency")


@dataclass
class Part:
    """A turn with its stages and the agent's messages: time, text, whether it was cut off."""

    turn: Exchange
    stages: list[Stage]
    said: list[tuple[int, str, bool]]


def parts_of(turns: list[Exchange], tree: Tree) -> list[Part]:
    """The parts of each turn. If a step of a speech answers words that the user said meanwhile, it goes to the turn of
    those words: an agent asked during a tool call answers after the tool has ended."""
    parts = []
    for turn in turns:
        commit = turn.user.end_ns if turn.user is not None else None
        said = [one for agent in turn.agents for one in said_by_agent(agent, tree, commit)]
        parts.append(Part(turn, list(stages_of(turn, tree)), said))
    for part, after in pairwise(parts):
        user = after.turn.user
        if user is None or any(stage[0] in _VOICED for stage in after.stages):
            continue
        since = user.end_ns
        moved = [one for one in part.stages if one[2] >= since and one[0] in _STEPS]
        if moved:
            part.stages = [one for one in part.stages if one[2] < since or one[0] not in _STEPS]
            after.stages += moved
            after.said += [one for one in part.said if one[0] >= since]
            part.said = [one for one in part.said if one[0] < since]
    for hook in hooks_of(tree):
        # work in on_enter and on_exit belongs to the turn that caused it; before the first turn, to no turn
        called = next((part for part in reversed(parts) if part.turn.start_ns <= hook[2]), None)
        if called is not None:
            called.stages.append(hook)
    return parts


def bare_record(
    kind: str, trace_id: str, span_id: str, parent: str | None, start: int, end: int, found: dict[str, Any]
) -> SpanRecord:
    return SpanRecord(
        trace_id=trace_id, span_id=span_id, parent_id=parent, name=kind, start_ns=start, end_ns=end,
        attributes={**found, attr.KIND: kind},
    )  # fmt: skip


def turn_record(
    index: int, part: Part, tree: Tree, later: list[Part], close: NativeSpan | None, common: dict[str, Any]
) -> SpanRecord:
    turn, stages = part.turn, part.stages
    first = turn.user or turn.agents[0]
    start = min([turn.start_ns, *(stage[2] for stage in stages)])
    end = max([turn.start_ns, *(stage[3] for stage in stages)])
    said = [text for _, text, _ in sorted(part.said)]
    user = turn.user.text("user_text") if turn.user is not None else turn.agents[0].text("user_input")
    found: dict[str, Any] = {
        **common,
        attr.TURN_INDEX: index,
        attr.TURN_HAS_USER: turn.has_user,
        attr.TURN_SPEECH_IDS: [one.text("speech_id") for one in turn.agents if "speech_id" in one.fields],
        attr.END_REASON: _end_reason(part, later, close),
    }
    if turn.typed:
        found[attr.TURN_SPEECH_END_SOURCE] = attr.SPEECH_END_TYPED
    if user and turn.has_user:
        found[attr.TURN_USER_TEXT] = user
    if said:
        found[attr.TURN_AGENT_TEXT] = " ".join(said)
    if models := _models(stages):
        found[attr.TURN_MODELS] = models
    agent = next((name for one in turn.agents if (name := one.text(attr.AGENT_NAME))), "") or tree.agent(start)
    if agent:
        found[attr.AGENT_NAME] = agent
    found |= _reported(turn, tree)
    return bare_record(attr.KIND_TURN, first.trace_id, f"turn-{first.span_id}", None, start, end, found)


def _models(stages: list[Stage]) -> list[str]:
    names = dict.fromkeys(
        "/".join(str(found[name]) for name in (attr.PROVIDER_NAME, attr.REQUEST_MODEL) if name in found)
        for _, _, _, _, found in sorted(stages, key=lambda one: one[2])
        if attr.LLM_OWN not in found
    )
    return [name for name in names if name]


def _reported(turn: Exchange, tree: Tree) -> dict[str, float]:
    """LiveKit's own latencies, from the first speech that has them."""
    found: dict[str, float] = {}
    for name in _DELAYS:
        for one in (*((turn.user,) if turn.user is not None else ()), *turn.agents):
            value = one.number(name)
            if value is not None:
                found.setdefault(attr.reported(name), value)
    for field, name, node in (("ttft", "llm_node_ttft", "llm_node"), ("ttfb", "tts_node_ttfb", "tts_node")):
        for agent in turn.agents:
            spoken = [one for one in tree.below(agent, node) if node != "llm_node" or one.text("response_text").strip()]
            for step in spoken[:1]:
                value = step.number(field)
                if value is not None:
                    found.setdefault(attr.reported(name), value)
    return found


def _end_reason(part: Part, later: list[Part], close: NativeSpan | None) -> str:
    turn, stages = part.turn, part.stages
    voiced = [stage[2] for stage in stages if stage[0] in _VOICED]
    spoke = bool(voiced) or any(text.strip() for _, text, _ in part.said)
    failed = any(stage[4].get(attr.OUTCOME) == attr.OUTCOME_ERROR for stage in stages if stage[0] in _STEPS)
    failed = failed or any(one.failed for one in turn.agents)
    # of speeches that started at the same time, the one with text counts
    last = max(turn.agents, key=lambda one: (one.start_ns, "response_text" in one.fields), default=None)
    cut = last is not None and last.flag("interrupted")
    until = max((one.end_ns for one in (*turn.agents, *((turn.user,) if turn.user is not None else ()))), default=0)
    if failed and (not spoke or any(one.failed for one in turn.agents)):
        return attr.END_FAILED
    # a tool still ran when the last words began, so an answer is missing
    tools = [stage[3] for stage in stages if stage[0] == attr.KIND_TOOL]
    owed = bool(tools) and (not voiced or max(tools) > max(voiced))
    if close is not None and until >= close.start_ns and (cut or owed or not spoke):
        return attr.END_SESSION_CLOSED
    if cut or (owed and any(one.turn.user is not None and one.turn.start_ns <= max(tools) for one in later)):
        return attr.END_INTERRUPTED
    if spoke:
        return attr.END_COMPLETED
    return attr.END_NO_REPLY if turn.has_user else attr.END_COMPLETED
