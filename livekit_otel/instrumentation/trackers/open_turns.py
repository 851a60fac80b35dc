"""The open turns: the reasons that keep a turn open, its end, and its span's last attributes."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from contextvars import ContextVar
from typing import TYPE_CHECKING

from ... import attributes as attr
from ...containment import contained
from ...journal import Attributes
from ..scope import SessionScope
from ..span import PipelineSpan
from .turn import TurnState

if TYPE_CHECKING:
    from livekit.agents import SpeechHandle

__all__ = ["OpenTurns"]

_MAX_OPEN = 16
_MAX_SPEECHES = 64
#: LiveKit adds what was heard of a speech to the conversation right after its playout was cut off
_MESSAGE_S = 0.1


#: in the context of a commit that has requested the answer: the answered turn, and the time of the request
_answered: ContextVar[tuple[weakref.ref[TurnState], int] | None] = ContextVar("livekit_otel_answered", default=None)


class OpenTurns:
    """The open turns of one session, in the order in which they opened.

    Callbacks: ``before_end`` receives a turn whose span is about to end, ``speech_over`` a speech that is done, and
    ``speech_used`` the id of a preemptively generated speech that is used.
    """

    def __init__(self, scope: SessionScope) -> None:
        self._scope = scope
        self._count = 0
        self._open: list[TurnState] = []
        self._floor_ns = 0
        self._voice_ns = 0
        self._created: OrderedDict[str, int] = OrderedDict()
        #: the future turn of words that are not committed yet, if work for their answer has begun
        self._candidate: TurnState | None = None
        self.before_end: list[Callable[[TurnState], None]] = []
        self.speech_over: list[Callable[[SpeechHandle], None]] = []
        self.speech_used: list[Callable[[str], None]] = []

    @property
    def latest(self) -> TurnState | None:
        """The most recently opened turn that is still open."""
        return self._open[-1] if self._open else None

    @property
    def unanswered(self) -> TurnState | None:
        """The oldest open user turn that the agent has not answered, else the most recently opened turn."""
        return next((turn for turn in self._open if turn.has_user and not turn.heard), self.latest)

    @property
    def floor_ns(self) -> int:
        """When the agent last had the floor: earlier words of the user belong to another turn."""
        return max([self._floor_ns, *(turn.last_ns for turn in self._open if turn is not self._candidate)])

    @property
    def voice_ns(self) -> int:
        """When the latest turn in which the agent was heard had its last stage."""
        return max([self._voice_ns, *(turn.last_ns for turn in self._open if turn.heard)])

    def answers_commit(self, turn: TurnState) -> None:
        """A realtime model is asked to answer this turn, in the call that commits the words; the words follow later."""
        _answered.set((weakref.ref(turn), self._scope.now_ns()))

    def answered_commit(self) -> tuple[TurnState, int] | None:
        """Return the open turn whose words are being committed, and when its answer was requested."""
        known = _answered.get()
        turn = known[0]() if known is not None else None
        return (turn, known[1]) if known is not None and turn is not None and turn.open else None

    def created(self, speech_id: str) -> None:
        """A speech is created."""
        self._created[speech_id] = self._scope.now_ns()
        if len(self._created) > _MAX_SPEECHES:
            self._created.popitem(last=False)

    def created_ns(self, speech_id: str) -> int | None:
        """Return when a speech was created; only the latest 64 are known."""
        return self._created.get(speech_id)

    def unfinished(self) -> tuple[str, int] | None:
        """Return what the reply to words being committed waits for: an earlier turn's tool or hook, and its turn."""
        for turn in reversed(self._open):
            if turn is self._candidate:
                continue
            if turn.open_tools:
                return attr.KIND_TOOL, turn.index
            if turn.deciding:
                return "hook", turn.index
        return None

    def _supersede(self, turn: TurnState, at_ns: int | None = None) -> None:
        """The user has the floor: earlier turns finish their current speech and wait for nothing more."""
        for other in list(self._open):
            if other is not turn and other.superseded_ns is None:
                other.supersede(turn.span.start_ns if at_ns is None else at_ns)
                self.check(other)

    # --- holds and the end -------------------------------------------------------------------------

    def hold(self, turn: TurnState, why: Hashable) -> None:
        """Keep the turn open: something in it may still speak."""
        turn.holds[why] = None

    def asks(self, holds: Collection[Hashable], done: Callable[[], bool] | None) -> None:
        """These holds wait for the user until the task that they await is ``done``; None: they no longer wait."""
        for turn in list(self._open):
            for why in turn.holds.keys() & set(holds):
                turn.holds[why] = done
                self.check(turn)

    def give_up_unscheduled(self, turn: TurnState) -> None:
        """The user's turn is decided without asking for a reply: drop what was generated preemptively."""
        for handle in [one for one in turn.speeches.values() if not one.scheduled]:
            del turn.speeches[handle.id]
            for over in self.speech_over:
                over(handle)

    def release(self, turn: TurnState, why: Hashable) -> None:
        turn.holds.pop(why, None)
        self.check(turn)

    def begin(self, turn: TurnState | None) -> None:
        """A decision, a request or a playout of the turn begins."""
        if turn is not None:
            turn.working += 1

    def finish(self, turn: TurnState | None) -> None:
        """A decision, a request or a playout of the turn is over."""
        if turn is not None:
            turn.working -= 1
            self.check(turn)

    def check(self, turn: TurnState) -> None:
        """End the turn after the callbacks that LiveKit has already scheduled, if nothing in it is going to speak."""
        if turn.open and turn.quiet:
            self._scope.soon(lambda: self._end_if_quiet(turn))
        elif turn.open and turn.superseded_ns is not None and not turn.working and turn.only_tools:
            # the playout that the user cut off is over; its text is about to enter the conversation
            self._scope.later(_MESSAGE_S, lambda: self._leave_tools(turn))

    def _leave_tools(self, turn: TurnState) -> None:
        if turn.open and not turn.working and turn.only_tools:
            turn.leave_tools()
            self.check(turn)

    def _end_if_quiet(self, turn: TurnState) -> None:
        if turn.open and turn.quiet and turn is not self._candidate:
            self._end(turn)

    # --- spans -------------------------------------------------------------------------------------

    def _start(self, start_ns: int, *, has_user: bool, committed: bool, source: str | None = None) -> TurnState:
        attributes: Attributes = {attr.TURN_INDEX: self._count, attr.TURN_HAS_USER: has_user}
        if source is not None:
            attributes[attr.TURN_SPEECH_END_SOURCE] = source
        span = self._scope.spans.start(attr.KIND_TURN, self._scope, start_ns, attributes)
        turn = TurnState(self._count, span, has_user=has_user, committed=committed)
        turn.agent_name = self._scope.agent_name
        turn.speech_end_source = source
        self._count += 1
        self._open.append(turn)
        while len(self._open) > _MAX_OPEN:
            self._end(self._open[0])
        return turn

    def _end(self, turn: TurnState, at_ns: int | None = None) -> None:
        if not turn.open:
            return
        if turn in self._open:
            self._open.remove(turn)
        for before in self.before_end:
            with contained("turn.before_end"):
                before(turn)
        if turn.failure is not None and not turn.heard:
            turn.span.fail(turn.failure, message=self._scope.message_of(turn.failure))
        end = max(turn.last_ns, at_ns or 0)
        if turn.superseded_ns is not None and (turn.cut_short or turn.closed_by_session):
            # the turn was open until then, even if no stage was running
            end = max(end, turn.superseded_ns)
        turn.tool_outlives = bool(turn.open_tools) or turn.tool_ended_ns > end
        attributes = {
            attr.END_REASON: turn.end_reason,
            **turn.attributes(self._scope),
        }
        turn.span.end(end, attributes=attributes, ending=self._ending)
        self._floor_ns = max(self._floor_ns, turn.last_ns)
        if turn.heard:
            self._voice_ns = max(self._voice_ns, turn.last_ns)

    def _ending(self, span: PipelineSpan) -> None:
        ending = self._scope.options.turn_ending
        if ending is not None:
            ending(self._scope.layers.provider, span.otel, span.end_ns or span.start_ns)

    def close_called(self, at_ns: int) -> None:
        """The session is being closed without draining: turns finish their current speech and wait for nothing more."""
        for turn in list(self._open):
            if turn.superseded_ns is None:
                turn.supersede(at_ns)
                turn.closed_by_session = True
                if turn.deciding:
                    # LiveKit waits for the hook, and no longer asks for a reply
                    turn.last_ns = max(turn.last_ns, at_ns)
                self.check(turn)

    def close_all(self, at_ns: int) -> None:
        """The session is over: end all turns."""
        called = self._scope.close_called_ns or at_ns
        for turn in list(self._open):
            if not turn.quiet:
                turn.closed_by_session, turn.interrupted = True, False
            self._end(turn, called)
