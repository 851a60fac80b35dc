"""LiveKit's latency names, computed from stage spans."""

from __future__ import annotations

from collections.abc import Mapping

from .. import attributes as attr
from ..spans import SpanRecord, number, seconds
from .gaps import WholeWait
from .model import TurnLatency
from .own_work import first_output, node_of, writer_of
from .stages import Stages, avatar_ns, first_audio, first_token, held_until, hook_ns, provider_start, speech_of
from .wait import Wait, user_started

__all__ = ["TOLERANCE", "Spoken", "latency_of", "notes_of", "spoken_of"]

#: seconds by which a reported value may differ from a derived one before it is noted
TOLERANCE = 0.005
#: in how many playouts of one turn a request is looked for: code may say a few fillers before an answer
_MAX_PLAYOUTS = 100
_MOMENTS = ("started_speaking_at", "stopped_speaking_at")
_COMPLETION = attr.metric("llm", "completion_tokens")


class Spoken:
    """What the agent's first words of a turn came from. ``request`` is an LLM's or a realtime model's."""

    __slots__ = ("playback", "request", "tts")

    def __init__(self, playback: SpanRecord | None, tts: SpanRecord | None, request: SpanRecord | None) -> None:
        self.playback = playback
        self.tts = tts
        self.request = request


def spoken_of(stages: Stages, wait: Wait) -> Spoken:
    """The first playout, its synthesis, and the request whose text was the first to be spoken (or written).

    A filler that code says before the answer has a synthesis and no request; the request is then the answer's.
    """
    tts = stages.synthesis(wait.playback) if wait.playback is not None else None
    request = None
    for playback in stages.playback[:_MAX_PLAYOUTS]:
        if wait.playback is None or playback.start_ns < wait.playback.start_ns:
            continue
        synthesis = tts if playback is wait.playback else stages.synthesis(playback)
        before = synthesis.start_ns if synthesis is not None else playback.start_ns
        if synthesis is not None:
            before = provider_start(synthesis) or before
        request = stages.text_source(speech_of(playback), before)
        if request is not None:
            break
    if request is None:
        answers = [one for one in stages.llm if first_token(one) is not None]
        spoken = [one for one in answers if "tool_call" not in _finish_reasons(one)]
        request = next(iter(spoken or answers), None)
    return Spoken(wait.playback, tts, request)


def latency_of(stages: Stages, wait: Wait, spoken: Spoken, whole: WholeWait) -> TurnLatency:
    """All latencies of one turn."""
    found: dict[str, int | None] = {
        "started_speaking_at": user_started(stages, wait),
        "stopped_speaking_at": wait.stopped_ns,
        "e2e_latency": wait.e2e_ns,
        "playback_latency": _playback(stages, wait, spoken),
        "dead_air": _dead_air(wait, whole),
    }
    if wait.stopped_ns is not None and whole.answer is not None:
        found["answer_latency"] = whole.answer.start_ns - wait.stopped_ns
    if wait.e2e_ns is not None or whole.gaps:
        found["wait"] = (wait.e2e_ns or 0) + (found["dead_air"] or 0)
    if wait.eou is not None:
        found["on_user_turn_completed_delay"] = hook_ns(wait.eou)
        if wait.stopped_ns is not None and wait.commit_ns is not None:
            transcript = stages.transcript_ns(wait.commit_ns)
            found["end_of_turn_delay"] = wait.commit_ns - wait.stopped_ns
            found["transcription_delay"] = None if transcript is None else max(0, transcript - wait.stopped_ns)
    tts = spoken.tts
    failed = stages.failed_before(tts) if tts is not None else None
    started = provider_start(tts) if tts is not None else None
    if failed is not None:
        started = failed.start_ns
    if tts is not None:
        audio = first_audio(tts)
        begin = started if started is not None else tts.start_ns
        found["tts_node_ttfb"] = None if audio is None else _handed_on(stages, tts, audio) - begin
    tps = _of_text(stages, spoken, started, found)
    numbers = {name: seconds(ns) for name, ns in found.items() if ns is not None}
    return TurnLatency(**numbers, llm_node_tps=tps)


