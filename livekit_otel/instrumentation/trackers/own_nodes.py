"""Own work of an overridden ``stt_node``, ``transcription_node`` or ``realtime_audio_output_node``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from .. import livekit_api
from ..agents import agent_id
from ..scope import SessionScope
from ..span import SpanOwner
from .holds import Holds
from .node_run import SHORTEST_NS
from .turn import TurnState

if TYPE_CHECKING:
    from livekit.agents import SpeechHandle
    from livekit.agents.stt import SpeechEvent

__all__ = ["OwnNodes", "SttRun", "TextRun"]

STT_NODE, TEXT_NODE = "stt_node", "transcription_node"
#: an event that a node asks for and gets within this time was waiting for the node
_AT_ONCE_NS = 1_000_000
_MAX_FINALS = 32
_MAX_STRETCHES = 8
_MAX_LATE = 16


class SttRun:
    """One run of an ``stt_node``: it holds a transcript between the recognizer and the session."""

    def __init__(self, now_ns: Callable[[], int], failed: Callable[[int, BaseException], None]) -> None:
        self._now_ns = now_ns
        self._failed = failed
        self._asked_ns: int | None = None
        #: since when the node has been working without waiting for the recognizer
        self._since_ns: int | None = None
        #: final transcripts that the node got: the text, and since when the node worked
        self._finals: deque[tuple[str, int]] = deque(maxlen=_MAX_FINALS)
        #: final transcripts that it yielded: the event, and since when the node held it
        self._given: deque[tuple[SpeechEvent, int | None]] = deque(maxlen=_MAX_FINALS)
        #: the error of the recognizer inside, which has a span of its own
        self.inner: BaseException | None = None

    def asks(self) -> None:
        """The node waits for the recognizer's next event."""
        self._asked_ns = self._now_ns()

    def got(self, text: str | None) -> None:
        """The node got an event; ``text``: the words of a final transcript."""
        now = self._now_ns()
        if self._since_ns is None or self._asked_ns is None or now - self._asked_ns >= _AT_ONCE_NS:
            self._since_ns = now
        if text is not None:
            self._finals.append((text, self._since_ns))

    def gives(self, event: SpeechEvent, text: str) -> None:
        """The node yields a final transcript of these words.

        It may have changed the words, or joined several transcripts: then all that it got are in this one.
        """
        same = next((at for at, (got, _) in enumerate(self._finals) if got == text), len(self._finals) - 1)
        since = None
        for _ in range(same + 1):
            since = self._finals.popleft()[1]
        held = since is not None and self._now_ns() - since >= SHORTEST_NS
        self._given.append((event, since if held else None))

    def gave(self, event: SpeechEvent) -> int | None:
        """The session got a final transcript; return since when the node held it, or None."""
        return next((since for given, since in reversed(self._given) if given is event), None)

    def raised(self, error: BaseException) -> None:
        """The node raised, which ends it; LiveKit begins another one after an ``APIError`` alone."""
        if error is not self.inner and isinstance(error, Exception):
            since = self._since_ns if self._since_ns is not None else self._now_ns()
            self._failed(since, error)


class TextRun:
    """One run of a ``transcription_node``. Its text is not waited for until the voice of the same words is over."""

    def __init__(self, owner: OwnNodes, handle: SpeechHandle | None, turn: TurnState | None, start_ns: int) -> None:
        self._owner = owner
        self.handle = handle
        self.turn = turn
        self.start_ns = start_ns
        #: the agent whose node it is
        self.agent = owner.agent_at_work()
        #: longer periods in which the node did not yield
        self.slow: deque[tuple[int, int]] = deque(maxlen=_MAX_STRETCHES)

    def now_ns(self) -> int:
        return self._owner.now_ns()

    def returned(self) -> None:
        """The node was awaited and has returned its output: LiveKit plays no audio before that."""
        self._owner.text_returned(self)

    def worked(self, since_ns: int) -> None:
        """The node worked, or waited for text, and then yielded."""
        now = self.now_ns()
        if now - since_ns >= SHORTEST_NS:
            self.slow.append((since_ns, now))

    def over(self) -> None:
        """The node's text is complete."""
        self._owner.text_over(self)

    def raised(self, error: BaseException) -> None:
        self._owner.failed(TEXT_NODE, self.start_ns, error, self)


