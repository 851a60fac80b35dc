"""The user's speech before it is committed: VAD's segments and the transcripts, assigned to a turn together."""

from __future__ import annotations

from ..scope import SessionScope
from .segments import Claim
from .server_words import ServerWords
from .stt import SttTracker
from .texts import joined
from .turn import TurnState
from .turns import TurnTracker
from .vad import VadTracker

__all__ = ["Utterance"]


class Utterance:
    """The user's speech and words that belong to no turn yet."""

    def __init__(self, scope: SessionScope, vad: VadTracker, stt: SttTracker, turns: TurnTracker) -> None:
        self._scope = scope
        self._vad = vad
        #: transcripts of a realtime model's server
        self.server_words = ServerWords(scope, turns, stt, vad.server)
        self._stt = stt
        self._turns = turns
        #: uncommitted words for which LiveKit is creating a reply
        self._ahead = ""
        turns.speech_start = self._began_ns
        turns.user_spoke = vad.latest

    def _began_ns(self) -> int | None:
        words = self._stt.spoken(self._ahead)
        floor = self._turns.floor_ns
        return self._vad.began_ns(floor if words is None else min(floor, words[0]))

    def ahead(self, text: str | None) -> None:
        """LiveKit creates a reply to words that are not committed yet; None: it is done."""
        self._ahead = text or ""
        self._turns.preempting = text is not None

    @property
    def stopped_ns(self) -> int | None:
        """When the user stopped speaking, if the recognizer alone detects that."""
        return self._stt.alone.stopped_ns

    def claim(self, text: str = "", *, cut: bool = False) -> Claim:
        """Claim the speech of the words that are being committed. ``cut``: including speech that has not ended.

        LiveKit keeps words that it did not commit (too few to interrupt with), and joins them with later words.
        """
        floor, follow = self._turns.floor_ns, self._stt.recognitions.expected
        return self._vad.claim(floor, words_ns=self._stt.spoken(text), words_follow=follow, cut=cut)

    def give(self, claim: Claim, turn: TurnState) -> None:
        """Assign the claimed speech and its words to this turn."""
        self._vad.give(claim, turn)
        self._stt.give(turn)
        if self._scope.realtime:
            self.server_words.claimed(turn, claim.items, claim.start_ns)

    def server_item(self, item_id: str | None) -> None:
        """A realtime model's server made an item: of the user's audio, or (None) of something else."""
        server = self._vad.server
        server.announces = True
        if item_id is None:
            return
        if not server.item(item_id, self._scope.now_ns()):
            self.server_words.committed(item_id)
        elif (began := server.start_ns()) is not None:
            self._turns.user_has_floor(began)

    def recognized(self) -> None:
        """The session's recognizer has words of a turn that a realtime model's server ends; they may be late."""
        words = self._stt.unclaimed
        if not words or self._vad.unclaimed:
            return  # these words are claimed with the speech
        turn = self.server_words.oldest_waiting()
        if turn is None:
            return
        self._scope.user_said(words)
        if turn.open:
            turn.user_text = joined(turn.user_text, words)
            self._stt.give(turn)
        else:
            self._stt.discard(turn.speech_ids[-1] if turn.speech_ids else None)

    def answered(self, turn: TurnState) -> None:
        """A realtime model speaks unprompted: speech detected earlier belongs to no turn. Words may follow."""
        self._vad.server.forget()
        self.server_words.waits(turn)

    def release(self, claim: Claim) -> None:
        """Assign the claimed speech to no turn."""
        self._vad.release(claim)

    def open_turn(self) -> TurnState:
        """Open the turn of the user's speech to a realtime model, which itself decides when the user's turn is over."""
        turn = self._turns.open_user_turn()
        self.give_heard(turn)
        return turn

    def give_heard(self, turn: TurnState) -> None:
        """A realtime model answers the user's speech, or fails to."""
        claim = self.claim()
        turn.speech_end_source = claim.source
        words = self._stt.unclaimed
        if words and not turn.user_text:
            self._scope.user_said(words)
            turn.user_text = joined("", words)
        self.give(claim, turn)

    def discard(self) -> None:
        """Drop the user's speech: it will not be committed."""
        self._turns.drop_candidate()
        self._vad.discard()
        self._stt.discard()
