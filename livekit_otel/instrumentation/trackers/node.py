"""Nodes: own work of an overridden ``llm_node``, ``tts_node`` or ``realtime_audio_output_node``, and the user's hooks.

A node that only passes on the output of a request inside it has no span: the request has one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from .. import livekit_api
from ..agents import agent_id
from ..scope import SessionScope
from .node_run import REQUESTS, SHORTEST_NS, NodeRun, current_node
from .turn import TurnState
from .turns import TurnTracker

if TYPE_CHECKING:
    from livekit.agents import Agent, SpeechHandle

__all__ = ["NodeTracker"]

_MAX_RUNNING = 64


class NodeTracker:
    """The nodes of one session. A span is created when a run is over and its speech is used."""

    def __init__(self, scope: SessionScope, turns: TurnTracker) -> None:
        self._scope = scope
        self._turns = turns
        self._open: dict[int, NodeRun] = {}

    def begin(self, name: str, handle: SpeechHandle | None, agent: Agent | None = None) -> NodeRun:
        """Begin a run of a node for the current task's speech, or of a hook of ``agent`` without a speech."""
        turn = self._turns.working(handle) if handle is not None else self._turns.cause()
        turn = turn if turn is not None and turn.open else None
        run = NodeRun(self, name, self._scope.now_ns(), turn, handle)
        run.agent = agent_id(agent or livekit_api.agent_at_work(self._scope.session))
        if turn is not None and run.asks:
            turn.tried_again(REQUESTS[name])
            self._turns.begin(turn)
        self._open[id(run)] = run
        while len(self._open) > _MAX_RUNNING:
            self._close(next(iter(self._open.values())))
        return run

    def now_ns(self) -> int:
        return self._scope.now_ns()

    def wrote(self, handle: SpeechHandle) -> None:
        """Text of a speech begins a synthesis: the ``llm_node`` that is still running wrote it."""
        for run in [one for one in self._open.values() if one.runs_for(attr.KIND_LLM, handle)]:
            run.gave(self._scope.now_ns())

    def spoke(self) -> None:
        """A speech was created in the current task."""
        run = current_node.get()
        if run is not None:
            run.spoke(self._scope.now_ns())

    def over(self, run: NodeRun) -> None:
        """A run is over. Whether a preemptively generated reply is used may not be known yet."""
        error = run.raised
        if error is not None and run.turn is not None and run.asks:
            run.turn.failed(REQUESTS[run.name], error)
        if run.handle is None or run.handle.scheduled:
            self._emit(run)
        if run.turn is not None and run.asks:
            self._turns.finish(run.turn)

    def used(self, speech_id: str) -> None:
        """A preemptively generated speech is used."""
        for run in list(self._open.values()):
            if run.end_ns is not None and run.handle is not None and run.handle.id == speech_id:
                self._emit(run)

    def settle(self, handle: SpeechHandle) -> None:
        """A speech is over, or will never be played: nothing waited for its nodes."""
        for run in list(self._open.values()):
            if run.handle is handle and (run.end_ns is not None or not run.asks):
                self._open.pop(id(run), None)

    def turn_ends(self, turn: TurnState) -> None:
        """The turn's span is about to end: a hook that is still running is no longer awaited."""
        until = max(turn.last_ns, turn.superseded_ns or 0)
        for run in list(self._open.values()):
            if run.turn is turn and run.is_hook:
                run.done(min(max(until, run.start_ns), self._scope.now_ns()), None)

    def close(self, at_ns: int) -> None:
        for run in list(self._open.values()):
            self._close(run, at_ns)

    def _close(self, run: NodeRun, at_ns: int | None = None) -> None:
        self._open.pop(id(run), None)
        if run.end_ns is None:
            run.done(at_ns if at_ns is not None else self._scope.now_ns(), asyncio.CancelledError())

    def _emit(self, run: NodeRun) -> None:
        self._open.pop(id(run), None)
        failed = run.raised
        if run.end_ns is None or (run.own_ns < SHORTEST_NS and failed is None):
            return
        attributes: dict[str, AttributeValue] = {attr.NODE_NAME: run.name}
        if run.handle is not None:
            attributes[attr.SPEECH_ID] = run.handle.id
            offsets = [(ns - run.start_ns) / 1e9 for stretch in run.stretches for ns in stretch]
            attributes[attr.NODE_OWN_WORK] = tuple(offsets)
        if run.output_ns is not None:
            attributes[attr.NODE_FIRST_OUTPUT] = (run.output_ns - run.start_ns) / 1e9
        owner = run.turn if run.turn is not None and run.turn.open else self._scope
        span = self._scope.spans.start(attr.KIND_NODE, owner, run.start_ns, attributes)
        span.agent = run.agent
        if failed is not None:
            span.fail(failed, message=self._scope.message_of(failed))
        span.end(run.end_ns, None if run.error is None else attr.OUTCOME_CANCELLED)