class OwnNodes:
    """Makes the ``node`` spans of these runs; nothing is made of a run that nobody waited for."""

    def __init__(self, scope: SessionScope, holds: Holds) -> None:
        self._scope = scope
        self._holds = holds
        #: text that was late: of use if more of the agent's voice follows in the turn
        self._late: deque[tuple[TextRun, list[tuple[int, int]]]] = deque(maxlen=_MAX_LATE)
        #: when the latest playout began
        self._voice_ns = 0

    def now_ns(self) -> int:
        return self._scope.now_ns()

    def agent_at_work(self) -> str | None:
        """Return the ID of the agent that the current task works for, if known."""
        return agent_id(livekit_api.agent_at_work(self._scope.session))

    def stt_run(self) -> SttRun:
        return SttRun(self.now_ns, lambda since, error: self.failed(STT_NODE, since, error))

    def held(self, owner: SpanOwner, since_ns: int, end_ns: int, agent: str | None) -> None:
        """The ``stt_node`` of ``agent`` held a transcript of this owner's from ``since_ns`` to ``end_ns``."""
        since = max(since_ns, owner.span.start_ns)
        if end_ns - since >= SHORTEST_NS:
            self._emit(STT_NODE, owner, [(since, end_ns)], agent=agent)

    def text_returned(self, run: TextRun) -> None:
        now = self.now_ns()
        if now - run.start_ns >= SHORTEST_NS and self._voice_ns < run.start_ns:
            self._emit(TEXT_NODE, self._owner(run.turn), [(run.start_ns, now)], run)

    def text_over(self, run: TextRun) -> None:
        ended = self._holds.played(run.handle.id) if run.handle is not None else None
        if ended is None or ended <= run.start_ns:
            return  # the voice is not over: nobody waits for the text
        late = [(max(since, ended), until) for since, until in run.slow if until - ended >= SHORTEST_NS]
        if late:
            self._late.append((run, late))

    def voice_starts(self, turn: TurnState | None) -> None:
        """A playout begins: it waited for the text before it in the same turn."""
        self._voice_ns = self.now_ns()
        for run, late in list(self._late):
            if run.turn is turn:
                self._late.remove((run, late))
                self._emit(TEXT_NODE, self._owner(turn), late, run)

    def turn_ends(self, turn: TurnState) -> None:
        self._late = deque((one for one in self._late if one[0].turn is not turn), maxlen=_MAX_LATE)

    def failed(self, name: str, since_ns: int, error: BaseException, run: TextRun | None = None) -> None:
        """A node raised in its own code."""
        if isinstance(error, Exception):
            owner = self._owner(run.turn if run is not None else None)
            self._emit(name, owner, [(since_ns, self.now_ns())], run, error=error)

    def _owner(self, turn: TurnState | None) -> SpanOwner:
        return turn if turn is not None and turn.open else self._scope

    def _emit(
        self,
        name: str,
        owner: SpanOwner,
        stretches: list[tuple[int, int]],
        run: TextRun | None = None,
        *,
        agent: str | None = None,
        error: BaseException | None = None,
    ) -> None:
        start, end = stretches[0][0], stretches[-1][1]
        offsets = tuple((ns - start) / 1e9 for stretch in stretches for ns in stretch)
        attributes: dict[str, AttributeValue] = {attr.NODE_NAME: name, attr.NODE_OWN_WORK: offsets}
        if run is not None and run.handle is not None:
            attributes[attr.SPEECH_ID] = run.handle.id
        if error is None:
            attributes[attr.NODE_FIRST_OUTPUT] = (end - start) / 1e9
        span = self._scope.spans.start(attr.KIND_NODE, owner, start, attributes)
        span.agent = run.agent if run is not None else agent
        if error is not None:
            span.fail(error, message=self._scope.message_of(error))
        span.end(end)
