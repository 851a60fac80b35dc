"""A critical path while it is followed from its end backwards."""

from __future__ import annotations

from .. import attributes as attr
from ..spans import SpanRecord
from .model import Segment
from .stages import Stages, held_until, speech_of
from .wait import Wait

__all__ = ["OTHER", "OUTSIDE", "PLAYBACK", "WalkedPath"]

#: the speech of requests that code makes outside of any, before it speaks
OUTSIDE = ""
PLAYBACK, OTHER = attr.SILENCE_STAGES[-2:]


class WalkedPath:
    """The path so far. ``at`` is where it begins, ``floor`` how far back a stage may reach."""

    def __init__(self, stages: Stages, wait: Wait, stopped_ns: int, playback: SpanRecord) -> None:
        self.segments: list[Segment] = []
        self._stages = stages
        self._wait = wait
        self._playback = playback
        self._stopped = stopped_ns
        self.at = playback.start_ns
        self.floor = stopped_ns
        self._seen: set[str] = set()
        #: what the time belongs to that lies before the step at hand and in no other
        self._gap = OTHER
        self._tool_starts = [one.start_ns for one in stages.tool]
        #: by speech, None for all of them
        self.requests: dict[str | None, list[SpanRecord]] = {None: list(stages.llm)}
        for one in stages.llm:
            self.requests.setdefault(speech_of(one) or OUTSIDE, []).append(one)
        self.requests.setdefault(OUTSIDE, []).extend(stages.beside)

    @property
    def reach(self) -> int:
        """How far back what was waited for may have begun."""
        return self.floor

    def extend(self, stage: str, ns: int) -> None:
        """Everything between ``ns`` and here was spent on ``stage``."""
        ns = max(ns, self.floor)
        if ns >= self.at:
            return
        if self.segments and self.segments[-1].stage == stage:
            self.segments[-1] = Segment(stage, ns, self.segments[-1].end_ns)
        else:
            self.segments.append(Segment(stage, ns, self.at))
        self.at = ns

    def _held(self, audio_ns: int | None) -> bool:
        """What LiveKit held back although its audio was there waited to be played."""
        until = held_until(self._playback)
        if until is None or audio_ns is None or audio_ns >= until:
            return False
        self.extend(PLAYBACK, audio_ns)
        return True

    def _set_floor(self, stage: SpanRecord) -> None:
        """Stages of the speech that the commit released cannot have been waited for before that."""
        wait = self._wait
        if wait.eou is None or wait.released_ns is None:
            return
        speech, mine = speech_of(wait.eou), speech_of(stage)
        waits = speech is None or mine is None or mine == speech or bool(stage.attributes.get(attr.LLM_PREEMPTIVE))
        self.floor = min(wait.released_ns, self.at) if waits else self._stopped

    def _writer(self, speech: str | None) -> int | None:
        """When the ``llm_node`` began that wrote the text of a speech itself."""
        if speech is None:
            return None
        found = [one.start_ns for one in self._stages.work if one.node == "llm_node" and one.speech == speech]
        return max((ns for ns in found if ns <= self.at), default=None)
