"""What each native span becomes: the stage of the pipeline that it shows, with the attributes that it has a word for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .. import attributes as attr
from ..spans import SpanRecord, finite, nanoseconds
from .exchanges import Exchange, Tree
from .names import NativeSpan, decoded

__all__ = ["Stage", "stages_of", "to_record"]

Attributes = dict[str, Any]
#: kind, the span, start, end, attributes
Stage = tuple[str, NativeSpan, int, int, Attributes]

_KEPT = (
    *(attr.PROVIDER_NAME, attr.REQUEST_MODEL, attr.RESPONSE_MODEL, attr.RESPONSE_ID, attr.RESPONSE_FINISH_REASONS),
    *(attr.TIME_TO_FIRST_CHUNK, attr.ERROR_TYPE),
)
#: what LiveKit's metrics hold besides their fields
_NOT_FIELDS = frozenset({"type"})
_HOOK = attr.metric("eou", "on_user_turn_completed_delay")
_FIRST_BYTE_LATE = 5_000_000
_USERS = frozenset({"audio_activity", "user_turn"})


def metrics_of(span: NativeSpan, field: str, stage: str) -> Attributes:
    """The metrics on a span, one attribute for each field."""
    found: Attributes = {}
    _flatten(decoded(span.fields.get(field)), stage, "", found)
    return found


def _flatten(value: Any, stage: str, path: str, found: Attributes) -> None:
    if not isinstance(value, Mapping):
        return
    for name, one in value.items():
        if isinstance(one, Mapping):
            _flatten(one, stage, f"{path}{name}.", found)
        elif one is not None and not isinstance(one, list) and (path or name not in _NOT_FIELDS):
            found[attr.metric(stage, path + name)] = one


def stages_of(exchange: Exchange, tree: Tree) -> Iterator[Stage]:
    """The stages of a turn."""
    user, agents = exchange.user, exchange.agents
    if user is not None:
        yield from _users(user, agents, tree)
    for heard in exchange.heard:
        yield attr.KIND_VAD, heard, heard.start_ns, heard.end_ns, {}
    committed = user.end_ns if user is not None else None
    for agent in agents:
        discarded = _is_discarded(agent, agents, committed, tree)
        for stage in _agents(agent, tree):
            if committed is not None and stage[0] == attr.KIND_LLM and stage[2] < committed - 1_000_000:
                stage[4][attr.LLM_PREEMPTIVE] = True
            if discarded and stage[0] in (attr.KIND_LLM, attr.KIND_TTS):
                stage[4][attr.OUTCOME] = attr.OUTCOME_DISCARDED
            yield stage


def _is_discarded(agent: NativeSpan, agents: Sequence[NativeSpan], committed: int | None, tree: Tree) -> bool:
    """Whether a speech was prepared while the user still spoke, and another one was said in its place."""
    if committed is None or agent.start_ns >= committed - 1_000_000 or "e2e_latency" in agent.fields:
        return False
    return agent is not agents[-1] and not tree.below(agent, "agent_speaking", "function_tool")


def _users(user: NativeSpan, agents: Sequence[NativeSpan], tree: Tree) -> Iterator[Stage]:
    speech = agents[0].fields.get("speech_id") if agents else None
    own: Attributes = {attr.SPEECH_ID: speech} if speech else {}
    heard = tree.below(user, "user_speaking")
    for one in heard:
        yield attr.KIND_VAD, one, one.start_ns, one.end_ns, dict(own)
    delay = nanoseconds(user.fields, "end_of_turn_delay")
    waits = tree.below(user, "eou_wait")
    commit = next((one for one in reversed(waits) if one.text("eou_outcome") == "committed"), None)
    end = commit.end_ns if commit is not None else user.end_ns
    stopped = None if delay is None else end - delay
    if stopped is None and heard:
        stopped = heard[-1].end_ns
    final = _final(user, stopped)
    if final is not None:
        said: Attributes = {attr.STT_TEXT: user.text("user_text"), **own}
        for name in (attr.PROVIDER_NAME, attr.REQUEST_MODEL):
            if name in user.fields:
                said[name] = user.fields[name]
        yield attr.KIND_STT, user, min(user.start_ns, final), final, said
    for one in waits:
        if one is not commit:
            outcome = {attr.OUTCOME: attr.OUTCOME_NOT_COMMITTED, attr.EOU_COMMITTED: False}
            yield attr.KIND_EOU, one, one.start_ns, one.end_ns, outcome
    if stopped is not None:
        yield attr.KIND_EOU, commit or user, stopped, end, _decision(user, commit, tree, end) | own


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
    hooks = tree.below(user, "on_user_turn_completed")
    if hooks:
        hook = hooks[-1]
        found[_HOOK] = (hook.end_ns - hook.start_ns) / 1e9
        if hook.start_ns - end > 1_000_000:
            found[attr.EOU_HELD] = (hook.start_ns - end) / 1e9
    return found


def _agents(agent: NativeSpan, tree: Tree) -> Iterator[Stage]:
    speech: Attributes = {attr.SPEECH_ID: agent.fields["speech_id"]} if "speech_id" in agent.fields else {}
    playouts = tree.below(agent, "agent_speaking")
    first = playouts[0].start_ns if playouts else None
    for one in tree.below(agent, "llm_request"):
        yield from _request(one, tree, speech)
    for one in tree.below(agent, "realtime_inference"):
        yield _response(one, tree, speech, first)
    for one in tree.below(agent, "tts_request"):
        yield _synthesis(one, tree, speech, playouts)
    for one in tree.below(agent, "function_tool"):
        yield attr.KIND_TOOL, one, one.start_ns, one.end_ns, _tool(one) | speech
    for number, one in enumerate(playouts, 1):
        yield attr.KIND_PLAYBACK, one, one.start_ns, one.end_ns, _playout(agent, last=number == len(playouts)) | speech
    if agent.flag("interrupted") and playouts:
        source = agent.text("interruption_source")
        verdict = attr.VERDICT_INTERRUPTION if source in _USERS else attr.VERDICT_UNKNOWN
        found = {attr.INTERRUPTION_VERDICT: verdict, attr.INTERRUPTION_CAUSE: "user" if source in _USERS else source}
        at = playouts[-1].end_ns
        yield attr.KIND_INTERRUPTION, agent, at, at, {name: one for name, one in found.items() if one} | speech


def _playout(agent: NativeSpan, *, last: bool) -> Attributes:
    found: Attributes = {attr.PLAYBACK_INTERRUPTED: last and agent.flag("interrupted")}
    position = agent.number("playout_position")
    if last and position is not None:
        found[attr.PLAYBACK_POSITION] = position
    return found


def _kept(span: NativeSpan) -> Attributes:
    return {name: span.fields[name] for name in _KEPT if name in span.fields}


def _outcome(span: NativeSpan, runs: Sequence[NativeSpan], found: Attributes, cancelled: object) -> None:
    """How a request ended: its last attempt says that it failed, its metrics that it was cancelled."""
    last = runs[-1] if runs else span
    if span.failed or last.failed:
        found[attr.OUTCOME] = attr.OUTCOME_ERROR
        if attr.ERROR_TYPE in last.fields:
            found[attr.ERROR_TYPE] = last.fields[attr.ERROR_TYPE]
    else:
        found[attr.OUTCOME] = attr.OUTCOME_CANCELLED if cancelled else attr.OUTCOME_COMPLETED


def _request(span: NativeSpan, tree: Tree, speech: Attributes) -> Iterator[Stage]:
    runs = tree.runs(span)
    found = _kept(span) | metrics_of(span, "llm_metrics", "llm") | speech
    if not runs and attr.metric("llm", "timestamp") not in found and tree.has_inner(span):
        return  # an adapter's: the requests below it are the ones that were made
    if tree.above(span, "function_tool", "on_user_turn_completed", "agent_turn") is not tree.above(span, "agent_turn"):
        found[attr.LLM_OWN] = True
        found.pop(attr.SPEECH_ID, None)
    found[attr.LLM_ATTEMPTS] = max(1, len(runs))
    _outcome(span, runs, found, found.get(attr.metric("llm", "cancelled")))
    yield attr.KIND_LLM, span, span.start_ns, span.end_ns, found


def _response(span: NativeSpan, tree: Tree, speech: Attributes, first: int | None) -> Stage:
    found = _kept(span) | metrics_of(span, "realtime_metrics", "realtime") | speech
    if attr.metric("realtime", "timestamp") not in found:
        late = tree.late(span)
        if late is not None:
            found |= metrics_of(late, "realtime_metrics", "realtime")
    if first is not None and first >= span.start_ns:
        ttft = nanoseconds(found, attr.metric("realtime", "ttft"))
        if ttft is not None and span.start_ns + ttft <= first:
            found[attr.REALTIME_FIRST_AUDIO] = ttft / 1e9
    _outcome(span, (), found, found.get(attr.metric("realtime", "cancelled")))
    return attr.KIND_REALTIME, span, span.start_ns, span.end_ns, found


def _synthesis(span: NativeSpan, tree: Tree, speech: Attributes, playouts: Sequence[NativeSpan]) -> Stage:
    runs = tree.runs(span)
    found = _kept(span) | metrics_of(span, "tts_metrics", "tts") | speech
    if "tts_text" in span.fields:
        found[attr.TTS_TEXT] = span.fields["tts_text"]
    sent, lasted, ttfb = (nanoseconds(found, attr.metric("tts", name)) for name in ("timestamp", "duration", "ttfb"))
    if sent is not None and lasted is not None and ttfb is not None:
        # the clock of the metrics begins with the first text that reached the provider
        text = max(sent - lasted - span.start_ns, 0)
        if not found.get(attr.metric("tts", "streamed")):
            text = 0
        heard = next((one.start_ns for one in playouts if one.start_ns >= span.start_ns), None)
        if heard is None or span.start_ns + text + ttfb <= heard + _FIRST_BYTE_LATE:
            audio = text + ttfb if heard is None else min(text + ttfb, heard - span.start_ns)
            found[attr.TTS_FIRST_TEXT], found[attr.TTS_FIRST_BYTE] = text / 1e9, audio / 1e9
    found[attr.TTS_ATTEMPTS] = max(1, len(runs))
    _outcome(span, runs, found, found.get(attr.metric("tts", "cancelled")))
    return attr.KIND_TTS, span, span.start_ns, span.end_ns, found


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
    """The stage as a record of the pipeline; a span that gives two stages has its own id on the first only."""
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
