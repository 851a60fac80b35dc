"""Calls whose waits are known to differ from what the devices know: each kind has a test in ``test_generated_calls.py``
that is expected to fail. Waits and turns of these calls may differ; reports, sums and live numbers may not."""

from __future__ import annotations

from collections.abc import Callable

from tests.kit.voice import VAD_SILENCE

from .plan import Log, Plan


def known(plan: Plan, log: Log) -> str | None:
    """The name of the first known difference that a call can run into; None where its waits must be exact."""
    return next((name for name, applies in _KNOWN.items() if applies(plan, log)), None)


def _words_for_nobody(plan: Plan, log: Log) -> bool:
    """The user speaks before an agent has handed over, and the words come when it does, or never, or their own tool is
    over when it has: LiveKit drops what the server answers, and what a tool reports late."""
    return plan.mode == "server" and any(
        sound.of is not None
        and sound.of > tool.of
        and sound.start < enter.start
        and (
            (tool.end or 0.0) < sound.end + plan.says[sound.of].final_after
            or any(own.of == sound.of and own.start < enter.start <= (own.end or enter.start) for own in log.tools)
        )
        for enter in log.enters
        for tool in log.tools
        if tool.of == enter.of
        for sound in log.sounds
    )


def _handover_after_words(plan: Plan, log: Log) -> bool:
    """VAD's stream ends with its agent, before VAD has said that the user stopped: the end is known to a window."""
    return plan.mode == "vad" and any(
        sound.of is not None and sound.of > enter.of and sound.end <= enter.start <= sound.end + VAD_SILENCE
        for enter in log.enters
        for sound in log.sounds
    )


_KNOWN: dict[str, Callable[[Plan, Log], bool]] = {
    "a server's words that come when another agent has a session of its own": _words_for_nobody,
    "an agent that hands over before VAD has said that the user stopped": _handover_after_words,
}
