"""One run of a node or hook of the user's agent: when its own code worked, and when a request inside it did."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from ... import attributes as attr
from .turn import TurnState

if TYPE_CHECKING:
    from livekit.agents import SpeechHandle


__all__ = ["REQUESTS", "SHORTEST_NS", "NodeRun", "current_node", "is_left_over"]

#: own work shorter than this is ignored: creating streams and switching tasks takes milliseconds in a busy process
SHORTEST_NS = 10_000_000
#: two stretches with a shorter gap between them count as one
_AT_ONCE_NS = 1_000_000
#: maximum number of stretches of own work on a span
_MAX_STRETCHES = 8
#: the kind of the requests that a node makes by default
REQUESTS = {"llm_node": attr.KIND_LLM, "tts_node": attr.KIND_TTS}
_HOOKS = frozenset({"on_enter", "on_exit"})

#: the node that runs in this context, or that created the current task
current_node: ContextVar[NodeRun | None] = ContextVar("livekit_otel_node", default=None)


class _Tracker(Protocol):
    """What a run asks of the tracker that began it."""

    def now_ns(self) -> int: ...

    def over(self, run: NodeRun, /) -> None: ...


class NodeRun:
    """One run of a node, ``on_enter`` or ``on_exit``.

    Attributes:
        name: the method's name.
        turn: the turn that the run works for.
        handle: the speech that the run works for; None for ``on_enter`` and ``on_exit``.
    """

    def __init__(
        self, tracker: _Tracker, name: str, start_ns: int, turn: TurnState | None, handle: SpeechHandle | None
    ) -> None:
        self._tracker = tracker
        self.name = name
        self.turn = turn
        self.handle = handle
        self.start_ns = start_ns
        #: the agent whose node it is, if known
        self.agent: str | None = None
        self.end_ns: int | None = None
        self.output_ns: int | None = None
        self.error: BaseException | None = None
        #: whether the run began a request, and how many are running
        self.asked = False
        self._requests = 0
        self._request_failed = False
        #: when the current stretch of own work began; None while a request works
        self._since_ns: int | None = start_ns
        self.stretches: list[tuple[int, int]] = []

    def now_ns(self) -> int:
        return self._tracker.now_ns()

    @property
    def is_hook(self) -> bool:
        return self.name in _HOOKS

    @property
    def asks(self) -> bool:
        """Whether the node makes requests by default, and keeps its turn open until it is over."""
        return self.name in REQUESTS

    @property
    def own_ns(self) -> int:
        """Nanoseconds of own work that delayed the agent."""
        return sum(end - start for start, end in self.stretches)

    @property
    def raised(self) -> BaseException | None:
        """The error that the node itself raised; an error of a request inside it belongs to the request."""
        return self.error if isinstance(self.error, Exception) and not self._request_failed else None

    def runs_for(self, kind: str, handle: SpeechHandle | None) -> bool:
        """Whether a request of this kind and speech belongs to this run."""
        return self.end_ns is None and REQUESTS.get(self.name) == kind and handle is self.handle

    def request_begins(self, now_ns: int) -> None:
        """A request, or an adapter that makes requests, begins inside the node."""
        self._works_until(now_ns)
        self.asked = True
        self._requests += 1
        self._since_ns = None

    def request_over(self, now_ns: int, error: BaseException | None) -> None:
        """The request is over: the node works by itself from here on, until its first output."""
        self._requests -= 1
        self._request_failed = isinstance(error, Exception)
        if not self._requests and self._since_ns is None:
            self._since_ns = now_ns

    def heard(self, now_ns: int) -> None:
        """A synthesis inside the node returned audio: holding it back is the node's own work."""
        if self.name == "tts_node" and self._since_ns is None:
            self._since_ns = now_ns

    def waits(self, now_ns: int) -> None:
        """The node waits for text from here on."""
        if not self.asked and self.output_ns is None:
            self._works_until(now_ns)

    def got_text(self, now_ns: int) -> None:
        """The node has received text, or the end of it."""
        if not self.asked and self.output_ns is None and self._since_ns is None:
            self._since_ns = now_ns

    def gave(self, now_ns: int) -> None:
        """The node returned its first output, or text that begins another synthesis."""
        self._works_until(now_ns)
        if self.output_ns is None:
            self.output_ns = now_ns
        if self.asked and not self._requests and self.name == "llm_node":
            self._since_ns = now_ns

    def _works_until(self, now_ns: int) -> None:
        since, self._since_ns = self._since_ns, None
        if since is None or now_ns <= since or (self.output_ns is not None and self.name != "llm_node"):
            return
        if self.stretches and since - self.stretches[-1][1] < _AT_ONCE_NS:
            self.stretches[-1] = (self.stretches[-1][0], now_ns)
        elif len(self.stretches) < _MAX_STRETCHES:
            self.stretches.append((since, now_ns))

    def spoke(self, now_ns: int) -> None:
        """``on_enter`` or ``on_exit`` made the agent speak: from now on that speech is awaited, not the hook."""
        if self.is_hook and self.end_ns is None:
            self.done(now_ns, None)

    def done(self, now_ns: int, error: BaseException | None) -> None:
        """The node returned, raised, or was cancelled."""
        if self.end_ns is not None:
            return
        if self.name == "llm_node" and self.output_ns is not None:
            # work after its last words delays nobody; a node that asks no model also writes the rest of its text
            self._since_ns = None if self.asked else self.output_ns
        self._works_until(now_ns)
        self.end_ns, self.error = now_ns, error
        self._tracker.over(self)


def is_left_over() -> bool:
    """Whether the current task belongs to a run that has failed: what it still asks for repairs nothing."""
    run = current_node.get()
    return run is not None and run.end_ns is not None and run.raised is not None
