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
#: nanoseconds; words whose speech ended that long ago are not going to be committed
_UNDECIDED_NS = 5_000_000_000
#: seconds until it is checked again whether the user's speech was committed
_PATIENCE = 0.5
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
        #: when the agent's voice was last heard
        self.voice_ns = 0
        self._created: OrderedDict[str, int] = OrderedDict()
        #: the future turn of words that are not committed yet, if work for their answer has begun
        self._candidate: TurnState | None = None
        #: indexes of turns that are over unless the user's words are committed
        self._undecided: set[int] = set()
        #: returns when the user's latest speech that no turn has claimed began, and its end unless it lasts
        self.user_spoke: Callable[[], tuple[int, int | None] | None] = lambda: None
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
                self._supersede_one(other, turn.span.start_ns if at_ns is None else at_ns)

    def _supersede_one(self, turn: TurnState, at_ns: int) -> None:
        turn.supersede(at_ns)
        for speech_id in turn.speeches.keys() - turn.begun if self._scope.realtime else ():
            # a model is asked for it since then: the turn that continues this one begins with the response
            if self._created.get(speech_id, 0) > at_ns:
                del turn.speeches[speech_id]
        self.check(turn)

    def user_has_floor(self, at_ns: int) -> None:
        """The user's speech since then is committed, and a realtime model has not begun to answer it."""
        for turn in list(self._open):
            if turn.superseded_ns is None and turn.span.start_ns < at_ns:
                self._supersede_one(turn, at_ns)

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
        """This reason to keep the turn open is gone."""
        if why in turn.holds:
            del turn.holds[why]
            turn.released_ns = self._scope.now_ns()
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
        if not turn.open or not turn.quiet or turn is self._candidate:
            return
        if not self._may_be_superseded(turn):
            self._end(turn)
        elif turn.index not in self._undecided:
            self._undecided.add(turn.index)
            self._scope.later(_PATIENCE, lambda: self._decide(turn))

    def _decide(self, turn: TurnState) -> None:
        self._undecided.discard(turn.index)
        self._end_if_quiet(turn)

    def _may_be_superseded(self, turn: TurnState) -> bool:
        """Whether the user began to speak before the turn's last work was over, and may still be committed."""
        spoke, now = self.user_spoke(), self._scope.now_ns()
        if spoke is None or turn.superseded_ns is not None or self._scope.closing:
            return False
        return turn.span.start_ns < spoke[0] < turn.released_ns and now < (spoke[1] or now) + _UNDECIDED_NS

    # --- spans -------------------------------------------------------------------------------------

    def _start(self, start_ns: int, *, has_user: bool, committed: bool, source: str | None = None) -> TurnState:
        known: Attributes = {} if source is None else {attr.TURN_SPEECH_END_SOURCE: source}
        attributes = {attr.TURN_INDEX: self._count, attr.TURN_HAS_USER: has_user, **known}
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
        end = turn.end_ns(at_ns or 0)
        outlives = bool(turn.open_tools) or turn.tool_ended_ns > end
        turn.tool_outlives = outlives or (turn.superseded_ns is not None and turn.at_work)
        attributes = {attr.END_REASON: turn.end_reason, **turn.attributes(self._scope)}
        turn.span.end(end, attributes=attributes, ending=self._ending)
        self._floor_ns = max(self._floor_ns, turn.last_ns)

    def _ending(self, span: PipelineSpan) -> None:
        if (ending := self._scope.options.turn_ending) is not None:
            ending(self._scope.layers.provider, span.otel, span.end_ns or span.start_ns)

    def close_called(self, at_ns: int) -> None:
        """The session is being closed without draining: turns finish their current speech and wait for nothing more."""
        for turn in list(self._open):
            if turn.superseded_ns is None:
                turn.supersede(at_ns)
                turn.closed_by_session = True
                self.check(turn)

    def close_all(self, at_ns: int) -> None:
        """The session is over: end all turns."""
        for turn in list(self._open):
            if turn.quiet:
                self._end(turn)
                continue
            turn.closed_by_session, turn.interrupted = True, False
            self._end(turn, self._scope.close_called_ns or at_ns)
