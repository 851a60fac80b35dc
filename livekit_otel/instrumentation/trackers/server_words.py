"""Transcripts of the user's speech from a realtime model's server: each belongs to its item's turn, however late."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING

from ... import attributes as attr
from ...redaction import kinds
from ..scope import SessionScope
from ..span import SpanOwner
from ..values import clip
from .server_speech import ServerSpeech
from .stt import SttTracker
from .transcript import Transcript
from .turn import TurnState
from .turns import TurnTracker

if TYPE_CHECKING:
    from livekit.agents import UserInputTranscribedEvent
    from livekit.agents.llm import ChatMessage

__all__ = ["ServerWords"]

_MAX_ITEMS = 64
_MAX_TURNS = 16
#: maximum distance between the start of a turn and the time that the plugin reports for its words
_SAME_NS = 50_000_000


class ServerWords:
    """Transcripts from a server, and the turns that wait for them."""

    def __init__(self, scope: SessionScope, turns: TurnTracker, stt: SttTracker, server: ServerSpeech) -> None:
        self._scope = scope
        self._server = server
        self._turns = turns
        self._stt = stt
        self._by_item: OrderedDict[str, TurnState] = OrderedDict()
        #: the latest turns, open or closed, that may get words of an unknown item
        self._waiting: deque[TurnState] = deque(maxlen=_MAX_TURNS)
        #: words of unclaimed speech, by item id: their arrival time and the message
        self._early: OrderedDict[str, tuple[int, ChatMessage]] = OrderedDict()

    def claimed(self, turn: TurnState, items: list[str], start_ns: int | None) -> None:
        """A turn claims the user's speech in these items, and the matching words that have already arrived."""
        for item_id in items:
            self._bind(item_id, turn)
        self.waits(turn)
        early, self._early = self._early, OrderedDict()
        for item_id, (at_ns, message) in early.items():
            known = not items or item_id in items
            mine = known and at_ns >= (start_ns or turn.span.start_ns)
            self._final(item_id, message, turn if mine else None, at_ns)

    def waits(self, turn: TurnState) -> None:
        """Words of an unknown item may arrive for this turn."""
        self._waiting.append(turn)

    def committed(self, item_id: str) -> None:
        """The session committed audio as this item: it belongs to the oldest user turn without an item."""
        taken = set(map(id, self._by_item.values()))
        for turn in self._turns.of_users():
            if id(turn) not in taken and turn.speech_end_source != attr.SPEECH_END_TYPED:
                self._bind(item_id, turn)
                return

    def _bind(self, item_id: str, turn: TurnState) -> None:
        self._by_item[item_id] = turn
        while len(self._by_item) > _MAX_ITEMS:
            self._by_item.popitem(last=False)

    def transcript(self, event: UserInputTranscribedEvent, item_id: str) -> None:
        """Words arrived, possibly not all of them: their turn has a user."""
        turn = self._by_item.get(item_id)
        if turn is None and not self._server.announces:
            turn = self._of_answer(None)
        if event.transcript and turn is not None and turn.open and (turn.has_user or turn.by_server):
            self._bind(item_id, turn)
            self._turns.is_users(turn)
            if not event.is_final:
                turn.hears(item_id, event.transcript)

    def message(self, item: ChatMessage, *, early: bool) -> None:
        """All words of an item arrived. ``early``: they may belong to unclaimed speech."""
        turn, announces = self._by_item.get(item.id), self._server.announces
        turn = self._of_time(item) if turn is None and not announces else turn
        if turn is None and early:
            self._early[item.id] = (self._scope.now_ns(), item)
            if len(self._early) > _MAX_ITEMS:
                self._early.popitem(last=False)
            if (began := self._server.start_ns()) is not None:
                self._turns.user_has_floor(began)
            return
        turn = self.oldest_waiting() if turn is None and not announces else turn
        self._final(item.id, item, turn, self._scope.now_ns())

    def session_replaced(self) -> None:
        """Another agent has a session of its own with the model: words of the last one that have not come never do."""
        self._server.replaced(words_came=bool(self._early))

    def _of_time(self, item: ChatMessage) -> TurnState | None:
        """Return the turn that began at the time that the plugin reports for the user's turn."""
        started = (item.metrics or {}).get("started_speaking_at")
        if not isinstance(started, float):
            return None
        at_ns = self._scope.clock.at_ns(started)
        near = [one for one in self._waiting if abs(one.span.start_ns - at_ns) <= _SAME_NS]
        return near[-1] if near else None

    def oldest_waiting(self) -> TurnState | None:
        """Return the oldest user turn that waits for words: servers transcribe in the order of speech."""
        waiting = [one for one in (*self._turns.of_users(), *self._waiting) if not one.user_text and one.has_user]
        return next((one for one in waiting if one.open), None) or self._of_answer(waiting[0] if waiting else None)

    def _of_answer(self, otherwise: TurnState | None) -> TurnState | None:
        """Return the turn that a server began by itself, if the turn may be an answer to the user's words."""
        latest = self._waiting[-1] if self._waiting else None
        return latest if latest is not None and latest.open and not latest.user_text else otherwise

    def _final(self, item_id: str, item: ChatMessage, turn: TurnState | None, at_ns: int) -> None:
        text = item.raw_text_content or ""
        owner: SpanOwner = self._scope
        start = at_ns
        if turn is not None:
            start = turn.span.start_ns
            owner = turn if turn.open else owner
            if turn.open:
                self._turns.is_users(turn)
                turn.hears(item_id, text, final=True)
                turn.report(item.metrics or {}, of_user=True)
        if text:
            transcript = Transcript(start, self._scope.now_ns(), text, {})
            if turn is not None and turn.speech_ids and owner is self._scope:
                transcript.attributes[attr.SPEECH_ID] = turn.speech_ids[-1]
            if self._scope.content and (shown := self._scope.redacted(text, kinds.USER)):
                transcript.attributes[attr.STT_TEXT] = clip(shown)
            self._stt.take(transcript, owner)

    def close(self) -> None:
        """The session is over: words that no turn has claimed belong to no turn."""
        early, self._early = self._early, OrderedDict()
        for item_id, (at_ns, message) in early.items():
            self._final(item_id, message, None, at_ns)
