"""Which exchange a piece of work belongs to, by identity: the end-of-turn decision, the speech handle, the item.

A turn opens when LiveKit commits the user's words, when the user writes, or when the agent speaks of itself. It closes
when the agent is silent and nothing of the turn can still speak, or when the user's next committed speech begins. What
belongs to a closed turn never moves to another.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextvars import ContextVar
from typing import TYPE_CHECKING

from ... import attributes as attr
from ...containment import contain
from ...journal import Attributes
from .. import livekit_api
from ..scope import SessionScope
from ..span import SpanOwner
from .turn import Turn, joined

if TYPE_CHECKING:
    from livekit.agents import SpeechHandle
    from livekit.agents.llm import ChatMessage

__all__ = ["TurnTracker"]

_MAX_SPEECHES = 64
_MAX_OPEN = 16
_REPORTED = frozenset(attr.REPORTED_METRICS)
#: when somebody spoke: reported of both sides, kept of the user's
_SPOKEN = frozenset({"started_speaking_at", "stopped_speaking_at"})

#: the turn whose end-of-turn decision the current task carries out; tasks that it creates inherit it
_decided: ContextVar[Turn | None] = ContextVar("livekit_otel_decided_turn", default=None)


class TurnTracker:
    """The turns of one session.

    ``before_end`` is called with a turn whose span is about to end, ``speech_over`` with a speech that is done.
    """

    def __init__(self, scope: SessionScope) -> None:
        self._scope = scope
        self._count = 0
        self._open: list[Turn] = []
        self._by_speech: OrderedDict[str, Turn] = OrderedDict()
        self._typed: str | None = None
        #: what the user said to a realtime model that has not answered yet
        self._early_words: ChatMessage | None = None
        self._floor_ns = 0
        #: the turn that words not committed yet will become, once work for their answer has begun
        self._candidate: Turn | None = None
        #: LiveKit is creating a speech for words that it has not committed
        self.preempting = False
        self.before_end: list[Callable[[Turn], None]] = []
        self.speech_over: list[Callable[[SpeechHandle], None]] = []
        #: when the user's speech began that no turn has claimed
        self.speech_start: Callable[[], int | None] = lambda: None

    # --- questions ---------------------------------------------------------------------------------

    @property
    def latest(self) -> Turn | None:
        """The open turn that opened last."""
        return self._open[-1] if self._open else None

    @property
    def unanswered(self) -> Turn | None:
        """The oldest open turn of the user that the agent has not answered, else the open turn that opened last."""
        return next((turn for turn in self._open if turn.has_user and not turn.heard), self.latest)

    def of_speech(self, speech_id: str | None) -> Turn | None:
        """The turn of a speech, open or closed."""
        return self._by_speech.get(speech_id) if speech_id is not None else None

    def cause(self) -> Turn | None:
        """The turn that the current task works for: by the decision that it carries out, or by its speech."""
        decided = _decided.get()
        if decided is not None and decided.open:
            return decided
        handle = livekit_api.speech_handle()
        return self.of_speech(handle.id) if handle is not None else None

    def owner(self, speech_id: str | None = None) -> SpanOwner:
        """Where a stage of this speech (or of the current task) goes: its open turn, else the session."""
        turn = self.of_speech(speech_id) if speech_id is not None else self.cause()
        return turn if turn is not None and turn.open else self._scope

    def working(self, handle: SpeechHandle) -> Turn | None:
        """The open turn that new work of a speech belongs to; a speech that outlived its turn opens another."""
        turn = self._by_speech.get(handle.id)
        if turn is None or handle.done() or (self._scope.closing and not turn.open):
            return turn
        if not turn.open:
            before = turn
            turn = self._start(self._scope.now_ns(), has_user=False, committed=True)
            turn.span.set({attr.TURN_CONTINUES: before.index})
            self._bind(handle, turn)
        turn.add_speech(handle)
        return turn

    # --- the user's side ---------------------------------------------------------------------------

    @property
    def floor_ns(self) -> int:
        """When the agent last had the floor: what the user said before that was said during another turn."""
        return max([self._floor_ns, *(turn.last_ns for turn in self._open if turn is not self._candidate)])

    def commit(self, text: str, start_ns: int | None) -> Turn:
        """LiveKit committed the user's words, which began at ``start_ns``: the turn that they open."""
        turn, self._candidate = self._candidate, None
        if turn is None or not turn.open:
            turn = self._start(start_ns or self._scope.now_ns(), has_user=True, committed=True)
        turn.committed = True
        turn.user_text = joined("", text)
        self._supersede(turn)
        return turn

    def unfinished(self) -> tuple[str, int] | None:
        """What the reply to words that are being committed has to wait for: an earlier turn's tool, or its hook."""
        for turn in reversed(self._open):
            if turn is self._candidate:
                continue
            if turn.open_tools:
                return attr.KIND_TOOL, turn.index
            if turn.deciding:
                return "hook", turn.index
        return None

    def _supersede(self, turn: Turn) -> None:
        """The user has the floor: what came before ends with what it still says, and waits for nothing any more."""
        for other in list(self._open):
            if other is not turn and other.superseded_ns is None:
                other.supersede(turn.span.start_ns)
                self.check(other)

    def drop_candidate(self) -> None:
        """The words were not committed after all."""
        turn, self._candidate = self._candidate, None
        if turn is not None and turn.open:
            turn.supersede(turn.span.start_ns)
            self.check(turn)

    def next_typed(self, text: str | None) -> None:
        """The next speech is created for a typed input of the user (``generate_reply(user_input=…)``)."""
        self._typed = text

    def carry_out(self, turn: Turn | None) -> None:
        """The current task carries out the decision that committed this turn."""
        _decided.set(turn)

    # --- the agent's side --------------------------------------------------------------------------

    def speech_created(self, handle: SpeechHandle, *, answers_speech: bool = False) -> Turn:
        """A speech came into being. ``answers_speech``: a realtime model answers what the user said."""
        typed, self._typed = self._typed, None
        turn = self._turn_of_new_speech(typed, answers_speech=answers_speech)
        self._bind(handle, turn)
        turn.add_speech(handle)
        handle.add_done_callback(self._speech_done)
        return turn

    def _turn_of_new_speech(self, typed: str | None, *, answers_speech: bool) -> Turn:
        now = self._scope.now_ns()
        if typed is not None:
            turn = self._start(now, has_user=True, committed=True, source="typed")
            turn.user_text = joined("", typed)
            self._supersede(turn)
            return turn
        if self.preempting:
            return self._candidate_turn()
        if answers_speech:
            return self.open_user_turn()
        cause = self.cause()
        if cause is not None and cause.open:
            return cause
        if cause is None or not cause.tool_outlives:
            current = self._going_on()
            if current is not None:
                return current
        turn = self._start(now, has_user=False, committed=True)
        if cause is not None and cause.tool_outlives:
            turn.span.set({attr.TURN_CONTINUES: cause.index})
        return turn

    def open_user_turn(self) -> Turn:
        """The turn of what the user said to a realtime model, which decides itself when that is over."""
        turn = self._start(self.speech_start() or self._scope.now_ns(), has_user=True, committed=True)
        words, self._early_words = self._early_words, None
        if words is not None:
            self.message(words, turn)
        self._supersede(turn)
        return turn

    def _candidate_turn(self) -> Turn:
        if self._candidate is None or not self._candidate.open:
            start = self.speech_start() or self._scope.now_ns()
            self._candidate = self._start(start, has_user=True, committed=False)
        return self._candidate

    def _going_on(self) -> Turn | None:
        """The turn in which the agent is at work: speech that nothing else explains is part of it."""
        turn = self.latest
        if turn is None or turn.interrupted or not turn.committed or turn.superseded_ns is not None:
            return None
        return turn if turn.speeches or turn.holds else None

    def link(self, speech_id: str | None, turn: Turn | None) -> None:
        """LiveKit says that this speech answers the words of this turn (a generation made ahead was used)."""
        if speech_id is None or turn is None:
            return
        before = self._by_speech.get(speech_id)
        if before is None or before is not turn:
            self._by_speech[speech_id] = turn

    def _bind(self, handle: SpeechHandle, turn: Turn) -> None:
        self._by_speech[handle.id] = turn
        self._by_speech.move_to_end(handle.id)
        while len(self._by_speech) > _MAX_SPEECHES:
            self._by_speech.popitem(last=False)

    @contain("turn.speech_done")
    def _speech_done(self, handle: SpeechHandle) -> None:
        handle.remove_done_callback(self._speech_done)  # LiveKit keeps the handle as long as the session
        for over in self.speech_over:
            over(handle)
        turn = self._by_speech.get(handle.id)
        if turn is None or not turn.open:
            return
        turn.speeches.pop(handle.id, None)
        if handle.scheduled:
            turn.answered = True
            if handle.interrupted and self._scope.closing and not turn.interrupted:
                turn.closed_by_session = True
            elif handle.interrupted:
                turn.interrupted = True
        if turn.hands_back and not turn.heard:
            outer = self.outer_speech(handle)
            if outer is not None:
                self._bind(outer, turn)
                turn.add_speech(outer)
        self.check(turn)

    #: the speech whose tool awaits the task that this speech worked in
    outer_speech: Callable[[SpeechHandle], SpeechHandle | None] = staticmethod(lambda _: None)

    # --- what keeps a turn open --------------------------------------------------------------------

    def hold(self, turn: Turn, why: Hashable) -> None:
        """Something of the turn may still speak."""
        turn.holds.add(why)

    def give_up_unscheduled(self, turn: Turn) -> None:
        """The user's turn is decided, and no reply was asked for: what was generated ahead is not used."""
        for handle in [one for one in turn.speeches.values() if not one.scheduled]:
            del turn.speeches[handle.id]
            for over in self.speech_over:
                over(handle)

    def release(self, turn: Turn, why: Hashable) -> None:
        turn.holds.discard(why)
        self.check(turn)

    def begin(self, turn: Turn | None) -> None:
        """A decision, a request or a playout of the turn begins."""
        if turn is not None:
            turn.working += 1

    def finish(self, turn: Turn | None) -> None:
        """It is over."""
        if turn is not None:
            turn.working -= 1
            self.check(turn)

    def check(self, turn: Turn) -> None:
        """End the turn if nothing of it is going to speak, after what LiveKit has scheduled by now."""
        if turn.open and turn.quiet:
            self._scope.soon(lambda: self._end_if_quiet(turn))

    def _end_if_quiet(self, turn: Turn) -> None:
        if turn.open and turn.quiet and turn is not self._candidate:
            self._end(turn)

    # --- what is said ------------------------------------------------------------------------------

    def message(self, item: ChatMessage, turn: Turn | None) -> None:
        """A message of this turn entered the conversation: its words and LiveKit's own latencies go on the turn."""
        if turn is None or not turn.open:
            return
        text = item.raw_text_content or ""
        if item.role == "user":
            turn.user_text = joined("", text) or turn.user_text
        elif item.role == "assistant":
            turn.agent_text = joined(turn.agent_text, text)
            turn.answered = turn.heard = True
            if item.interrupted and not self._scope.closing and turn.failure is None:
                turn.interrupted = True
        for name, number in (item.metrics or {}).items():
            if name in _REPORTED and isinstance(number, (int, float)) and (item.role == "user" or name not in _SPOKEN):
                turn.reported.setdefault(name, float(number))

    def words_arrived(self, item: ChatMessage, *, unclaimed: bool) -> None:
        """A realtime model's server transcribed what the user said. ``unclaimed``: the user spoke, and no turn has it.

        Servers transcribe in the order of speech: the oldest turn that waits for words gets them.
        """
        waiting = [turn for turn in self._open if not turn.user_text]
        turn = next((turn for turn in waiting if turn.has_user), None)
        if turn is None and not unclaimed:
            turn = next((turn for turn in waiting if turn.by_server), None)
        if turn is None:
            self._early_words = item if unclaimed else None
            return
        turn.has_user = True
        self.message(item, turn)

    # --- spans -------------------------------------------------------------------------------------

    def _start(self, start_ns: int, *, has_user: bool, committed: bool, source: str | None = None) -> Turn:
        attributes: Attributes = {attr.TURN_INDEX: self._count, attr.TURN_USER_INITIATED: has_user}
        if source is not None:
            attributes[attr.TURN_SPEECH_END_SOURCE] = source
        span = self._scope.spans.start(attr.KIND_TURN, self._scope, start_ns, attributes)
        turn = Turn(self._count, span, has_user=has_user, committed=committed)
        turn.agent_name = self._scope.agent_name
        turn.speech_end_source = source
        self._count += 1
        self._open.append(turn)
        while len(self._open) > _MAX_OPEN:
            self._end(self._open[0])
        return turn

    def _end(self, turn: Turn, at_ns: int | None = None) -> None:
        if not turn.open:
            return
        if turn in self._open:
            self._open.remove(turn)
        for before in self.before_end:
            before(turn)
        if turn.failure is not None and not turn.heard:
            turn.span.fail(turn.failure, content=self._scope.content)
        turn.tool_outlives = bool(turn.open_tools)
        end = max(turn.last_ns, at_ns or 0)
        if turn.superseded_ns is not None and turn.cut_short:
            end = max(end, turn.superseded_ns)
        attributes = {
            attr.END_REASON: turn.end_reason,
            **turn.attributes(content=self._scope.content),
        }
        turn.span.end(end, attributes=attributes)
        self._floor_ns = max(self._floor_ns, turn.last_ns)

    def close_called(self, at_ns: int) -> None:
        """The session is being closed, and drains nothing: turns finish what they say, and wait for nothing."""
        for turn in list(self._open):
            if turn.superseded_ns is None:
                turn.supersede(at_ns)
                turn.closed_by_session = True
                self.check(turn)

    def close_all(self, at_ns: int) -> None:
        """The session is over."""
        called = self._scope.close_called_ns or at_ns
        for turn in list(self._open):
            if not turn.quiet:
                turn.closed_by_session, turn.interrupted = True, False
            self._end(turn, called)
