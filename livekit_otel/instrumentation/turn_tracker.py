"""Which exchange is going on: opens and closes turns, and says which turn a stage belongs to.

A turn opens on evidence of an exchange: words of the user, a user's text, or a speech of the agent that answers nothing
open. It closes when the user's side is settled and every speech of it is done.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context

from .. import attributes as attr
from .guard import contain
from .turn import TEXT_LIMIT, Turn, joined
from .values import now_ns

if TYPE_CHECKING:
    from .session import SessionState

_MAX_SPEECHES = 32
_MAX_TURN_SPEECHES = 64
_MAX_OPEN = 16
_HANDOFF_GRACE = 5.0
_REPORTED = frozenset(attr.REPORTED_METRICS)
#: when somebody spoke: reported on both sides, and told of the user's
_SPOKEN = frozenset({"started_speaking_at", "stopped_speaking_at"})


class TurnTracker:
    """The turns of one session."""

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._count = 0
        self._open: list[Turn] = []
        self._by_speech: OrderedDict[str, Turn] = OrderedDict()
        self._user_input: str | None = None

    # --- questions ---------------------------------------------------------------------------------

    @property
    def pending(self) -> Turn | None:
        """The turn whose user side waits for an answer."""
        for turn in reversed(self._open):
            if turn.has_user and not turn.answered:
                return turn
        return None

    @property
    def latest(self) -> Turn | None:
        return self._open[-1] if self._open else None

    @property
    def speaking(self) -> Turn | None:
        """The turn whose voice is heard now."""
        return self._speaking_turn()

    def of_speech(self, speech_id: str | None) -> Turn | None:
        """The open turn that a speech works for. A speech can outlive its turn: then it answers the current one."""
        if speech_id is None:
            return None
        turn = self._by_speech.get(speech_id)
        if turn is not None and not turn.open:
            current = self.pending or self.latest
            if current is not None:
                self._by_speech[speech_id] = current
                if len(current.speech_ids) < _MAX_TURN_SPEECHES and speech_id not in current.speech_ids:
                    current.speech_ids.append(speech_id)
                return current
        return turn

    def working(self, handle: Any) -> Turn | None:
        """The turn that new work of a speech belongs to; a speech that outlived every turn opens another."""
        turn = self.of_speech(handle.id)
        if turn is not None and not turn.open and not handle.done():
            turn = self._start(now_ns(), has_user=False, committed=True)
            turn.speech_ids.append(handle.id)
            self._by_speech[handle.id] = turn
        if turn is not None and turn.open and not handle.done():
            turn.active.setdefault(handle.id, handle)
            turn.awaits_handoff = False
        return turn

    def parent_of(self, speech_id: str | None) -> otel_context.Context:
        """Where a stage of this speech goes: its turn, or the session."""
        turn = self.of_speech(speech_id)
        return turn.context if turn is not None else self._state.context

    # --- the user's side ---------------------------------------------------------------------------

    def user_spoke(self, text: str, *, final: bool) -> Turn | None:
        """Words of the user arrived (interim or final); None when they come after their turn has ended."""
        turn = self.pending
        if turn is None or turn.committed:
            if self._state.realtime and not self._state.vad.unclaimed:
                return self._late_words(text, final=final)
            turn = self.open_user_turn(committed=False)
        if final:
            turn.user_text = joined(turn.user_text, text)
        return turn

    def _late_words(self, text: str, *, final: bool) -> Turn | None:
        """A realtime model may transcribe after it has answered: the words belong to a turn that has none yet."""
        for turn in self._open:
            if turn.has_user and not turn.user_text:
                if final:
                    turn.user_text = text[:TEXT_LIMIT]
                return turn
        return None

    def open_user_turn(self, *, committed: bool, start_ns: int | None = None) -> Turn:
        """A turn that begins with the user: at the beginning of the speech that nobody claimed yet."""
        speech_ns = self._state.vad.claim()
        start = start_ns if start_ns is not None else speech_ns if speech_ns is not None else now_ns()
        self._settle_before_new()
        turn = self._start(start, has_user=True, committed=committed)
        self._state.vad.adopt(turn)
        return turn

    def next_user_input(self, text: str | None) -> None:
        """The next speech is created for a typed input of the user (``generate_reply(user_input=…)``)."""
        self._user_input = text

    def committed(self, turn: Turn) -> None:
        turn.committed = True

    def hook_done(self, turn: Turn) -> None:
        """``on_user_turn_completed`` is over; without a speech by now, nothing will answer."""
        turn.hook_running = False
        coming = any(handle.scheduled for handle in turn.active.values())
        if turn.open and turn.committed and not coming and not turn.answered:
            turn.answered = True
            self._close(turn, now_ns())

    # --- the agent's side --------------------------------------------------------------------------

    def speech_created(self, handle: Any) -> Turn:
        """A speech of the agent came into being; it answers what is pending, or goes on, or begins an exchange."""
        text, self._user_input = self._user_input, None
        turn: Turn | None
        if text is not None:
            turn = self.open_user_turn(committed=True, start_ns=now_ns())
            turn.user_text = text
        else:
            turn = self.pending or self._going_on()
            if turn is None and self._state.vad.claimable:
                turn = self.open_user_turn(committed=True)
        if turn is None:
            turn = self._start(now_ns(), has_user=False, committed=True)
        turn.awaits_handoff = False
        turn.quiet_ns = None
        turn.active[handle.id] = handle
        if len(turn.speech_ids) < _MAX_TURN_SPEECHES:
            turn.speech_ids.append(handle.id)
        self._by_speech[handle.id] = turn
        while len(self._by_speech) > _MAX_SPEECHES:
            self._by_speech.popitem(last=False)
        handle.add_done_callback(self._speech_done)
        return turn

    def _going_on(self) -> Turn | None:
        turn = self.latest
        if turn is None or turn.interrupted or (not turn.active and not turn.awaits_handoff):
            return None
        return turn

    @contain("turn.speech_done")
    def _speech_done(self, handle: Any) -> None:
        now = now_ns()
        handle.remove_done_callback(self._speech_done)  # LiveKit keeps the handle as long as the session
        self._state.release_speech(handle)
        turn = self._by_speech.get(handle.id)
        for one in self._open:
            one.active.pop(handle.id, None)
        if turn is None or not turn.open:
            return
        if handle.scheduled:
            turn.committed = turn.answered = True
            if handle.interrupted and self._state.closing:
                turn.closed_by_session = True
            elif handle.interrupted:
                turn.interrupted = True
        self.close_if_quiet(turn, now)

    def close_if_quiet(self, turn: Turn, at_ns: int) -> None:
        """End the turn if nothing of it goes on."""
        if not turn.open or turn.active or turn.hook_running or not turn.committed or not turn.answered:
            return
        if turn.used_tools and not turn.heard and not turn.closed_by_session:
            # nothing was said yet: a task that is done hands back to the agent that awaits it, and that one speaks
            turn.used_tools = False
            self._await_handoff(turn)
        if turn.awaits_handoff:
            turn.quiet_ns = at_ns
            return
        self._close(turn, at_ns)

    def handoff(self) -> None:
        """Another agent takes over: what it says first still belongs to the exchange that led to it."""
        turn = self.latest
        if turn is not None and turn.open and turn.committed:
            self._await_handoff(turn)

    def _await_handoff(self, turn: Turn) -> None:
        turn.awaits_handoff = True
        self._state.later(_HANDOFF_GRACE, lambda: self._handoff_over(turn))

    def _handoff_over(self, turn: Turn) -> None:
        if turn.awaits_handoff:
            turn.awaits_handoff = False
            self.close_if_quiet(turn, turn.quiet_ns or now_ns())

    # --- what is said ------------------------------------------------------------------------------

    def message(self, item: Any) -> None:
        """A ChatMessage entered the conversation: its words and LiveKit's own latencies go on the turn."""
        if getattr(item, "type", None) != "message":
            return
        turn = self._listening_turn() if item.role == "user" else self._speaking_turn()
        if turn is None or not turn.open:
            return
        text = item.raw_text_content or ""
        if item.role == "user":
            turn.user_text = text or turn.user_text
        elif item.role == "assistant":
            turn.agent_text = joined(turn.agent_text, text)
            turn.answered = turn.heard = True
            if item.interrupted and not self._state.closing:
                turn.interrupted = True
        for name, number in (item.metrics or {}).items():
            if name in _REPORTED and isinstance(number, (int, float)) and (item.role == "user" or name not in _SPOKEN):
                turn.reported.setdefault(name, float(number))

    def _listening_turn(self) -> Turn | None:
        if self._state.realtime:
            return next((turn for turn in self._open if turn.has_user and not turn.user_text), self.pending)
        return self.pending or self.latest

    def _speaking_turn(self) -> Turn | None:
        return self.of_speech(self._state.current_speech_id()) or self.latest

    def agent_speaks(self) -> None:
        """The agent's voice is heard: the user's side is settled, what the user says now is another exchange."""
        turn = self._speaking_turn()
        if turn is not None and turn.open:
            turn.committed = turn.answered = turn.heard = turn.voiced = True

    # --- spans -------------------------------------------------------------------------------------

    def _start(self, start_ns: int, *, has_user: bool, committed: bool) -> Turn:
        stage = self._state.spans.start(
            attr.KIND_TURN,
            self._state.context,
            start_ns,
            {attr.TURN_INDEX: self._count, attr.TURN_USER_INITIATED: has_user},
        )
        turn = Turn(self._count, stage, has_user=has_user, committed=committed)
        turn.agent_name = self._state.agent_name
        self._count += 1
        self._open.append(turn)
        while len(self._open) > _MAX_OPEN:
            self._close(self._open[0], now_ns())
        return turn

    def _settle_before_new(self) -> None:
        """A new exchange of the user begins: what came before is over, unless the agent is still at it."""
        if self._state.agent_busy:
            return
        now = now_ns()
        for turn in list(self._open):
            if turn.has_user and not turn.answered and (turn.active or turn.hook_running):
                continue
            self._close(turn, turn.quiet_ns or turn.heard_until_ns or now)

    def _close(self, turn: Turn, at_ns: int, *, closed_by_session: bool = False) -> None:
        if not turn.open:
            return
        if turn in self._open:
            self._open.remove(turn)
        self._state.before_turn_ends(turn)
        if closed_by_session:
            turn.closed_by_session, turn.interrupted = True, False
        if turn.failure is not None and not turn.voiced:
            turn.stage.fail(turn.failure, content=self._state.content)
        attributes = {attr.END_REASON: turn.end_reason(), **turn.attributes(content=self._state.content)}
        turn.stage.end(at_ns, attributes=attributes)

    def close_all(self, at_ns: int) -> None:
        """The session is over."""
        for turn in list(self._open):
            quiet = turn.answered and not turn.active
            self._close(turn, turn.quiet_ns or at_ns, closed_by_session=not quiet)
