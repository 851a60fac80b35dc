"""The user's words as a realtime model's server transcribes them: each is of its item's turn, however late."""

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
#: a turn begins within this time of the moment that the plugin gives for its words
_SAME_NS = 50_000_000


class ServerWords:
    """Words that come from a server, and the turns that wait for them."""

    def __init__(self, scope: SessionScope, turns: TurnTracker, stt: SttTracker, server: ServerSpeech) -> None:
        self._scope = scope
        self._server = server
        self._turns = turns
        self._stt = stt
        self._by_item: OrderedDict[str, TurnState] = OrderedDict()
        #: the latest turns that may get words whose item they do not know, open or closed
        self._waiting: deque[TurnState] = deque(maxlen=_MAX_TURNS)
        #: words of speech that no turn has claimed yet: when they came, and the message
        self._early: OrderedDict[str, tuple[int, ChatMessage]] = OrderedDict()

    def claimed(self, turn: TurnState, items: list[str], start_ns: int | None) -> None:
        """A turn claims what the user said, which is in these items; words that have come by now are among it."""
        for item_id in items:
            self._bind(item_id, turn)
        self.waits(turn)
        early, self._early = self._early, OrderedDict()
        for item_id, (at_ns, message) in early.items():
            known = not items or item_id in items
            mine = known and at_ns >= (start_ns or turn.span.start_ns)
            self._final(item_id, message, turn if mine else None, at_ns)

    def waits(self, turn: TurnState) -> None:
        """Words may come for a turn, under an id that nobody knows."""
        self._waiting.append(turn)

    def committed(self, item_id: str) -> None:
        """The session committed audio, which the server calls this: of the oldest turn that has no item yet."""
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
        """Words come, maybe not all of them: the turn that they are of is a user's."""
        turn = self._by_item.get(item_id)
        if turn is None and not self._server.announces:
            turn = self._of_answer(None)
        if event.transcript and turn is not None and turn.open and (turn.has_user or turn.by_server):
            self._bind(item_id, turn)
            self._turns.is_users(turn)
            if not event.is_final:
                turn.hears(item_id, event.transcript)

    def message(self, item: ChatMessage, *, early: bool) -> None:
        """All words of an item. ``early``: they may be of speech that no turn has claimed."""
        turn, announces = self._by_item.get(item.id), self._server.announces
        turn = self._of_time(item) if turn is None and not announces else turn
        if turn is None and early:
            self._early[item.id] = (self._scope.now_ns(), item)
            if len(self._early) > _MAX_ITEMS:
                self._early.popitem(last=False)
            return
        turn = self.oldest_waiting() if turn is None and not announces else turn
        self._final(item.id, item, turn, self._scope.now_ns())

    def _of_time(self, item: ChatMessage) -> TurnState | None:
        """The turn that began when the plugin says that the user's turn did."""
        started = (item.metrics or {}).get("started_speaking_at")
        if not isinstance(started, float):
            return None
        at_ns = self._scope.clock.at_ns(started)
        near = [one for one in self._waiting if abs(one.span.start_ns - at_ns) <= _SAME_NS]
        return near[-1] if near else None

    def oldest_waiting(self) -> TurnState | None:
        """Servers transcribe in the order of speech: the oldest turn of a user that waits for words."""
        waiting = [one for one in (*self._turns.of_users(), *self._waiting) if not one.user_text and one.has_user]
        return next((one for one in waiting if one.open), None) or self._of_answer(waiting[0] if waiting else None)

    def _of_answer(self, otherwise: TurnState | None) -> TurnState | None:
        """The turn that a server answers of itself, and that may be an answer to words."""
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
        """The session is over: what no turn has claimed is no turn's."""
        early, self._early = self._early, OrderedDict()
        for item_id, (at_ns, message) in early.items():
            self._final(item_id, message, None, at_ns)
