"""Where a silence after the agent's first words went: the critical path back through it, by stage."""

from __future__ import annotations

from .. import attributes as attr
from ..spans import SpanRecord
from .intervals import Interval
from .model import Segment
from .own_work import explained
from .silence import CriticalPath
from .stages import Stages, hook_ns, speech_of
from .wait import Wait, asked_ns

__all__ = ["open_path", "path_to"]

_, _, _HOOK, _, _LLM, _TOOL, _TTS, _, _OTHER = attr.SILENCE_STAGES
_STAGES = {attr.KIND_TOOL: _TOOL, attr.KIND_LLM: _LLM, attr.KIND_REALTIME: _LLM, attr.KIND_TTS: _TTS}


def path_to(stages: Stages, gap: Interval, voice: SpanRecord) -> tuple[Segment, ...]:
    """Intervals that cover a silence which ``voice`` ended."""
    path = _GapPath(stages, Wait(), gap[0], voice)
    path.answer()
    return path.whole()


def open_path(stages: Stages, gap: Interval, unheard: Wait | None, *, hook_runs: bool) -> tuple[Segment, ...]:
    """The same through one that no voice ended: what was running at its end, and what that had waited for.

    Args:
        unheard: the wait of a turn in which nothing was heard: the silence begins where the user stopped.
        hook_runs: ``on_user_turn_completed`` was cut off with the turn, where nothing says how long it took.
    """
    end = SpanRecord(trace_id="", span_id="", parent_id=None, name="", start_ns=gap[1], end_ns=gap[1], attributes={})
    path = _GapPath(stages, Wait(), gap[0], end)
    path.running()
    if unheard is not None:
        path.before(unheard, hook_runs=hook_runs)
    return path.whole()


class _GapPath(CriticalPath):
    """Stages may have begun before the silence; what they took of it counts."""

    @property
    def reach(self) -> int:
        return 0

    def _voice(self, playback: SpanRecord, source: SpanRecord | None) -> SpanRecord | None:
        """Steps of an answer share a speech: the voice is that of the step whose words it speaks."""
        return self._stages.synthesis(playback, source.start_ns if source is not None else 0)

    def _latest(self, stage: SpanRecord) -> tuple[int, bool, int, str]:
        """What ran last; a tool rather than the response that called it and runs on beside it."""
        return min(stage.end_ns, self.at), stage.kind == attr.KIND_TOOL, stage.start_ns, stage.span_id

    def running(self) -> None:
        """From the end of the silence back to what ran in it last."""
        running = [one for one in (*self._stages.tool, *self._stages.llm, *self._stages.tts) if one.start_ns < self.at]
        last = max(running, key=self._latest, default=None)
        if last is None:
            return
        self.extend(_OTHER, min(last.end_ns, self.at))
        self.extend(_STAGES[last.kind], asked_ns(last) if last.kind == attr.KIND_TTS else last.start_ns)
        self._seen.add(last.span_id)
        self._back_from(self._request_before(speech_of(last)) if last.kind != attr.KIND_LLM else last)

    def before(self, wait: Wait, *, hook_runs: bool) -> None:
        """From the first request to the user's silence."""
        self._wait = wait
        if wait.commit_ns is None or wait.commit_ns > self.at:
            return
        if hook_runs and wait.eou is not None and hook_ns(wait.eou) is None:
            self.extend(_HOOK, wait.hook_ns or wait.commit_ns)
        self.before_answer()

    def whole(self) -> tuple[Segment, ...]:
        """The path to the beginning of the silence; what no stage explains is nobody's."""
        self.extend(self._gap, self.floor)
        return explained(reversed(self.segments), self._stages.work)
