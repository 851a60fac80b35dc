"""The waits of a composed call, by the definitions of docs/latency.md, from what its stand-ins logged. A second model,
which shares no code with the package's.

Which words were committed is what the agent's own hook was called with, or what the server heard. Words that LiveKit
commits while the session closes reach no hook: only those are taken from its chat history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .plan import Log, Plan, Voice, Work
from .provisional import EXACT, end_of, made_by, provisional
from .who_spoke import Words, committed

#: a shorter silence is none
SHORTEST = 0.001
#: what replies say, by a word of code or a request of theirs
_OF_USER = "apfgthre"

Stretch = tuple[float, float]


@dataclass
class Turn:
    """What one turn's user waited: seconds; gaps as moments of the call. ``speeches`` are the user's, by number."""

    speeches: tuple[int, ...]
    stopped: float | None
    e2e: float | None
    answer: float | None
    gaps: list[Stretch]
    voices: list[Voice]
    #: the user had only paused, and was taken for done; None where the log does not say when the turn was decided
    false_cutoff: bool | None = None
    #: LiveKit committed the words while the session closed: there may be no turn of them
    at_close: bool = False

    @property
    def dead_air(self) -> float | None:
        if self.e2e is None and not self.gaps and not self.voices:
            return None
        return sum(end - start for start, end in self.gaps)

    @property
    def wait(self) -> float | None:
        if self.e2e is None and not self.gaps:
            return None
        return (self.e2e or 0.0) + (self.dead_air or 0.0)


def turns(
    plan: Plan,
    log: Log,
    history: Iterable[tuple[int, ...]],
    found: Iterable[tuple[int, ...]],
    joined: Mapping[str, tuple[int, ...]],
) -> list[Turn]:
    """The turns of the user, in the order of their words.

    Args:
        history: the user's messages in LiveKit's chat history.
        found: the user's speeches by the turns of the report: only for words that LiveKit drops without a trace.
        joined: labels of the agent's words, and whose turn they belong to. No definition says whose words are that code
            says by itself, outside of tools and hooks, while a turn is open, or what is asked for in the instant in
            which a turn is over: that is taken as it is found.
    """
    heard = committed(plan, log, history, found)
    pairs = ((one, next((after for after in heard if after.begun > one.sounds[-1].start), None)) for one in heard)
    return [_turn(plan, log, one, after, joined) for one, after in pairs]


def proactive(log: Log, labels: Iterable[str]) -> Turn:
    """A turn in which nobody asked: the silences between its playouts."""
    voices = [one for one in log.voices if one.label in set(labels)]
    gaps = _silences(log, (voices[0].start, voices[-1].start)) if voices else []
    return Turn((), None, None, None, gaps, voices)


def _turn(plan: Plan, log: Log, own: Words, after: Words | None, joined: Mapping[str, tuple[int, ...]]) -> Turn:
    said, stopped = own.said, own.sounds[-1].end
    at_close = own.at == log.closed
    if at_close and stopped > own.at:
        # the session is closed while the user speaks
        return Turn(said, None, None, None, [], [], at_close=True)
    tools = [one for one in log.tools if one.of in said]
    # while a close waits for a tool, the user may still be answered
    ends = [at for at in (after.begun if after else None, log.closed) if at is not None and at > own.begun]
    cut = min(ends, default=float("inf"))
    over = min(_decided(plan, after) if after else float("inf"), cut if cut == log.closed else float("inf"))
    voices = [one for one in log.voices if _is_voice(log, one, said, over if tools else float("inf"), joined)]
    early = [provisional(plan, log, voices, number, tools, cut) for number in range(len(voices))]
    first = voices[0].start if voices else None
    answer = next((voice.start for voice, is_early in zip(voices, early, strict=True) if not is_early), None)
    until = voices[-1].start if voices and not early[-1] else _owed_until(plan, log, said, cut)
    return Turn(
        said,
        stopped,
        None if first is None else first - stopped,
        None if answer is None else answer - stopped,
        _silences(log, (stopped if first is None else first, until)),
        voices,
        _is_cutoff(plan, log, own, after, first),
        at_close=at_close and not voices,
    )


def _is_voice(
    log: Log, voice: Voice, said: tuple[int, ...], over: float, joined: Mapping[str, tuple[int, ...]]
) -> bool:
    """Whether a playout is of the turn of these words, which nothing belongs to that is asked for when it is over."""
    if voice.label[0] not in _OF_USER:
        return joined.get(voice.label) == said
    asked = _asked(log, voice)
    if abs(asked - over) <= EXACT:
        # LiveKit does both in one instant, in either order
        return joined.get(voice.label) == said
    return int(voice.label[1:]) in said and asked < over


def _is_cutoff(plan: Plan, log: Log, own: Words, after: Words | None, first: float | None) -> bool | None:
    """The next words begin at most 1.0 s after the commit, and at most 0.5 s after the first audio."""
    others = [one for one in (*log.hooks, *log.tools) if one.of not in own.said and one.start < own.at]
    if plan.mode == "server" or any(abs(end_of(one) - own.at) <= EXACT for one in others):
        return None  # nobody commits, or the hook was held back
    if after is None or not own.at - EXACT <= after.begun <= own.at + 1.0 + EXACT:
        return False
    return first is None or after.begun <= first + 0.5 + EXACT


def _commit(plan: Plan, log: Log, own: Words) -> float | None:
    """When words were committed, as far as the log says it: at their hook, unless an earlier turn held that back."""
    decided = _decided(plan, own)
    if plan.mode == "server" or own.at <= own.sounds[-1].end + EXACT:
        return None  # nobody commits, or LiveKit drops the words without a trace
    held = any(one.of not in own.said and one.start < decided < end_of(one) for one in (*log.hooks, *log.tools))
    if held and own.at > decided + EXACT:
        return decided if plan.mode == "vad" else None
    return own.at if own.at <= decided + 0.5 else None


def _owed_until(plan: Plan, log: Log, said: tuple[int, ...], cut: float) -> float:
    """Until when an answer that was never heard is owed; not at all where nothing ends that."""
    failures = [_failed(plan, log, one) for one in log.failures if one.of in said]
    until = min([cut, *failures[-1:]])
    return until if until < float("inf") else 0.0


def _asked(log: Log, voice: Voice) -> float:
    """When words were asked for that may come of a tool which outlived its turn: then they are a turn of their own.

    They are where the user's next words were committed before (until then nobody knows that the turn is over), or the
    close was called.
    """
    if voice.label[0] not in "ftgre":
        return 0.0
    own = [one for one in log.asked if one.label == voice.label]
    made = own[-1] if own else made_by(log, voice)
    return voice.start if made is None else made.start


def _decided(plan: Plan, after: Words) -> float:
    """When words can be committed: a hook comes later where LiveKit holds it back for a tool of the turn before."""
    sound = after.sounds[-1]
    assert sound.of is not None
    # a recognizer that ends turns says so with the words
    words = 0.0 if plan.mode == "stt" else plan.says[sound.of].final_after
    return min(after.at, sound.end + max(words, 0.3 if plan.mode != "server" else 0.0))


def _failed(plan: Plan, log: Log, failure: Work) -> float:
    """When a failure ended the reply: one that was made ahead ends with the hook that it is kept back for, or with the
    handover in which LiveKit drops the words before their hook."""
    hooks = [end_of(one) for one in log.hooks if one.of == failure.of]
    if plan.preemptive and not hooks:
        hooks = [one.start for one in log.enters if one.start >= failure.start][:1]
    return max([failure.start, *hooks])


def _silences(log: Log, owed: Stretch) -> list[Stretch]:
    taken = [(one.start, one.end) for one in log.sounds]
    for voice in log.voices:
        at = voice.start
        end = end_of(voice)
        for pause in voice.pauses:
            taken.append((at, pause[0]))
            at = pause[1] if len(pause) > 1 else end
        taken.append((at, end))
    found, at = [], owed[0]
    for start, end in sorted(one for one in taken if one[0] < one[1]):
        if start > owed[1]:
            break
        if start - at >= SHORTEST:
            found.append((at, start))
        at = max(at, end)
    if owed[1] - at >= SHORTEST:
        found.append((at, owed[1]))
    return found
