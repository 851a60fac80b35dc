"""One turn while it is open: its state, and the attributes that its span gets at the end."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from ...journal import Attributes
from ...redaction import kinds
from ..scope import SessionScope
from ..span import PipelineSpan
from ..values import clip
from .models import TurnModels
from .texts import TEXT_LIMIT, joined

if TYPE_CHECKING:
    from livekit.agents import SpeechHandle

__all__ = ["SERVER", "TurnState"]

_MAX_SPEECHES = 64
_REPORTED = frozenset(attr.REPORTED_METRICS)
#: times of speech, which LiveKit reports for both sides; the turn keeps the user's
_SPOKEN = frozenset({"started_speaking_at", "stopped_speaking_at"})
#: kind of a failure: an error of a realtime model's server that belongs to no response
SERVER = "server"
#: a failure of these kinds does not count if the turn was answered anyway
_MADE_UP_FOR = frozenset({attr.KIND_STT, SERVER})


class TurnState:
    """An open turn.

    Attributes:
        index: number of the turn in the session.
        span: the turn's span.
        has_user: whether the turn has user input, spoken or typed.
        committed: whether the user's side is settled (True without one).
        speech_ids: ids of the turn's speech handles, at most 64.
        speeches: the speech handles that are not done.
        holds: reasons other than a speech why the turn may still speak: a hook, a tool, a handoff, a deferred reply.
            If the hold waits for the user in an agent task, its value returns whether that task is done; else None.
        working: number of open decisions, requests and playouts.
        answered: whether a speech of the turn was scheduled.
        heard: whether the agent's voice or text came out.
        last_ns: end of the turn's latest stage, except for tools.
        superseded_ns: when the user began to speak in the next turn.
        released_ns: when the latest of ``holds`` was gone.
        begun: ids of the speeches for which a request, a node or a playout has begun.
        open_tools: running tools, with the id of the speech that called each.
        deciding: whether ``on_user_turn_completed`` is running for the turn.
    """

    #: whether LiveKit committed the words only because the session was closing
    at_close = False

    def __init__(self, index: int, span: PipelineSpan, *, has_user: bool, committed: bool) -> None:
        self.index = index
        self.span = span
        self.has_user = has_user
        self.committed = committed
        self.speech_ids: list[str] = []
        self.speeches: dict[str, SpeechHandle] = {}
        self.holds: dict[Hashable, Callable[[], bool] | None] = {}
        self.begun: set[str] = set()
        #: ids of interrupted speeches that another speech of the turn followed
        self.replaced: set[str] = set()
        self.working = 0
        self.answered = False
        self.heard = False
        self.used_tools = False
        self.interrupted = False
        self.closed_by_session = False
        self.last_ns = span.start_ns
        self.superseded_ns: int | None = None
        self.open_tools: dict[PipelineSpan, str] = {}
        self.tool_ended_ns = 0
        self.released_ns = 0
        self.tool_outlives = False
        self.deciding = False
        #: whether a realtime model's server began the turn: the user's words may still arrive
        self.by_server = False
        #: which source determined when the user stopped speaking
        self.speech_end_source: str | None = None
        #: whether something in the turn could still speak when the user took the floor
        self.cut_short = False
        self.user_text = ""
        #: texts that a realtime model's server transcribed, by item id, and whether each is final
        self._heard: dict[str, tuple[str, bool]] = {}
        #: already redacted, if the user's options ask for it
        self.agent_text = ""
        #: text sent to the TTS
        self.synthesized = ""
        self.models = TurnModels()
        self.agent_name: str | None = None
        self.reported: dict[str, float] = {}
        self._failures: dict[str, BaseException] = {}

    @property
    def context(self) -> otel_context.Context:
        return self.span.context

    @property
    def whose(self) -> Attributes:
        """Attributes of the turn for its stages."""
        said: Attributes = {attr.TURN_INDEX: self.index}
        if self.agent_name:
            said[attr.AGENT_NAME] = clip(self.agent_name)
        return said

    @property
    def open(self) -> bool:
        return not self.span.ended

    @property
    def quiet(self) -> bool:
        """Whether nothing in the turn is going to speak."""
        if self.working:
            return False
        if self.superseded_ns is not None:
            return not self.speeches
        return not self.at_work and self.only_tools

    @property
    def only_tools(self) -> bool:
        """Whether all speeches of the turn wait for their tools."""
        return not self.speeches.keys() - set(self.open_tools.values())

    @property
    def at_work(self) -> bool:
        """Whether something in the turn may speak without waiting for the user's words."""
        return any(done is None or done() for done in self.holds.values())

    def supersede(self, at_ns: int) -> None:
        """The user has the floor: the turn finishes its current speech and waits for nothing more."""
        self.superseded_ns = at_ns
        self.cut_short = self.at_work or self.released_ns > at_ns
        if not self.working:
            self.leave_tools()

    def leave_tools(self) -> None:
        """The user has the floor: speeches that wait for their tools no longer keep the turn open."""
        # LiveKit interrupts the others or lets them end
        for speech_id in self.open_tools.values():
            self.speeches.pop(speech_id, None)

    def stage_ended(self, span: PipelineSpan) -> None:
        """A stage of the turn has ended."""
        if span.kind == attr.KIND_TOOL:
            self.open_tools.pop(span, None)
            self.tool_ended_ns = max(self.tool_ended_ns, span.end_ns or 0)
        elif span.end_ns is not None:
            self.last_ns = max(self.last_ns, span.end_ns)

    def end_ns(self, at_ns: int = 0) -> int:
        """When the turn ended: with its latest stage, and not before ``at_ns``."""
        end, superseded = max(self.last_ns, at_ns), self.superseded_ns
        if superseded is None or self.tool_ended_ns <= superseded:
            end = max(end, self.tool_ended_ns)
        if superseded is not None and (self.cut_short or self.closed_by_session):
            # the turn was open until then, even if no stage was running
            end = max(end, superseded)
        return end

    def failed(self, kind: str, error: BaseException) -> None:
        """A stage of the turn failed for good. The failure stands unless another stage of that kind begins."""
        self._failures[kind] = error

    def tried_again(self, kind: str) -> None:
        self._failures.pop(kind, None)

    @property
    def failure(self) -> BaseException | None:
        """The error that kept the turn from answering, or from completing the answer."""
        for kind, error in self._failures.items():
            if kind not in _MADE_UP_FOR or not self.heard:
                return error
        return None

    @property
    def end_reason(self) -> str:
        """The reason why the turn ended: the first that applies."""
        if self.failure is not None:
            return attr.END_FAILED
        if self.closed_by_session:
            return attr.END_SESSION_CLOSED
        if self.interrupted or self.cut_short:
            return attr.END_INTERRUPTED
        if self.has_user and not self.heard:
            return attr.END_SESSION_CLOSED if self.at_close else attr.END_NO_REPLY
        return attr.END_COMPLETED

    def goes_on(self) -> None:
        """Another speech follows in this turn: speeches that code has interrupted to make room for it do not count."""
        self.replaced.update(handle.id for handle in self.speeches.values() if handle.interrupted)

    def add_speech(self, handle: SpeechHandle) -> None:
        self.speeches[handle.id] = handle
        if handle.id not in self.speech_ids and len(self.speech_ids) < _MAX_SPEECHES:
            self.speech_ids.append(handle.id)

    def speech_done(self, handle: SpeechHandle, *, closing: bool) -> None:
        """A speech of the turn is over. ``closing``: because the session is being closed."""
        self.speeches.pop(handle.id, None)
        if not handle.scheduled:
            return
        self.answered = True
        if handle.interrupted and closing and not self.interrupted:
            self.closed_by_session = True
        elif handle.interrupted and handle.id not in self.replaced:
            self.interrupted = True

    def hears(self, item_id: str, text: str, *, final: bool = False) -> None:
        """A realtime model's server transcribed an item of the user's; unless ``final``, more of it may follow."""
        if item_id in self._heard or len(self._heard) < _MAX_SPEECHES:
            self._heard[item_id] = (text[:TEXT_LIMIT], final)
        self.user_text = ""
        for words, _ in self._heard.values():
            self.user_text = joined(self.user_text, words)

    def report(self, metrics: Mapping[str, object], *, of_user: bool) -> None:
        """Record LiveKit's own latencies of a message; the first value of each counts."""
        for name, number in metrics.items():
            if name in _REPORTED and isinstance(number, (int, float)) and (of_user or name not in _SPOKEN):
                self.reported.setdefault(name, float(number))

    def attributes(self, scope: SessionScope) -> dict[str, AttributeValue]:
        """Return the attributes of the turn's span, except for the end reason."""
        out: dict[str, AttributeValue] = {
            attr.TURN_HAS_USER: self.has_user,
            attr.TURN_SPEECH_IDS: tuple(self.speech_ids),
            **({attr.AGENT_NAME: clip(self.agent_name)} if self.agent_name else {}),
            **self.models.attributes(),
            **({attr.TURN_SPEECH_END_SOURCE: self.speech_end_source} if self.speech_end_source else {}),
            **({attr.TURN_TOOL_OUTLIVES: True} if self.tool_outlives else {}),
        }
        if scope.content and self.user_text:
            whole = len(self.user_text) < TEXT_LIMIT and all(final for _, final in self._heard.values())
            out[attr.TURN_USER_TEXT] = clip(scope.redacted(self.user_text, kinds.USER, whole=whole))
        if scope.content and self.agent_text:
            out[attr.TURN_AGENT_TEXT] = clip(self.agent_text)
        elif self.closed_by_session and self.heard and self.synthesized:
            out[attr.TURN_AGENT_TEXT] = clip(scope.redacted(self.synthesized, kinds.AGENT, whole=False))
            out[attr.TURN_UNFINISHED] = True
        return out | {attr.reported(name): number for name, number in self.reported.items()}
