"""The stages behind the silence: the critical path, followed backwards from the first audio to the end of user speech.

Each interval belongs to the stage that the next step was waiting for::

    playback  <- first audio of the synthesis (or of a realtime model)
    tts       <- first text that reached the provider
    llm       <- its request; includes sentence assembly while the answer streams
    llm again <- the tool whose result it got <- the request that called the tool <- …
    answer    <- on_user_turn_completed <- commit of the turn <- final transcript <- the user's silence

A response of a realtime model begins when its plugin reports it; the model was waited for from the commit or the end of
speech, and from the result of a tool.

A preemptive generation runs during endpointing and then waits. Its part before the commit of the turn (and before the
end of the hook) runs in parallel with that wait, so the silence of that time counts as the wait.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from .. import attributes as attr
from ..spans import SpanRecord
from .intervals import by_end
from .model import Segment
from .own_work import OwnWork, explained, first_output, writer_of
from .path import AT_ONCE, OTHER, OUTSIDE, PLAYBACK, WalkedPath
from .stages import (
    Stages,
    avatar_ns,
    first_audio,
    first_token,
    response_audio,
    speech_of,
)
from .wait import Wait, asked_ns

__all__ = ["CriticalPath", "critical_path"]

#: nanoseconds; an event within this time after another follows it directly
_SAME = 1_000_000
#: nodes whose output LiveKit needs before it plays audio that is already there, the last one first
_BEFORE_PLAYBACK = ("transcription_node", "realtime_audio_output_node")
_TRANSCRIPTION, _EOU, _HOOK, _NODE, _LLM, _TOOL, _TTS = attr.SILENCE_STAGES[:-2]


def critical_path(stages: Stages, wait: Wait) -> tuple[Segment, ...]:
    """Contiguous intervals from ``wait.stopped_ns`` to the start of ``wait.playback``; empty without both."""
    if wait.stopped_ns is None or wait.playback is None:
        return ()
    path = CriticalPath(stages, wait, wait.stopped_ns, wait.playback)
    path.answer()
    path.before_answer()
    segments = tuple(reversed(path.segments))
    return explained(segments, stages.work) if any(one.stage == OTHER for one in segments) else segments


class CriticalPath(WalkedPath):
    """Follows the path backwards, stage by stage."""

    def answer(self) -> None:
        """Follow the path from the voice back to the first request that contributed to it."""
        playback = self._playback
        speech = speech_of(playback)
        self._set_floor(playback)
        source = self._stages.text_source(speech, self.at)
        tts = self._voice(playback, source)
        if tts is not None:
            source = self._synthesis(tts, speech)
        elif (work := self._worked("tts_node", speech, self.at)) is not None:
            source = self._own_voice(work, speech)
        elif source is not None and source.kind == attr.KIND_REALTIME:
            self._kept_back(speech, source.start_ns)
            if not self._held(response_audio(source)):
                self.extend(PLAYBACK, self.at - (avatar_ns(playback) or 0))
        elif source is not None:
            # a tts_node that makes its own audio, in a trace without its times
            self.extend(OTHER, first_token(source) or source.start_ns)
        self._back_from(source if source is not None else self._wait_for(None, speech))

    def _back_from(self, request: SpanRecord | None) -> None:
        """Follow the path from a request back to the first request that led to it."""
        while request is not None:
            self._set_floor(request)
            self._seen.add(request.span_id)
            self.extend(_LLM, request.start_ns)
            # a response begins when its plugin reports it: the model was already waited for before that
            self._gap = _LLM if request.kind == attr.KIND_REALTIME else OTHER
            request = self._wait_for(request, speech_of(request))

    def _voice(self, playback: SpanRecord, source: SpanRecord | None) -> SpanRecord | None:
        """The synthesis that a playout began with."""
        return self._stages.synthesis(playback)

    def _synthesis(self, tts: SpanRecord, speech: str | None) -> SpanRecord | None:
        """Follow a synthesis back to the request whose text it spoke."""
        self._set_floor(tts)
        audio = first_audio(tts)
        if audio is not None:
            self._kept_back(speech, audio)
            kept = self._worked("tts_node", speech, self.at)
            if kept is not None and kept.start_ns >= audio:
                # the node had the audio, but held it back
                self.extend(PLAYBACK, kept.end_ns)
                self.extend(_NODE, audio)
            self.extend(PLAYBACK, audio)
        failed = self._stages.failed_before(tts)
        self.extend(_TTS, asked_ns(tts if failed is None else failed))
        start = min(tts.start_ns, failed.start_ns) if failed is not None else tts.start_ns
        source = self._stages.text_source(speech, self.at)
        writes = self._writer(speech) if source is None else None
        if source is None and writes is None:
            self.extend(_TTS, start)
        elif source is not None and source.end_ns < self.at:
            # all text was available: the remaining time is the provider's, or unexplained
            self.extend(_TTS, max(source.end_ns, start))
        self._before_synthesis(tts, speech)
        if source is not None:
            self.extend(OTHER, source.end_ns)
        elif writes is not None:
            self.extend(_NODE, writes)
        return source

    def _kept_back(self, speech: str | None, since_ns: int) -> None:
        """Add the time in which nodes held audio back that could have been played from ``since_ns`` on."""
        for node in _BEFORE_PLAYBACK if self._stages.nodes else ():
            kept = self._worked(node, speech, self.at)
            if kept is not None and kept.end_ns > since_ns:
                run = writer_of(self._stages.nodes, speech, self.at, node)
                self.extend(PLAYBACK, kept.end_ns if run is None else first_output(run) or kept.end_ns)
                self.extend(_LLM, kept.end_ns)  # the node waited for the model's audio
                self.extend(_NODE, max(kept.start_ns, since_ns))

    def _own_voice(self, work: OwnWork, speech: str | None) -> SpanRecord | None:
        """Follow a ``tts_node`` that makes its own audio back to the request whose text it spoke."""
        self.extend(PLAYBACK, work.end_ns)
        self.extend(_NODE, work.start_ns)
        source = self._stages.text_source(speech, self.at)
        if source is not None:
            self.extend(OTHER, source.end_ns)
        elif (writes := self._writer(speech)) is not None:
            self.extend(_NODE, writes)
        return source

    def _before_synthesis(self, tts: SpanRecord, speech: str | None) -> None:
        """Add the work of a ``tts_node`` before it requested the synthesis, if this waited for nothing else."""
        work = self._worked("tts_node", speech, tts.start_ns + _SAME)
        if work is not None and work.end_ns >= max(tts.start_ns, self.at) - _SAME:
            self.extend(_NODE, work.start_ns)

    def _wait_for(self, request: SpanRecord | None, speech: str | None) -> SpanRecord | None:
        """Add the stage that the current step (a request, or a speech without one) waited for: a tool or a request.

        Returns the next request on the path.
        """
        before = self._request_before(speech if request is not None else OUTSIDE)
        tool = self._tool_before(before.start_ns if before is not None else None)
        before = self._behind(tool) if before is None and request is not None else before
        self._others_tool(max(one.end_ns if one is not None else 0 for one in (before, tool)))
        end = min(tool.end_ns, self.at) if tool is not None else None
        if tool is not None and end is not None and (before is None or before.end_ns > self.at or before.end_ns <= end):
            self._set_floor(tool)
            self._seen.add(tool.span_id)
            self.extend(self._gap, end)
            self.extend(_TOOL, tool.start_ns)
            caller = self._request_before(speech_of(tool))
            if caller is not None:
                self.extend(OTHER, min(caller.end_ns, self.at))
            return caller
        if before is None and tool is None:
            failed = self._failed_before()
            if failed is not None:
                # speech, or another request, because the answer failed
                self.extend(OTHER, min(failed.end_ns, self.at))
            return failed
        if before is not None and before.end_ns <= self.at:
            # a request that failed, or that the next request builds on
            self.extend(self._gap, before.end_ns)
            return before
        return None

    def _others_tool(self, known_ns: int) -> None:
        """Add a tool of another turn whose result led to this step, after the step had waited for its own stages."""
        tools = self._stages.all_tools
        last = bisect_right(tools, (self.at, self.at), key=by_end) - 1
        if last < 0 or tools[last][1] < max(self.at - AT_ONCE, known_ns + 1):
            return
        if tools[last] not in {(one.start_ns, one.end_ns) for one in self._stages.tool}:
            start, end = tools[last]
            self.extend(self._gap, end)
            self.extend(_TOOL, max(start, known_ns, self._wait.released_ns or 0))

    def _failed_before(self) -> SpanRecord | None:
        """The latest request of any speech that failed before the current step."""
        found = [
            one
            for one in self._stages.llm
            if self.reach <= one.start_ns <= self.at
            and one.span_id not in self._seen
            and one.attributes.get(attr.OUTCOME) == attr.OUTCOME_ERROR
        ]
        return max(found, key=lambda one: (one.end_ns, one.span_id), default=None)

    def _request_before(self, speech: str | None) -> SpanRecord | None:
        """The latest request of a speech, or outside any speech. A request that fails later (the probe of a fallback
        adapter) does not count."""
        latest: list[SpanRecord] = []
        for found in (self.requests.get(speech, []), self.requests.get(OUTSIDE, [])):
            # the path is followed backwards only, so a request that cannot precede this step never will
            while found and not self._may_precede(found[-1]):
                found.pop()
            latest += found[-1:]
        return max(latest, key=lambda one: (one.start_ns, one.end_ns, one.span_id), default=None)

    def _may_precede(self, request: SpanRecord) -> bool:
        if request.start_ns > self.at or request.span_id in self._seen:
            return False
        return request.end_ns <= self.at or request.attributes.get(attr.OUTCOME) != attr.OUTCOME_ERROR

    def _tool_before(self, since_ns: int | None) -> SpanRecord | None:
        """The tool that ended last (or still runs and has sent an update) since the request that called it."""
        since = self.reach if since_ns is None else max(since_ns, self.reach)
        starts = self._tool_starts
        found = [
            one
            for one in self._stages.tool[bisect_left(starts, since) : bisect_right(starts, self.at)]
            if one.span_id not in self._seen
        ]
        return max(found, key=lambda one: (min(one.end_ns, self.at), one.start_ns, one.span_id), default=None)

    def before_answer(self) -> None:
        """Follow the path from the first request back to the user's silence."""
        self.floor = self._stopped
        wait = self._wait
        if wait.commit_ns is None or wait.released_ns is None:
            self.extend(self._gap, self._stopped)
            return
        self.extend(self._gap, wait.released_ns)
        self.extend(_HOOK, wait.hook_ns or wait.commit_ns)
        self.extend(_TOOL if wait.held_by == _TOOL else _HOOK, wait.commit_ns)
        transcript = self._stages.transcript_ns(wait.commit_ns)
        self.extend(_EOU, self._stopped if transcript is None else transcript)
        held = self._worked("stt_node", "", self.at + _SAME)
        if transcript is not None and held is not None and held.end_ns >= transcript - _SAME:
            self.extend(_NODE, held.start_ns)
        self.extend(_TRANSCRIPTION, self._stopped)
