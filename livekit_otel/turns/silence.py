"""Where the silence went: the critical path, followed backwards from the first audio to the moment the user stopped.

Each interval belongs to what the next step was waiting for::

    playback  <- first audio of the synthesis (or of a realtime model)
    tts       <- first text that reached the provider
    llm       <- its request; sentence assembly while the answer streams is its time, too
    llm again <- the tool whose result it got <- the request that called the tool <- …
    answer    <- on_user_turn_completed <- commit of the turn <- final transcript <- the user's silence

A response of a realtime model begins when its plugin says so; the model was waited for from the commit, or the end of
speech, and from the result of a tool.

A preemptive generation runs during endpointing and waits there: the part of it before the turn was committed (and the
hook was over) hid behind that wait, so the silence of that time is the wait's.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from .. import attributes as attr
from ..spans import SpanRecord
from .model import Segment
from .stages import (
    Stages,
    avatar_ns,
    first_audio,
    first_token,
    held_until,
    provider_start,
    response_audio,
    speech_of,
)
from .wait import Wait

__all__ = ["CriticalPath", "critical_path"]

#: the speech of requests that code makes outside of any, before it speaks
_OUTSIDE = ""
_TRANSCRIPTION, _EOU, _HOOK, _LLM, _TOOL, _TTS, _PLAYBACK, _OTHER = attr.SILENCE_STAGES


def critical_path(stages: Stages, wait: Wait) -> tuple[Segment, ...]:
    """Intervals without gaps from ``wait.stopped_ns`` to the start of ``wait.playback``; empty without these two."""
    if wait.stopped_ns is None or wait.playback is None:
        return ()
    path = CriticalPath(stages, wait, wait.stopped_ns, wait.playback)
    path.answer()
    path.before_answer()
    return tuple(reversed(path.segments))


class CriticalPath:
    """The path so far, from its end backwards. ``at`` is where it begins, ``floor`` how far back a stage may reach."""

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
        self._gap = _OTHER
        self._tool_starts = [one.start_ns for one in stages.tool]
        #: by speech, None for all of them
        self.requests: dict[str | None, list[SpanRecord]] = {None: list(stages.llm)}
        for one in stages.llm:
            self.requests.setdefault(speech_of(one) or _OUTSIDE, []).append(one)
        self.requests.setdefault(_OUTSIDE, []).extend(stages.beside)

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

    def answer(self) -> None:
        """From the voice to the first request that worked for it."""
        playback = self._playback
        speech = speech_of(playback)
        self._set_floor(playback)
        source = self._stages.text_source(speech, self.at)
        tts = self._voice(playback, source)
        if tts is not None:
            source = self._synthesis(tts, speech)
        elif source is not None and source.kind == attr.KIND_REALTIME:
            if not self._held(response_audio(source)):
                self.extend(_PLAYBACK, self.at - (avatar_ns(playback) or 0))
        elif source is not None:
            # a tts_node that makes its own audio: nothing tells when
            self.extend(_OTHER, first_token(source) or source.start_ns)
        self._back_from(source if source is not None else self._wait_for(None, speech))

    def _back_from(self, request: SpanRecord | None) -> None:
        """From a request to the first one that led to it."""
        while request is not None:
            self._set_floor(request)
            self._seen.add(request.span_id)
            self.extend(_LLM, request.start_ns)
            # a response begins when its plugin says so: the model was waited for before that, too
            self._gap = _LLM if request.kind == attr.KIND_REALTIME else _OTHER
            request = self._wait_for(request, speech_of(request))

    def _voice(self, playback: SpanRecord, source: SpanRecord | None) -> SpanRecord | None:
        """The synthesis that a playout began with."""
        return self._stages.synthesis(playback)

    def _held(self, audio_ns: int | None) -> bool:
        """What LiveKit held back although its audio was there waited for what no stage of the turn is."""
        until = held_until(self._playback)
        if until is None or audio_ns is None or audio_ns >= until:
            return False
        self.extend(_PLAYBACK, until)
        self.extend(_OTHER, audio_ns)
        return True

    def _synthesis(self, tts: SpanRecord, speech: str | None) -> SpanRecord | None:
        """A synthesis, back to the request whose text it spoke."""
        self._set_floor(tts)
        audio = first_audio(tts)
        if audio is not None:
            self._held(audio)
            self.extend(_PLAYBACK, audio)
        failed = self._stages.failed_before(tts)
        begin = tts.start_ns if failed is not None else provider_start(tts)
        self.extend(_TTS, tts.start_ns if begin is None else begin)
        if failed is not None:
            self.extend(_TTS, failed.start_ns)
        start = min(tts.start_ns, failed.start_ns) if failed is not None else tts.start_ns
        source = self._stages.text_source(speech, self.at)
        if source is None:
            self.extend(_TTS, start)
        elif source.end_ns < self.at:
            # all text was there: the rest is the provider's, or nobody's
            self.extend(_TTS, max(source.end_ns, start))
            self.extend(_OTHER, source.end_ns)
        return source

    def _wait_for(self, request: SpanRecord | None, speech: str | None) -> SpanRecord | None:
        """What the step at hand (a request, or a speech without one) had to wait for: a tool, or a request before.

        Returns the next request on the way back.
        """
        before = self._request_before(speech if request is not None else _OUTSIDE)
        tool = self._tool_before(before.start_ns if before is not None else None)
        end = min(tool.end_ns, self.at) if tool is not None else None
        if tool is not None and end is not None and (before is None or before.end_ns > self.at or before.end_ns <= end):
            self._set_floor(tool)
            self._seen.add(tool.span_id)
            self.extend(self._gap, end)
            self.extend(_TOOL, tool.start_ns)
            caller = self._request_before(speech_of(tool))
            if caller is not None:
                self.extend(_OTHER, min(caller.end_ns, self.at))
            return caller
        if before is None and tool is None:
            failed = self._failed_before()
            if failed is not None:
                # what is said, or asked for once more, because the answer failed
                self.extend(_OTHER, min(failed.end_ns, self.at))
            return failed
        if before is not None and before.end_ns <= self.at:
            # a request that failed, or that the next one builds on
            self.extend(self._gap, before.end_ns)
            return before
        return None

    def _failed_before(self) -> SpanRecord | None:
        """The latest request, whatever its speech, that failed before this."""
        found = [
            one
            for one in self._stages.llm
            if self.reach <= one.start_ns <= self.at
            and one.span_id not in self._seen
            and one.attributes.get(attr.OUTCOME) == attr.OUTCOME_ERROR
        ]
        return max(found, key=lambda one: (one.end_ns, one.span_id), default=None)

    def _request_before(self, speech: str | None) -> SpanRecord | None:
        """The latest request of a speech, or outside of any; one that fails later (a fallback adapter's probe) had no
        part in this."""
        latest: list[SpanRecord] = []
        for found in (self.requests.get(speech, []), self.requests.get(_OUTSIDE, [])):
            # the walk only goes back: what is no such request now never becomes one
            while found and not self._may_precede(found[-1]):
                found.pop()
            latest += found[-1:]
        return max(latest, key=lambda one: (one.start_ns, one.end_ns, one.span_id), default=None)

    def _may_precede(self, request: SpanRecord) -> bool:
        if request.start_ns > self.at or request.span_id in self._seen:
            return False
        return request.end_ns <= self.at or request.attributes.get(attr.OUTCOME) != attr.OUTCOME_ERROR

    def _tool_before(self, since_ns: int | None) -> SpanRecord | None:
        """The tool that answered last (or still runs and said something) since the request that called it."""
        since = self.reach if since_ns is None else max(since_ns, self.reach)
        starts = self._tool_starts
        found = [
            one
            for one in self._stages.tool[bisect_left(starts, since) : bisect_right(starts, self.at)]
            if one.span_id not in self._seen
        ]
        return max(found, key=lambda one: (min(one.end_ns, self.at), one.start_ns, one.span_id), default=None)

    def _set_floor(self, stage: SpanRecord) -> None:
        """Stages of the speech that the commit released cannot have been waited for before that."""
        wait = self._wait
        if wait.eou is None or wait.released_ns is None:
            return
        speech, mine = speech_of(wait.eou), speech_of(stage)
        waits = speech is None or mine is None or mine == speech or bool(stage.attributes.get(attr.LLM_PREEMPTIVE))
        self.floor = min(wait.released_ns, self.at) if waits else self._stopped

    def before_answer(self) -> None:
        """From the first request to the user's silence."""
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
        self.extend(_TRANSCRIPTION, self._stopped)
