"""The start and the end of the wait for an answer."""

from __future__ import annotations

import msgspec

from .. import attributes as attr
from ..spans import SpanRecord, nanoseconds, text
from .stages import Stages, held_ns, hook_ns, provider_start

__all__ = ["Wait", "asked_ns", "user_started", "wait_of"]


#: maximum number of decisions of a turn that are searched for the answered one; most turns have a single decision
_MAX_DECISIONS = 100


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """From the user's silence to the agent's voice, unix nanoseconds; None if the turn has no such time.

    Attributes:
        stopped_ns: the user stopped speaking (T0).
        commit_ns: the user's turn was committed; None if LiveKit does not decide that (realtime models).
        hook_ns: ``on_user_turn_completed`` began; LiveKit holds it back while an earlier turn is still busy.
        held_by: the stage that it was held back for, ``tool`` or ``hook``.
        released_ns: ``on_user_turn_completed`` ended, and a preemptive generation may be spoken.
        eou: the decision that committed the turn.
        playback: the first playout after the user stopped (the first of all if the user did not speak); starts at T1.
    """

    stopped_ns: int | None = None
    commit_ns: int | None = None
    hook_ns: int | None = None
    held_by: str = "hook"
    released_ns: int | None = None
    eou: SpanRecord | None = None
    playback: SpanRecord | None = None

    @property
    def answered_ns(self) -> int | None:
        return self.playback.start_ns if self.playback is not None else None

    @property
    def e2e_ns(self) -> int | None:
        if self.stopped_ns is None or self.playback is None:
            return None
        return self.playback.start_ns - self.stopped_ns


def wait_of(stages: Stages, *, has_user: bool, opened_ns: int, typed: bool = False) -> Wait:
    """The wait in a turn that opened at ``opened_ns``; with ``typed``, it opened when a text arrived."""
    first = stages.playback[0] if stages.playback else None
    if not has_user:
        return Wait(playback=first)
    if typed:
        return Wait(stopped_ns=opened_ns, playback=first)
    for eou in reversed(stages.eou[-_MAX_DECISIONS:]):
        wait = _committed(stages, eou)
        if wait.playback is not None:
            return wait
    if stages.eou:
        return _committed(stages, stages.eou[-1])
    # no recorded decision: a realtime model's own, or an answer after a transcript that never came. Speech before the
    # turn does not count: the turn began with a typed message.
    limit = first.start_ns if first is not None else None
    stopped = [one.end_ns for one in stages.vad if one.start_ns >= opened_ns and (limit is None or one.end_ns <= limit)]
    return Wait(stopped_ns=max(stopped, default=None), playback=first)


def _committed(stages: Stages, eou: SpanRecord) -> Wait:
    stopped = _stopped(stages, eou)
    commit = eou.end_ns if stopped is None else max(eou.end_ns, stopped)
    since = commit if stopped is None else stopped
    playback = next((one for one in stages.playback if one.start_ns >= since), None)
    hook = commit + (held_ns(eou) or 0)
    return Wait(
        stopped_ns=stopped,
        commit_ns=commit,
        hook_ns=hook,
        held_by=text(eou.attributes, attr.EOU_HELD_BY) or "hook",
        released_ns=hook + (hook_ns(eou) or 0),
        eou=eou,
        playback=playback,
    )


def _stopped(stages: Stages, eou: SpanRecord) -> int | None:
    source = text(eou.attributes, attr.EOU_SOURCE)
    if source:
        return None if source == "unknown" else eou.start_ns
    if eou.end_ns > eou.start_ns:
        return eou.start_ns
    # LiveKit did not know when the user stopped; VAD may know
    commit = eou.end_ns
    if any(one.start_ns <= commit < one.end_ns for one in stages.vad):
        return commit
    return max((one.end_ns for one in stages.vad if one.end_ns <= commit), default=commit)


def asked_ns(tts: SpanRecord) -> int:
    """Since when a synthesis is waited for: its text is there. Where nobody knows, its start."""
    begin = provider_start(tts)
    return tts.start_ns if begin is None else begin


def user_started(stages: Stages, wait: Wait) -> int | None:
    """When the user began to speak, according to VAD, or without VAD to the recognizer."""
    if wait.stopped_ns is None:
        return None
    if not stages.vad:
        spoken = nanoseconds(wait.eou.attributes, attr.EOU_SPEECH_DURATION) if wait.eou is not None else None
        return None if spoken is None else wait.stopped_ns - spoken
    return min((one.start_ns for one in stages.vad if one.start_ns <= wait.stopped_ns), default=None)
