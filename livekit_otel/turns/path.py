"""A critical path while it is followed backwards from its end."""

from __future__ import annotations

from .. import attributes as attr
from ..spans import SpanRecord
from .model import Segment
from .own_work import OwnWork, work_before
from .stages import Stages, held_until, speech_of
from .wait import Wait

__all__ = ["AT_ONCE", "OTHER", "OUTSIDE", "PLAYBACK", "WalkedPath"]

#: nanoseconds; a reply follows the tool whose result it speaks, or the speech before it, within this time
AT_ONCE = 50_000_000
#: the speech of requests that code makes outside of any, before it speaks
OUTSIDE = ""
PLAYBACK, OTHER = attr.SILENCE_STAGES[-2:]


class WalkedPath:
    """The path so far. ``at`` is its current start, ``floor`` the earliest time that a stage may reach back to."""

    def __init__(self, stages: Stages, wait: Wait, stopped_ns: int, playback: SpanRecord) -> None:
        self.segments: list[Segment] = []
        self._stages = stages
        self._wait = wait
        self._playback = playback
        self._stopped = stopped_ns
        self.at = playback.start_ns
        self.floor = stopped_ns
        self._seen: set[str] = set()
        #: the stage that unexplained time before the current step counts for
        self._gap = OTHER
        self._tool_starts = [one.start_ns for one in stages.tool]
        #: by speech; None for all requests
        self.requests: dict[str | None, list[SpanRecord]] = {None: list(stages.llm)}
        for one in stages.llm:
            self.requests.setdefault(speech_of(one) or OUTSIDE, []).append(one)
        self.requests.setdefault(OUTSIDE, []).extend(stages.beside)

    @property
    def reach(self) -> int:
        """The earliest time at which a stage that was waited for may have begun."""
        return self.floor

    def extend(self, stage: str, ns: int) -> None:
        """Assign the time from ``ns`` to the current start to ``stage``."""
        ns = max(ns, self.floor)
        if ns >= self.at:
            return
        if self.segments and self.segments[-1].stage == stage:
            self.segments[-1] = Segment(stage, ns, self.segments[-1].end_ns)
        else:
            self.segments.append(Segment(stage, ns, self.at))
        self.at = ns

    def _worked(self, node: str, speech: str | None, at_ns: int) -> OwnWork | None:
        """The latest own work of a node for a speech that was done by a given time."""
        return work_before(self._stages.work, node, speech, at_ns) if self._stages.nodes else None

    def _held(self, audio_ns: int | None) -> bool:
        """Assign to playback the time in which LiveKit held back a speech whose audio was ready."""
        until = held_until(self._playback)
        if until is None or audio_ns is None or audio_ns >= until:
            return False
        self.extend(PLAYBACK, audio_ns)
        return True

    def _set_floor(self, stage: SpanRecord) -> None:
        """Set the floor: stages of the speech that the commit released cannot have been waited for before that."""
        wait = self._wait
        if wait.eou is None or wait.released_ns is None:
            return
        speech, mine = speech_of(wait.eou), speech_of(stage)
        waits = speech is None or mine is None or mine == speech or bool(stage.attributes.get(attr.LLM_PREEMPTIVE))
        self.floor = min(wait.released_ns, self.at) if waits else self._stopped

    def _behind(self, tool: SpanRecord | None) -> SpanRecord | None:
        """The request of another speech, after a tool, whose end let the current step begin: speeches wait in line."""
        since = min(tool.end_ns, self.at) if tool is not None else self.at
        found = [
            one
            for one in self._stages.llm
            if since < one.end_ns <= self.at < one.end_ns + AT_ONCE and one.span_id not in self._seen
        ]
        return max(found, key=lambda one: (one.end_ns, one.span_id), default=None)

    def _writer(self, speech: str | None) -> int | None:
        """When the ``llm_node`` that wrote the text of a speech itself began."""
        if speech is None or not self._stages.nodes:
            return None
        found = [one.start_ns for one in self._stages.work if one.node == "llm_node" and one.speech == speech]
        return max((ns for ns in found if ns <= self.at), default=None)
