"""The stages behind a silence after the agent's first words: its critical path, followed backwards."""

from __future__ import annotations

from .. import attributes as attr
from ..spans import SpanRecord
from .intervals import Interval
from .model import Segment
from .own_work import explained
from .path import PLAYBACK
from .silence import CriticalPath
from .stages import Stages, first_audio, hook_ns, speech_of
from .wait import Wait, asked_ns

__all__ = ["open_path", "path_to"]

_TRANSCRIPTION, _EOU, _HOOK, _, _LLM, _TOOL, _TTS, _, _OTHER = attr.SILENCE_STAGES
_STAGES = {attr.KIND_TOOL: _TOOL, attr.KIND_LLM: _LLM, attr.KIND_REALTIME: _LLM, attr.KIND_TTS: _TTS}


def path_to(stages: Stages, gap: Interval, voice: SpanRecord) -> tuple[Segment, ...]:
    """Intervals that cover a silence which ended with ``voice``."""
    path = _GapPath(stages, Wait(), gap[0], voice)
    path.answer()
    return path.whole()


def open_path(stages: Stages, gap: Interval, unheard: Wait | None, *, declined: bool) -> tuple[Segment, ...]:
    """Intervals that cover a silence that no voice ended: the stage running at its end, and its waits before that.

    Args:
        unheard: the wait of a turn without any audio, whose silence begins where the user stopped.
        declined: whether nobody was going to answer any more. Such a silence counts for the step that left the user
            without a reply: ``on_user_turn_completed``, a tool that needs none, or a request whose answer was empty.
    """
    if unheard is not None and (unheard.commit_ns or 0) > gap[1]:
        return _undecided(stages, gap)
    end = SpanRecord(trace_id="", span_id="", parent_id=None, name="", start_ns=gap[1], end_ns=gap[1], attributes={})
    path = _GapPath(stages, Wait(), gap[0], end)
    path.running(declined=declined)
    if unheard is not None:
        path.before(unheard, gap[1], declined=declined)
    return path.whole()


def _undecided(stages: Stages, gap: Interval) -> tuple[Segment, ...]:
    """The silence of a user whose turn was not committed in it: until their words were there, and after that."""
    start, end = gap
    heard = stages.transcript_ns(end)
    until = heard if heard is not None else end if stages.transcripts else start
    parts = (Segment(_TRANSCRIPTION, start, max(start, until)), Segment(_EOU, max(start, until), end))
    return tuple(one for one in parts if one.start_ns < one.end_ns)


class _GapPath(CriticalPath):
    """The path of a silence. Stages may have begun before the silence; only their part within it counts."""

    @property
    def reach(self) -> int:
        return 0

    def _voice(self, playback: SpanRecord, source: SpanRecord | None) -> SpanRecord | None:
        """The synthesis for the text of ``source``, because the steps of an answer share one speech."""
        return self._stages.synthesis(playback, source.start_ns if source is not None else 0)

    def _latest(self, stage: SpanRecord) -> tuple[int, bool, int, str]:
        """Sort key for the stage that ran last; a tool wins over the response that called it and still runs."""
        return min(stage.end_ns, self.at), stage.kind == attr.KIND_TOOL, stage.start_ns, stage.span_id

    def running(self, *, declined: bool) -> None:
        """Follow the path from the end of the silence back to the stage that ran last in it."""
        running = [one for one in (*self._stages.tool, *self._stages.llm, *self._stages.tts) if one.start_ns < self.at]
        last = max(running, key=self._latest, default=None)
        if last is None:
            return
        if (ready := self._unplayed(last)) is not None:
            self.extend(PLAYBACK, ready)
        self.extend(_STAGES[last.kind] if declined else _OTHER, min(last.end_ns, self.at))
        self.extend(_STAGES[last.kind], asked_ns(last) if last.kind == attr.KIND_TTS else last.start_ns)
        self._seen.add(last.span_id)
        self._back_from(self._request_before(speech_of(last)) if last.kind in (attr.KIND_TOOL, attr.KIND_TTS) else last)

    def _unplayed(self, stage: SpanRecord) -> int | None:
        """When a synthesis had its audio, if LiveKit held that back until the end."""
        ready = first_audio(stage) if stage.kind == attr.KIND_TTS else None
        played = ready is not None and any(one.start_ns >= ready for one in self._stages.playback)
        return None if played else ready

    def before(self, wait: Wait, end_ns: int, *, declined: bool) -> None:
        """Follow the path from the first request, which may precede the commit, back to the user's silence."""
        self._wait = wait
        if wait.commit_ns is None or wait.commit_ns > end_ns:
            return
        cut_off = wait.eou is not None and hook_ns(wait.eou) is None
        if not self.segments if declined else cut_off:
            self.extend(_HOOK, wait.hook_ns or wait.commit_ns)
        self.before_answer()

    def whole(self) -> tuple[Segment, ...]:
        """The path from the start of the silence; time that no stage explains counts as ``other``."""
        self.extend(self._gap, self.floor)
        return explained(reversed(self.segments), self._stages.work_or_paused())
