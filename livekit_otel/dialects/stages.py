"""Converts native spans into stages of the pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from .. import attributes as attr
from ..spans import SpanRecord, finite, nanoseconds
from .exchanges import Exchange
from .names import NativeSpan, decoded
from .nodes import failed_voice, node_of
from .requests import Attributes, Stage, request, response, synthesis
from .tree import BEFORE, Tree

__all__ = ["stages_of", "to_record"]

_HOOK = attr.metric("eou", "on_user_turn_completed_delay")
#: nanoseconds: an event within this time counts as immediate
_AT_ONCE = 20_000_000
_DETECTOR = {attr.EOU_PROBABILITY: "eou_probability", attr.EOU_THRESHOLD: "eou_threshold", attr.EOU_DELAY: "eou_delay"}
_USERS = frozenset({"audio_activity", "user_turn"})


def stages_of(exchange: Exchange, tree: Tree) -> Iterator[Stage]:
    """The stages of a turn."""
    user, agents = exchange.user, exchange.agents
    for heard in exchange.heard:
        yield attr.KIND_VAD, heard, heard.start_ns, heard.end_ns, {}
    if user is not None:
        yield from _users(exchange, user, tree)
    committed = user.end_ns if user is not None else None
    for agent in agents:
        unused = tree.discarded(agent, committed)
        for stage in _agents(agent, tree):
            if committed is not None and stage[0] == attr.KIND_LLM and stage[2] < committed - 1_000_000:
                stage[4][attr.LLM_PREEMPTIVE] = True
            if stage[0] in (attr.KIND_LLM, attr.KIND_TTS) and any(
                one.start_ns <= stage[2] < until for one, until in unused
            ):
                stage[4][attr.OUTCOME] = attr.OUTCOME_DISCARDED
            yield stage


def _users(exchange: Exchange, user: NativeSpan, tree: Tree) -> Iterator[Stage]:
    speech = exchange.agents[0].fields.get("speech_id") if exchange.agents else None
    own: Attributes = {attr.SPEECH_ID: speech} if speech else {}
    delay = nanoseconds(user.fields, "end_of_turn_delay") or None
    waits = tree.below(user, "eou_wait")
    commit = next((one for one in reversed(waits) if one.text("eou_outcome") == "committed"), None)
    end = min(commit.end_ns, user.end_ns) if commit is not None else user.end_ns
    first = exchange.agents[0] if exchange.agents else None
    if first is not None and first.start_ns < end <= first.start_ns + BEFORE:
        end = first.start_ns  # two different clocks: work requested by the commit cannot start before it
    if first is not None and first.start_ns < end and tree.responses(first):
        end = first.start_ns  # a realtime model does not wait for the transcript
        delay = None
    stopped = None if delay is None else end - delay
    if exchange.heard and (stopped is None or user.node):
        stopped = exchange.heard[-1].end_ns
        if user.node and delay is not None:
            end = stopped + delay  # the span ends some milliseconds after the commit
    final = _final(user, stopped)
    if final is not None and user.text("user_text").strip():
        said: Attributes = {attr.STT_TEXT: user.text("user_text"), **own}
        for name in (attr.PROVIDER_NAME, attr.REQUEST_MODEL):
            if name in user.fields:
                said[name] = user.fields[name]
        yield attr.KIND_STT, user, min(exchange.start_ns, final), final, said
    for one in waits:
        if one is not commit:
            outcome = {attr.OUTCOME: attr.OUTCOME_NOT_COMMITTED, attr.EOU_COMMITTED: False}
            yield attr.KIND_EOU, one, one.start_ns, one.end_ns, outcome
    decision = _decision(user, commit, tree, end) | own
    if stopped is None or (delay is None and not exchange.heard):
        # the STT detected speech that VAD did not: the end of the user's speech is unknown
        decision[attr.EOU_SOURCE] = "unknown"
        stopped = end
    yield attr.KIND_EOU, commit or user, stopped, end, decision


def _final(user: NativeSpan, stopped: int | None) -> int | None:
    """When the last final transcript came."""
    events = decoded(user.fields.get("stt_events"))
    finals = [
        at
        for one in (events if isinstance(events, list) else ())
        if isinstance(one, Mapping)
        and one.get("type") == "final_transcript"
        and (at := finite(one.get("received_at"))) is not None
    ]
    if finals:
        return round(max(finals) * 1e9)
    delay = nanoseconds(user.fields, "transcription_delay")
    return None if delay is None or stopped is None else stopped + delay


def _decision(user: NativeSpan, commit: NativeSpan | None, tree: Tree, end: int) -> Attributes:
    found: Attributes = {attr.EOU_COMMITTED: True}
    source = commit.text("eou_source") if commit is not None else ""
    if source in ("vad", "stt"):
        found[attr.EOU_SOURCE] = source
    found |= _detector(user, tree)
    hooks = tree.below(user, "on_user_turn_completed")
    if hooks:
        hook = hooks[-1]
        close = next(iter(tree.by_name["session_close"]), None)
        if close is None or hook.end_ns < close.start_ns:
            found[_HOOK] = (hook.end_ns - hook.start_ns) / 1e9
        if hook.start_ns - end > _AT_ONCE:
            found[attr.EOU_HELD] = (hook.start_ns - end) / 1e9
            if any(abs(one.end_ns - hook.start_ns) <= _AT_ONCE for one in tree.by_name["function_tool"]):
                found[attr.EOU_HELD_BY] = "tool"
    return found


def _detector(user: NativeSpan, tree: Tree) -> Attributes:
    """The last result of the end-of-turn detector, and the delay that LiveKit chose because of it."""
    asked = tree.below(user, "eou_detection")
    values = ((name, asked[-1].number(field)) for name, field in _DETECTOR.items()) if asked else ()
    return {name: value for name, value in values if value is not None}


def _agents(agent: NativeSpan, tree: Tree) -> Iterator[Stage]:
    speech: Attributes = {attr.SPEECH_ID: agent.fields["speech_id"]} if "speech_id" in agent.fields else {}
    playouts = tree.playouts(agent)
    first = playouts[0].start_ns if playouts else None
    for one in tree.below(agent, "llm_node"):
        yield from node_of(one, tree, speech)
    for one in tree.below(agent, "llm_request"):
        yield from request(one, tree, speech)
    for one in tree.responses(agent):
        yield response(one, tree, speech, first)
    voices = tree.below(agent, "tts_request")
    for one in tree.below(agent, "tts_node"):
        yield from failed_voice(one, voices, tree, speech)
    for one in voices:
        yield synthesis(one, tree, speech, playouts)
    for one in tree.below(agent, "function_tool"):
        yield attr.KIND_TOOL, one, one.start_ns, one.end_ns, _tool(one) | speech
    for said in _resumed(playouts, agent, tree):
        start, last = said[0], said[-1]
        found = _playout(agent, last=last is playouts[-1]) | speech
        if start is playouts[0] and (held := tree.released(agent, start.start_ns)) is not None:
            found[attr.PLAYBACK_HELD_BY] = held[0]
            found[attr.PLAYBACK_RELEASE_DELAY] = (start.start_ns - held[1]) / 1e9
        if len(said) > 1:
            found[attr.PLAYBACK_PAUSES] = _pauses(said)
        yield attr.KIND_PLAYBACK, start, start.start_ns, last.end_ns, found
        for before, after in pairwise(said):
            # LiveKit pauses a speech when the user makes a sound, and resumes it if that was not an interruption
            verdict = {attr.INTERRUPTION_VERDICT: attr.VERDICT_FALSE_INTERRUPTION, attr.INTERRUPTION_RESUMED: True}
            yield attr.KIND_INTERRUPTION, after, before.end_ns, after.start_ns, verdict | speech
    close = next(iter(tree.by_name["session_close"]), None)
    if agent.flag("interrupted") and playouts and (close is None or agent.end_ns < close.start_ns):
        source = agent.text("interruption_source")
        cause = {attr.INTERRUPTION_CAUSE: "user" if source in _USERS else source} if source else {}
        at = playouts[-1].end_ns
        found = {attr.INTERRUPTION_VERDICT: attr.VERDICT_INTERRUPTION, **cause}
        yield attr.KIND_INTERRUPTION, agent, at, at, found | speech


def _resumed(playouts: Sequence[NativeSpan], agent: NativeSpan, tree: Tree) -> list[list[NativeSpan]]:
    """The playouts of a speech. Those without a step between them are one group: the speech was paused and resumed."""
    found: list[list[NativeSpan]] = []
    work = tree.below(agent, "llm_node", "tts_node", "function_tool", "realtime_inference")
    for one in playouts:
        before = found[-1][-1] if found else None
        if before is not None and not any(before.start_ns < step.start_ns <= one.start_ns for step in work):
            found[-1].append(one)
        else:
            found.append([one])
    return found


def _pauses(said: Sequence[NativeSpan]) -> list[float]:
    start = said[0].start_ns
    gaps = ((before.end_ns, after.start_ns) for before, after in pairwise(said))
    return [(moment - start) / 1e9 for gap in gaps for moment in gap]


def _playout(agent: NativeSpan, *, last: bool) -> Attributes:
    found: Attributes = {attr.PLAYBACK_INTERRUPTED: last and agent.flag("interrupted")}
    position = agent.number("playout_position")
    if last and position is not None:
        found[attr.PLAYBACK_POSITION] = position
    return found


def _tool(span: NativeSpan) -> Attributes:
    names = {
        attr.TOOL_NAME: "tool_name",
        attr.TOOL_CALL_ID: "tool_call_id",
        attr.TOOL_CALL_ARGUMENTS: "tool_arguments",
        attr.TOOL_CALL_RESULT: "tool_output",
    }
    found: Attributes = {name: span.text(field) for name, field in names.items() if field in span.fields}
    failed = span.flag("tool_is_error")
    found[attr.OUTCOME] = attr.OUTCOME_ERROR if failed else attr.OUTCOME_COMPLETED
    if "tool_is_error" in span.fields:
        found[attr.TOOL_STATUS] = "error" if failed else "done"
    return found


def to_record(stage: Stage, parent: str, common: Mapping[str, Any], taken: set[str]) -> SpanRecord:
    """The stage as a record of the pipeline. If a span becomes two stages, only the first has the span's ID."""
    kind, span, start, end, found = stage
    span_id = span.span_id
    if span_id in taken:
        span_id = f"{kind}-{span_id}"
    taken.add(span_id)
    return SpanRecord(
        trace_id=span.trace_id, span_id=span_id, parent_id=parent, name=kind, start_ns=start, end_ns=max(start, end),
        attributes={**common, **found, attr.KIND: kind},
        status="error" if found.get(attr.OUTCOME) == attr.OUTCOME_ERROR else "unset",
    )  # fmt: skip
