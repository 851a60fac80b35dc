"""Final transcripts where content is redacted: their events are written without text, and corrected when it is whole.

A recognizer gives one final transcript for each pause, so that a number may lie in two of them. When the user's message
is in the conversation, all that it is made of is here: then each transcript is redacted, unless more is found in all of
them together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

from ..redaction import Redaction, kinds
from .format import Entry, EventCorrection
from .model_dump import dump

__all__ = ["Transcripts"]

_MAX_WAITING = 64

#: an event's number, and the event
Final: TypeAlias = tuple[int, Any]


class Transcripts:
    """The final transcripts that no message of the user has been made of."""

    def __init__(self) -> None:
        self._waiting: list[Final] = []

    def event(self, event: Any, number: int, redaction: Redaction) -> Callable[[], Iterator[Entry]] | None:
        """An event of this number was emitted. Returns what makes the corrections, once the words are whole."""
        kind = getattr(event, "type", None)
        if kind == "user_input_transcribed" and event.is_final:
            self._waiting.append((number, event))
        elif kind == "conversation_item_added" and getattr(event.item, "role", None) == "user":
            redaction.said(event.item.raw_text_content or "", again=True)
            waiting, self._waiting = self._waiting, []
            return partial(_corrections, waiting, redaction) if 0 < len(waiting) <= _MAX_WAITING else None
        del self._waiting[_MAX_WAITING + 1 :]
        return None


def _corrections(finals: Sequence[Final], redaction: Redaction) -> Iterator[Entry]:
    if redaction.pieces([event.transcript for _, event in finals], kinds.USER) is not None:
        for number, event in finals:
            yield EventCorrection(number, dump(event))
