"""One tracker for each stage: it keeps the open stages and creates their spans, using the session's scope."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...containment import contained
from ..scope import SessionScope
from ..tool_names import ToolNames
from .eou import EouTracker
from .holds import Holds
from .interruption import InterruptionTracker
from .llm import LlmTracker
from .node import NodeTracker
from .own_nodes import OwnNodes
from .playback import PlaybackTracker
from .realtime import RealtimeTracker
from .room import RoomTracker
from .stt import SttTracker
from .tasks import TaskTracker
from .tool import ToolTracker
from .tts import TtsTracker
from .turn import TurnState
from .turns import TurnTracker
from .utterance import Utterance
from .vad import VadTracker

if TYPE_CHECKING:
    from livekit import rtc

__all__ = ["Trackers"]


class Trackers:
    """The trackers of one session, each with the other trackers that it needs."""

    def __init__(self, scope: SessionScope, tool_names: ToolNames, room: rtc.Room | None = None) -> None:
        self.room = RoomTracker(scope, room)
        #: callbacks for the start of a playout, with its time and its turn
        self.voice_starts: list[Callable[[int, TurnState | None], None]] = []
        self.turns = turns = TurnTracker(scope)
        self.vad = vad = VadTracker(scope)
        self.stt = SttTracker(scope, lambda: vad.segment_start_ns)
        self.utterance = Utterance(scope, vad, self.stt, turns)
        self.llm = LlmTracker(scope, turns)
        self.tts = TtsTracker(scope, turns)
        self.realtime = RealtimeTracker(scope, turns)
        self.nodes = NodeTracker(scope, turns)
        self.tools = ToolTracker(scope, turns, tool_names)
        self.tasks = TaskTracker(turns, self.tools)
        self.interruptions = InterruptionTracker(scope, vad)
        self.eou = EouTracker(scope, turns, self.utterance)
        self.holds = Holds(scope)
        self.own_nodes = OwnNodes(scope, self.holds)
        self.stt.held = self.own_nodes.held
        #: give back what was wrapped of the agents
        self.on_close: list[Callable[[], None]] = []
        self.playback = PlaybackTracker(
            scope, turns, self.holds, voice_starts=self._voice_starts, cut_off=self.interruptions.cut_off
        )
        turns.speech_over += [self.llm.settle, self.tts.settle, self.nodes.settle]
        turns.speech_used += [self.llm.used, self.tts.used, self.nodes.used, self.holds.speech_waits]
        turns.before_end += [
            self.eou.turn_ends,
            self.llm.turn_ends,
            self.tts.turn_ends,
            self.realtime.turn_ends,
            self.nodes.turn_ends,
            self.own_nodes.turn_ends,
            self.stt.turn_ends,
            self.interruptions.turn_ends,
        ]

    def _voice_starts(self, at_ns: int, turn: TurnState | None) -> None:
        self.realtime.first_audio(at_ns, turn)
        self.own_nodes.voice_starts(turn)
        for listener in self.voice_starts:
            listener(at_ns, turn)
        if self.vad.speaking:
            started = self.vad.segment_start_ns
            self.interruptions.user_started(started if started is not None else at_ns, turn)

    def give_back(self) -> None:
        """Undo what was done to the agents' methods."""
        for undo in self.on_close:
            with contained("node.give_back"):
                undo()
        self.on_close.clear()
