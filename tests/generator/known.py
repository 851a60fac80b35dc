"""Calls whose waits are known to differ from what the devices know: each kind has a test in ``test_generated_calls.py``
that is expected to fail. Waits and turns of these calls may differ; reports, sums and live numbers may not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from .plan import Log, Plan


def known(plan: Plan, log: Log) -> str | None:
    """The name of the first known difference that a call can run into; None where its waits must be exact."""
    return next((name for name, applies in _KNOWN.items() if applies(plan, log)), None)


def _reply_after_next_words(plan: Plan, log: Log) -> bool:
    """A tool's reply is heard when the user has begun to speak again."""
    return plan.mode == "server" and any(
        voice.label[0] in "rge" and any(sound.of is not None and sound.of > int(voice.label[1:]) for sound in before)
        for voice in log.voices
        if (before := [one for one in log.sounds if one.start < voice.start])
    )


def _silent_end_in_words(plan: Plan, log: Log) -> bool:
    """Nobody knows yet that the words will be committed when the turn is over."""
    silent = [one for one in log.tools if plan.says[one.of].tool.result != "text"]  # type: ignore[union-attr]
    return any(
        sound.of is not None and sound.of > tool.of and tool.start < sound.start < (tool.end or sound.start)
        for tool in silent
        for sound in log.sounds
    )


def _begins_in_silence(plan: Plan, log: Log) -> bool:
    """The user is heard in a silence of the agent before its last words."""
    starts = [(one.start, one.label) for one in log.voices]
    return plan.mode == "stt" and any(
        sound.start < at and (label[0] in "sw" or sound.of is None or int(label[1:]) < sound.of)
        for at, label in starts
        for sound in log.sounds
    )


def _over_next_words(plan: Plan, log: Log) -> bool:
    """The next agent has not left ``on_enter``, or not begun it, when the user begins to speak again."""
    return any(
        sound.of is not None and sound.of > enter.of and sound.start < (enter.end or sound.start + 1)
        for enter in log.enters
        for sound in log.sounds
    )


def _words_for_nobody(plan: Plan, log: Log) -> bool:
    """The server's session is another one when the words would have come."""
    return plan.mode == "server" and any(
        sound.of is not None and sound.of > enter.of and sound.start < (enter.end or sound.start) + 1.0
        for enter in log.enters
        for sound in log.sounds
    )


def _two_updates(plan: Plan, log: Log) -> bool:
    """A tool that reports progress runs when the user has asked for another one that does."""
    updating = [one for one in log.tools if plan.says[one.of].tool.update]  # type: ignore[union-attr]
    return any(
        sound.of == second.of and first.start < sound.start < (first.end or sound.start)
        for first, second in pairwise(updating)
        for sound in log.sounds
    )


def _words_after_a_voice(plan: Plan, log: Log) -> bool:
    """The agent begins to speak when the user has spoken, and the recognizer has not said what."""
    return plan.mode == "vad" and any(
        sound.of is not None and sound.start < voice.start < sound.end + plan.says[sound.of].final_after
        for sound in log.sounds
        for voice in log.voices
    )


def _words_after_a_sound(plan: Plan, log: Log) -> bool:
    """The user, or a noise, is heard before the recognizer has said what the user said before."""
    begins = [one.at for one in plan.says] + [one.at for one in plan.noises]
    return plan.mode == "vad" and any(
        says.at + says.length < at < says.at + says.length + says.final_after for says in plan.says for at in begins
    )


def _words_after_a_clear(plan: Plan, log: Log) -> bool:
    return any(
        says.at < act.at < says.at + says.length + says.final_after + 0.1
        for says in plan.says
        for act in plan.acts
        if act.what == "clear"
    )


def _node_at_close(plan: Plan, log: Log) -> bool:
    """An own ``llm_node`` works when the session is closed: no stage of the turn says so."""
    closed, takes = log.closed or 0.0, plan.llm_node_seconds + plan.model_seconds
    works = (*log.hooks, *log.requests, *log.tools)
    return plan.llm_node != "" and any(one.start <= closed < one.start + takes for one in works)


def _made_ahead_for_nothing(plan: Plan, log: Log) -> bool:
    return plan.preemptive and any(says.hook in ("fails", "stops") for says in plan.says)


_KNOWN: dict[str, Callable[[Plan, Log], bool]] = {
    "a server's reply to a tool that outlived its turn": _reply_after_next_words,
    "a server's words that come when another agent has a session of its own": _words_for_nobody,
    "speech that a recognizer alone hears in a silence": _begins_in_silence,
    "words that come when the user has begun to speak again": _words_after_a_sound,
    "words that come when the agent has begun to speak": _words_after_a_voice,
    "words that come after the user's turn was cleared": _words_after_a_clear,
    "a silent tool that ends when the user has begun to speak again": _silent_end_in_words,
    "an on_enter that the user speaks into": _over_next_words,
    "a second report of progress, where the user spoke into the first tool": _two_updates,
    "an llm_node that works when the session is closed": _node_at_close,
    "a hook that ends a reply which is made ahead": _made_ahead_for_nothing,
}
