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


def _unheard_by_vad(plan: Plan, log: Log) -> bool:
    """VAD's stream ends with its agent while the user speaks, and the next one does not hear that they do."""
    heard = {sound.of for sound in log.sounds}
    return plan.mode == "vad" and any(
        says.at <= enter.start + VAD_SILENCE and enter.start < says.at + says.length and number not in heard
        for number, says in enumerate(plan.says)
        for enter in log.enters
    )


def _noise_before_words(plan: Plan, log: Log) -> bool:
    """A noise ends shortly before the user speaks twice in a row: the first interim transcript may be of the noise."""
    return plan.mode == "vad" and any(
        noise.of is None
        and first.of is not None
        and second.of is not None
        and noise.end < first.start < noise.end + 1.5
        and second.start < first.end + plan.says[first.of].final_after
        for noise, first, second in zip(log.sounds, log.sounds[1:], log.sounds[2:], strict=False)
    )


def _closed_in_a_sound(plan: Plan, log: Log) -> bool:
    """VAD's stream ends with the session, before VAD has heard the end of a sound: it is known to a window."""
    closed = log.closed or 0.0
    return plan.mode == "vad" and any(sound.start < closed < sound.end for sound in log.sounds)


_KNOWN: dict[str, Callable[[Plan, Log], bool]] = {
    "a server's words that come when another agent has a session of its own": _words_for_nobody,
    "an agent that hands over before VAD has said that the user stopped": _handover_after_words,
    "words that VAD does not hear, because its agent hands over in them": _unheard_by_vad,
    "a sound that VAD still hears when the session is closed": _closed_in_a_sound,
    "a noise shortly before words and more words": _noise_before_words,
}
