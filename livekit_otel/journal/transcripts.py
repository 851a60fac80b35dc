"""Final transcripts with redaction: their events are written without text, and corrected when the text is complete.

A recognizer emits a final transcript at each pause, so a number may be split between two of them. When the user's
message enters the conversation, all of its transcripts are known: then each is redacted by itself, unless redaction
finds more in the joined text.
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
    """The final transcripts that are not part of a message of the user yet."""

    def __init__(self) -> None:
        self._waiting: list[Final] = []

    def event(self, event: Any, number: int, redaction: Redaction) -> Callable[[], Iterator[Entry]] | None:
        """An event was emitted. Return a function that yields corrections once the words are complete, or None."""
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