def _of_text(stages: Stages, spoken: Spoken, started: int | None, found: dict[str, int | None]) -> float | None:
    """Add the times of the text to those found; ``started``: when it reached the TTS. Returns tokens per second."""
    request, tts, playback = spoken.request, spoken.tts, spoken.playback
    if request is not None and request.kind != attr.KIND_LLM:
        return None
    token = tps = None
    if request is not None:
        token, begun = first_token(request), stages.attempts_start(request)
        node = node_of(stages.nodes, "llm_node", speech_of(request), request.start_ns)
        tokens = number(request.attributes, _COMPLETION)
        if token is not None and tokens and request.end_ns > token:
            tps = tokens / seconds(request.end_ns - token)
    else:
        node = writer_of(stages.nodes, speech_of(playback), playback.start_ns) if playback is not None else None
    if node is not None:
        # LiveKit measures the node, with what it does itself
        token, begun = first_output(node), node.start_ns
    elif request is None:
        return None
    found["llm_node_ttft"] = None if token is None else token - begun
    if started is not None and started >= begun and tts is not None and _same_speech(tts, request or tts):
        found["llm_node_ttfs"] = started - begun
    return tps


def _dead_air(wait: Wait, whole: WholeWait) -> int | None:
    """None where the agent owed nothing: it was not asked, and said nothing."""
    if wait.playback is None and not whole.gaps:
        return None
    return sum(one.end_ns - one.start_ns for one in whole.gaps)


def _handed_on(stages: Stages, tts: SpanRecord, audio_ns: int) -> int:
    """When the audio that a synthesis gave left the ``tts_node`` that it ran in."""
    node = node_of(stages.nodes, "tts_node", speech_of(tts), tts.start_ns)
    output = first_output(node) if node is not None else None
    return audio_ns if output is None else max(output, audio_ns)


def _playback(stages: Stages, wait: Wait, spoken: Spoken) -> int | None:
    """From the first audio that may be played to the playout."""
    playback, tts, request = spoken.playback, spoken.tts, spoken.request
    if playback is None:
        return None
    if tts is None:
        node = writer_of(stages.nodes, speech_of(playback), playback.start_ns, "tts_node")
        own = first_output(node) if node is not None else None
        return avatar_ns(playback) if own is None else max(0, playback.start_ns - max(own, held_until(playback) or own))
    audio = first_audio(tts)
    if audio is None:
        return None
    audio = _handed_on(stages, tts, audio)
    released = wait.released_ns
    if released is not None and request is not None and request.start_ns < released:
        audio = max(audio, released)
    return max(0, playback.start_ns - max(audio, held_until(playback) or audio))


def notes_of(latency: TurnLatency, reported: Mapping[str, float]) -> tuple[str, ...]:
    """One line for each reported time that differs from the derived one."""
    notes = []
    for name in attr.REPORTED_METRICS:
        theirs, ours = reported.get(name), getattr(latency, name)
        if theirs is None or ours is None or name == "llm_node_tps":
            continue
        if abs(theirs - ours) > TOLERANCE:
            if name in _MOMENTS:
                notes.append(f"{name}: LiveKit reported {theirs - ours:+.3f} s from what the spans say")
            else:
                notes.append(f"{name}: LiveKit reported {theirs:.3f} s, the spans say {ours:.3f} s")
    return tuple(notes)


def _same_speech(one: SpanRecord, other: SpanRecord) -> bool:
    mine, theirs = speech_of(one), speech_of(other)
    return mine is None or theirs is None or mine == theirs


def _finish_reasons(request: SpanRecord) -> str:
    return str(request.attributes.get(attr.RESPONSE_FINISH_REASONS, ""))
