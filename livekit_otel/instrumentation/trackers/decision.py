"""A decision that the user's turn is over."""

from __future__ import annotations

import asyncio

from opentelemetry.util.types import AttributeValue

from ..end_of_turn import EndOfTurn
from .turn import TurnState

__all__ = ["Decision"]


class Decision:
    """A decision on a user's turn.

    Attributes:
        end_of_turn: LiveKit's description of it, which also identifies it.
        start_ns: when the user stopped speaking; if unknown, when the decision was made.
        source: the source of that time: ``vad``, ``stt``, ``commit`` or ``unknown``.
        agent: id of the agent that the user spoke to, if known.
        turn: the turn that the decision opened; None if the words were not committed.
    """

    def __init__(
        self, end_of_turn: EndOfTurn | None, start_ns: int, end_ns: int, source: str, agent: str | None = None
    ) -> None:
        self.end_of_turn = end_of_turn
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.source = source
        self.agent = agent
        self.turn: TurnState | None = None
        self.attributes: dict[str, AttributeValue] = {}
        #: the stage that LiveKit makes the reply wait for, and the index of that stage's turn
        self.held_by: tuple[str, int] | None = None
        #: when an earlier turn's hook or speech, which LiveKit may make the hook wait for, was last over
        self.free_ns = end_ns
        #: the task that runs on_user_turn_completed: the decision's EOUMetrics are emitted there
        self.task: asyncio.Task[object] | None = None
        self.done = False

    @property
    def unknown_to_livekit(self) -> bool:
        """Whether only the recognizer's events say when the user stopped speaking."""
        end = self.end_of_turn
        return self.source == "stt" and end is not None and end.metrics.stopped_speaking_at is None
