"""Events in a turn that the length of a wait does not show: failures, cutoffs, interruptions, each with its time."""

from __future__ import annotations

from collections.abc import Iterable

from .. import attributes as attr
from ..spans import SpanRecord, flag
from .around import Around
from .model import Incident
from .wait import Wait

__all__ = ["incidents_of"]

#: kind of a stage -> name of the wait for it
_STAGES = {
    attr.KIND_STT: "transcription",
    attr.KIND_EOU: attr.SILENCE_EOU,
    attr.KIND_LLM: "llm",
    attr.KIND_REALTIME: "llm",
    attr.KIND_TTS: "tts",
}
#: kinds of stages that contribute to an answer
_ANSWERS = frozenset({attr.KIND_LLM, attr.KIND_REALTIME, attr.KIND_TTS, attr.KIND_TOOL})


def incidents_of(stages: Iterable[SpanRecord], wait: Wait, around: Around, *, cutoff: bool) -> dict[str, Incident]:
    """The incidents of a turn, by the name of the flag that each can lead to.

    Args:
        stages: the turn's stage spans, in any order.
        wait: its first wait.
        around: the time around the turn.
        cutoff: whether the turn was a false cutoff.
    """
    found: dict[str, Incident] = {}
    failures: list[SpanRecord] = []
    stops: list[int] = []
    asked = False
    for one in stages:
        kind, outcome = one.kind, one.attributes.get(attr.OUTCOME)
        asked = asked or (kind in _ANSWERS and outcome != attr.OUTCOME_DISCARDED)
        if outcome == attr.OUTCOME_ERROR and kind in _STAGES:
            failures.append(one)
        elif kind == attr.KIND_INTERRUPTION:
            if one.attributes.get(attr.INTERRUPTION_VERDICT) == attr.VERDICT_INTERRUPTION:
                stops.append(one.end_ns)
        elif kind == attr.KIND_PLAYBACK and flag(one.attributes, attr.PLAYBACK_INTERRUPTED):
            stops.append(one.end_ns)
    if failures:
        last = max(failures, key=lambda one: (one.end_ns, one.start_ns, one.span_id))
        found[attr.FLAG_FAILED] = Incident(value=float(len(failures)), stage=_STAGES[last.kind], at=last.end_ns / 1e9)
    elif wait.eou is not None and not asked:
        # no request followed the commit, so in a failed turn it was the user's hook that failed
        begin = None if wait.hook_ns is None else wait.hook_ns / 1e9
        found[attr.FLAG_FAILED] = Incident(value=1.0, stage=attr.SILENCE_HOOK, at=begin)
    if cutoff and around.until_ns is not None and wait.commit_ns is not None:
        passed = max(0, around.until_ns - wait.commit_ns) / 1e9
        found[attr.FLAG_FALSE_CUTOFF] = Incident(value=passed, at=wait.commit_ns / 1e9)
    if stops:
        found[attr.FLAG_INTERRUPTED] = Incident(at=min(stops) / 1e9)
    return found
