"""Agent tasks: the code that awaits a task, and the turn that this code works for when it continues.

A tool, or an agent's ``on_enter``, that awaits an ``AgentTask`` is silent until the user has answered the task. The
awaiting code then continues, and its output answers the words that completed the task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ...containment import contain
from .. import livekit_api
from .tool import ToolCall, ToolTracker
from .turn import TurnState
from .turns import TurnTracker

if TYPE_CHECKING:
    from livekit.agents import AgentTask

__all__ = ["TaskTracker"]


class _Awaiting:
    """The code that awaits a task: the tool call that it runs in, if any, and the asyncio task."""

    __slots__ = ("call", "task")

    def __init__(self, call: ToolCall | None, task: asyncio.Task[Any] | None) -> None:
        self.call = call
        self.task = task

    @property
    def holds(self) -> tuple[Hashable, ...]:
        """The reasons that keep open the turn that this code runs in."""
        return tuple(one for one in (self.call, self.task) if one is not None)


class TaskTracker:
    """The agent tasks of one session."""

    def __init__(self, turns: TurnTracker, tools: ToolTracker) -> None:
        self._turns = turns
        self._tools = tools
        self._awaiting: WeakKeyDictionary[AgentTask[Any], _Awaiting] = WeakKeyDictionary()
        self._completed_in: WeakKeyDictionary[AgentTask[Any], TurnState] = WeakKeyDictionary()
        #: the turn that an asyncio task keeps open, because an agent task that it awaited was completed there
        self._resumed: WeakKeyDictionary[asyncio.Task[Any], TurnState] = WeakKeyDictionary()

    def awaited(self, agent: AgentTask[Any], call: ToolCall | None) -> None:
        """The current code awaits a task."""
        self._awaiting[agent] = _Awaiting(call, asyncio.current_task())

    def entered(self, agent: AgentTask[Any]) -> None:
        """The task has become the active agent: the code that awaits it waits for the user."""
        awaiting = self._awaiting.get(agent)
        if awaiting is not None:
            self._turns.asks(awaiting.holds, livekit_api.task_done(agent))

    def completed(self, agent: AgentTask[Any]) -> None:
        """A task is completed here: the code that awaited it continues, for the turn that completed it."""
        awaiting = self._awaiting.pop(agent, None)
        if awaiting is None:
            return
        turn = self._turns.cause()
        if turn is None or not turn.open:
            self._turns.asks(awaiting.holds, None)
            return
        self._completed_in[agent] = turn
        if awaiting.call is not None and not awaiting.call.span.ended:
            self._tools.hand_over(awaiting.call, turn)
        if awaiting.task is not None and not awaiting.task.done():
            self._resume(awaiting.task, turn)

    def _resume(self, task: asyncio.Task[Any], turn: TurnState) -> None:
        before = self._resumed.get(task)
        self._resumed[task] = turn
        if before is None:
            task.add_done_callback(contain("task.over")(self._over))
        elif before is not turn:
            self._turns.release(before, task)
        self._turns.hold(turn, task)

    def _over(self, task: asyncio.Task[Any]) -> None:
        turn = self._resumed.pop(task, None)
        if turn is not None:
            self._turns.release(turn, task)

    def goes_on(self, agent: AgentTask[Any]) -> None:
        """The code that awaited a task continues here: its speech and its tasks belong to that turn."""
        turn = self._completed_in.pop(agent, None)
        if turn is not None and turn.open:
            self._turns.carry_out(turn)
