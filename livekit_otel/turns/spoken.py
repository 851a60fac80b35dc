"""Finds provisional playouts of a turn: preambles, fillers and progress reports, as opposed to the answer."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence

from .. import attributes as attr
from ..spans import SpanRecord, flag, nanoseconds
from .stages import Stages, speech_of

__all__ = ["provisional"]

#: maximum number of tools checked for one playout that they ran beside
_MAX_BESIDE = 100


def provisional(stages: Stages, playbacks: Sequence[SpanRecord], cut_ns: int | None) -> list[bool]:
    """For each playout of a turn, by start, whether it is provisional.

    A playout is provisional if its step called a tool, or a tool ran during it, and then either a later playout comes
    from work that began after that tool ended, or the turn was cut off at ``cut_ns`` before the tool ended.
    """
    if not stages.tool or not playbacks:
        return [False] * len(playbacks)
    requests = _Requests(stages.llm)
    tools = _Tools(stages.tool, requests)
    last = playbacks[-1]
    if cut_ns is not None and flag(last.attributes, attr.PLAYBACK_INTERRUPTED):
        cut_ns = min(cut_ns, last.end_ns)  # a turn that is cut off ends with its own last speech
    latest: int | None = None
    found = []
    for playback in reversed(playbacks):
        made_by = requests.latest(speech_of(playback), playback.start_ns)
        followed = latest is not None and tools.ended_by(playback, made_by, latest)
        if cut_ns is not None and not followed:
            # the last speech of a turn that was cut off, failed or closed: the announced result never came
            cut = min(cut_ns, playback.end_ns) if latest is None else cut_ns
            followed = tools.run_beyond(playback, made_by, cut)
        found.append(followed)
        origin = _origin(playback, made_by)
        latest = origin if latest is None else max(latest, origin)
    return found[::-1]


def _origin(playback: SpanRecord, made_by: SpanRecord | None) -> int:
    """When the work for a playout began: its request, else the speech that code requested."""
    if made_by is not None:
        return made_by.start_ns
    age = nanoseconds(playback.attributes, attr.PLAYBACK_SPEECH_AGE)
    return playback.start_ns - (age or 0)


class _Requests:
    """The requests of a turn, by speech and start."""

    def __init__(self, requests: Sequence[SpanRecord]) -> None:
        self._by_speech: defaultdict[str | None, list[SpanRecord]] = defaultdict(list)
        for one in requests:
            self._by_speech[speech_of(one)].append(one)

    def latest(self, speech: str | None, before_ns: int) -> SpanRecord | None:
        """The latest request of a speech up to a given time; requests without a speech if the speech has none."""
        own = self._by_speech.get(speech) or self._by_speech.get(None, [])
        at = bisect_right(own, before_ns, key=lambda one: one.start_ns)
        return own[at - 1] if at else None

    def caller(self, tool: SpanRecord) -> SpanRecord | None:
        """The request that called a tool; a tool that reports progress at once leads to one that did not."""
        before_ns = tool.start_ns - (attr.TOOL_UPDATES in tool.attributes)
        return self.latest(speech_of(tool), before_ns) or self.latest(speech_of(tool), tool.start_ns)


class _Tools:
    """The tools of a turn, by the request that called them and by their end."""

    def __init__(self, tools: Sequence[SpanRecord], requests: _Requests) -> None:
        self._by_end = sorted(tools, key=lambda one: one.end_ns)
        self._called: dict[str, list[SpanRecord]] = {}
        for one in self._by_end:
            caller = requests.caller(one)
            if caller is not None:
                self._called.setdefault(caller.span_id, []).append(one)

    def ended_by(self, playback: SpanRecord, made_by: SpanRecord | None, at_ns: int) -> bool:
        """Whether a tool of this playout's step, or a tool that ran during it, had ended by a given time."""
        called = self._called.get(made_by.span_id) if made_by is not None else None
        if called is not None and called[0].end_ns <= at_ns:
            return True
        first = bisect_right(self._by_end, playback.start_ns, key=lambda one: one.end_ns)
        beside = self._by_end[first : first + _MAX_BESIDE]
        return any(one.start_ns < playback.end_ns and one.end_ns <= at_ns for one in beside)

    def run_beyond(self, playback: SpanRecord, made_by: SpanRecord | None, cut_ns: int) -> bool:
        """Whether a tool of this playout's step, or a tool that ran during it, was still running at a given time."""
        called = self._called.get(made_by.span_id) if made_by is not None else None
        if called is not None and called[-1].end_ns > cut_ns:
            return True
        first = bisect_right(self._by_end, cut_ns, key=lambda one: one.end_ns)
        return min((one.start_ns for one in self._by_end[first:]), default=playback.end_ns) < playback.end_ns
