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


def _node_at_close(plan: Plan, log: Log) -> bool:
    """An own ``llm_node`` works when the session is closed: no stage of the turn says so."""
    closed, takes = log.closed or 0.0, plan.llm_node_seconds + plan.model_seconds
    works = (*log.hooks, *log.requests, *log.tools)
    return plan.llm_node != "" and any(one.start <= closed < one.start + takes for one in works)


_KNOWN: dict[str, Callable[[Plan, Log], bool]] = {
    "a server's reply to a tool that outlived its turn": _reply_after_next_words,
    "a server's words that come when another agent has a session of its own": _words_for_nobody,
    "a silent tool that ends when the user has begun to speak again": _silent_end_in_words,
    "an on_enter that the user speaks into": _over_next_words,
    "a second report of progress, where the user spoke into the first tool": _two_updates,
    "an llm_node that works when the session is closed": _node_at_close,
}
