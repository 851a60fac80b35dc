"""Assigns work to turns by identity: the end-of-turn decision, the speech handle, the item.

A turn opens when LiveKit commits the user's words, when the user types, or when the agent speaks unprompted. It closes
when the agent is silent and nothing in the turn can still speak, or when the user's next committed speech begins. Work
that belongs to a closed turn never moves to another turn.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING

from ... import attributes as attr
from ...containment import contain
from ...redaction import kinds
from .. import livekit_api, livekit_realtime
from ..scope import SessionScope
from ..span import SpanOwner
from .open_turns import OpenTurns
from .texts import joined
from .turn import TurnState

if TYPE_CHECKING:
    from livekit.agents import SpeechHandle
    from livekit.agents.llm import ChatMessage

__all__ = ["TurnTracker"]

_MAX_SPEECHES = 64

#: the turn whose end-of-turn decision the current task carries out; tasks that it creates inherit the value
_decided: ContextVar[Callable[[], TurnState | None] | None] = ContextVar("livekit_otel_decided_turn", default=None)


class TurnTracker(OpenTurns):
    """The turns of one session, and the assignment of work to them."""

    def __init__(self, scope: SessionScope) -> None:
        super().__init__(scope)
        self._by_speech: OrderedDict[str, TurnState] = OrderedDict()
        self._typed: str | None = None
        #: whether LiveKit is creating a speech for words that it has not committed yet
        self.preempting = False
        #: returns when the user's speech began that no turn has claimed yet
        self.speech_start: Callable[[], int | None] = lambda: None

    # --- questions ---------------------------------------------------------------------------------

    def of_speech(self, speech_id: str | None) -> TurnState | None:
        """Return the turn of a speech, open or closed."""
        return self._by_speech.get(speech_id) if speech_id is not None else None

    def cause(self) -> TurnState | None:
        """Return the turn that the current task works for, by the decision that it carries out or by its speech."""
        reference = _decided.get()
        decided = reference() if reference is not None else None
        if decided is not None and decided.open:
            return decided
        handle = livekit_api.speech_handle()
        return self.of_speech(handle.id) if handle is not None else None

    def owner(self, speech_id: str | None = None) -> SpanOwner:
        """Return the owner of a stage of this speech (or of the current task): its open turn, else the session."""
        turn = self.of_speech(speech_id) if speech_id is not None else self.cause()
        return turn if turn is not None and turn.open else self._scope

    def working(self, handle: SpeechHandle) -> TurnState | None:
        """Return the open turn for new work of a speech; a speech that outlived its turn opens another one."""
        turn = self._by_speech.get(handle.id)
        if turn is None or handle.done() or (self._scope.closing and not turn.open):
            return turn
        if turn.open and turn.superseded_ns is not None and turn.quiet:
            self._end(turn)  # it was about to end
        if not turn.open:
            before = turn
            turn = self._start(self._scope.now_ns(), has_user=False, committed=True)
            turn.span.set({attr.TURN_CONTINUES: before.index})
            self._bind(handle, turn)
        turn.add_speech(handle)
        turn.begun.add(handle.id)
        return turn

    # --- the user's side ---------------------------------------------------------------------------

    def commit(self, text: str, start_ns: int, floor_ns: int | None, answered: TurnState | None = None) -> TurnState:
        """LiveKit committed the user's words. Return the turn that they open, or that a realtime model already answers.

        Args:
            text: the words.
            start_ns: when the words began.
            floor_ns: when the user took the floor with them, if that was later.
            answered: the turn that a realtime model already answers.
        """
        turn, self._candidate = answered or self._candidate, None
        if turn is None or not turn.open:
            turn = self._start(start_ns, has_user=True, committed=True)
        turn.committed = True
        turn.at_close = self._scope.closing
        self._scope.user_said(text)
        turn.user_text = joined("", text)
        self._supersede(turn, floor_ns)
        return turn

    def drop_candidate(self) -> None:
        """The words were not committed."""
        turn, self._candidate = self._candidate, None
        if turn is not None and turn.open:
            turn.supersede(turn.span.start_ns)
            self.check(turn)

    def next_typed(self, text: str | None) -> None:
        """Bind the next speech to typed input of the user (``generate_reply(user_input=…)``)."""
        self._typed = text

    def carry_out(self, turn: TurnState | None) -> None:
        """Bind the current task to this turn: it carries out the decision that committed the turn, or continues it."""
        # LiveKit keeps the contexts of speeches until the session ends: a weak reference lets ended turns be freed
        _decided.set(weakref.ref(turn) if turn is not None else None)

    def carry_out_latest(self, turns: Sequence[TurnState]) -> None:
        """Bind the current task to the latest of these turns that the user has not ended; more may be added."""
        _decided.set(lambda: next((one for one in reversed(turns) if one.superseded_ns is None), None))

    # --- the agent's side --------------------------------------------------------------------------

    def speech_created(self, handle: SpeechHandle, *, answers_speech: bool = False) -> TurnState:
        """A speech was created. ``answers_speech``: a realtime model answers the user's speech."""
        typed, self._typed = self._typed, None
        self.created(handle.id)
        turn = self._turn_of_new_speech(typed, answers_speech=answers_speech)
        turn.goes_on()
        self._bind(handle, turn)
        turn.add_speech(handle)
        handle.add_done_callback(self._speech_done)
        return turn

    def _turn_of_new_speech(self, typed: str | None, *, answers_speech: bool) -> TurnState:
        now = self._scope.now_ns()
        if typed is not None:
            turn = self._start(now, has_user=True, committed=True, source=attr.SPEECH_END_TYPED)
            self._scope.user_said(typed)
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
        outlived = cause if cause is not None and cause.tool_outlives else None
        current = self._going_on()
        if current is not None:
            # the reply to an outlived turn's tool waits for the agent: its work opens the turn that continues that turn
            return outlived or current
        turn = self._start(now, has_user=False, committed=True)
        if outlived is not None:
            turn.span.set({attr.TURN_CONTINUES: outlived.index})
        return turn

    def open_user_turn(self) -> TurnState:
        """Open the turn of the user's speech to a realtime model, which itself decides when the user's turn is over."""
        turn = self._start(self.speech_start() or self._scope.now_ns(), has_user=True, committed=True)
        self._supersede(turn)
        return turn

    def of_users(self) -> list[TurnState]:
        """Return the open turns that have a user side, in order."""
        return [turn for turn in self._open if turn.has_user]

    def is_users(self, turn: TurnState) -> None:
        """A realtime model answered the user's words: the turn has a user, and earlier turns wait for nothing more."""
        if not turn.has_user:
            turn.has_user = True
            self._supersede(turn)

    def _candidate_turn(self) -> TurnState:
        if self._candidate is None or not self._candidate.open:
            start = self.speech_start() or self._scope.now_ns()
            self._candidate = self._start(start, has_user=True, committed=False)
        return self._candidate

    def _going_on(self) -> TurnState | None:
        """Return the turn in which the agent is at work: a speech with no other cause is part of it."""
        turn = self.latest
        if turn is None or turn.interrupted or not turn.committed or turn.superseded_ns is not None:
            return None
        return turn if turn.speeches or turn.holds else None

    def link(self, speech_id: str | None, turn: TurnState | None) -> None:
        """LiveKit reports that this speech answers this turn's words (a preemptive generation was used)."""
        if speech_id is None or turn is None:
            return
        before = self._by_speech.get(speech_id)
        if before is None or before is not turn:
            self._by_speech[speech_id] = turn
        for used in self.speech_used:
            used(speech_id)

    def adopt(self, handle: SpeechHandle, turn: TurnState) -> None:
        """Assign everything that this speech says from now on to the turn."""
        self._bind(handle, turn)
        if not handle.done():
            turn.add_speech(handle)

    def _bind(self, handle: SpeechHandle, turn: TurnState) -> None:
        self._by_speech[handle.id] = turn
        self._by_speech.move_to_end(handle.id)
        while len(self._by_speech) > _MAX_SPEECHES:
            self._by_speech.popitem(last=False)

    @contain("turn.speech_done")
    def _speech_done(self, handle: SpeechHandle) -> None:
        handle.remove_done_callback(self._speech_done)  # LiveKit keeps the handle until the session ends
        for over in self.speech_over:
            over(handle)
        turn = self._by_speech.get(handle.id)
        if turn is None or not turn.open:
            return
        refused = livekit_realtime.failure_of(handle) if self._scope.realtime else None
        if refused is not None:
            turn.failed(attr.KIND_REALTIME, refused)
        turn.speech_done(handle, closing=self._scope.closing)
        self.check(turn)

    # --- messages ----------------------------------------------------------------------------------

    def message(self, item: ChatMessage, turn: TurnState | None) -> None:
        """A message of this turn entered the conversation: add its text and LiveKit's own latencies to the turn."""
        if turn is None or not turn.open:
            return
        text = item.raw_text_content or ""
        if item.role == "user":
            turn.user_text = joined("", text) or turn.user_text
        elif item.role == "assistant":
            if self._scope.content:
                text = self._scope.redacted(text, kinds.AGENT, whole=not item.interrupted)
            turn.agent_text = joined(turn.agent_text, text)
            turn.answered = True
            # before 1.8.8, an answer is in the conversation even if its TTS failed
            turn.heard = turn.heard or turn.failure is None or not livekit_api.speaks(self._scope.session)
            if item.interrupted and not self._scope.closing and turn.failure is None:
                turn.interrupted = True
        turn.report(item.metrics or {}, of_user=item.role == "user")
