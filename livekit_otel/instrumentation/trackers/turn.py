"""One exchange while it is open: what is known of it, and what its span says in the end."""

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

if TYPE_CHECKING:
    from livekit.agents import SpeechHandle

__all__ = ["SERVER", "TEXT_LIMIT", "TurnState", "joined"]

TEXT_LIMIT = 8_000
_MAX_SPEECHES = 64
_REPORTED = frozenset(attr.REPORTED_METRICS)
#: when somebody spoke: reported of both sides, kept of the user's
_SPOKEN = frozenset({"started_speaking_at", "stopped_speaking_at"})
#: an error of a realtime model's server that is that of no response
SERVER = "server"
#: a failure of these is of no account when the turn was answered all the same
_MADE_UP_FOR = frozenset({attr.KIND_STT, SERVER})


class TurnState:
    """An open exchange.

    Attributes:
        index: its number in the session.
        span: its span.
        has_user: somebody spoke or wrote to the agent.
        committed: the user's side is settled (True without one).
        speech_ids: LiveKit's speeches of the turn, at most 64.
        speeches: those of them that are not done.
        holds: whatever else may still speak: a hook, a tool, a handoff, a deferred reply. Of what waits for the user
            in a task of its own: whether that task is done.
        working: decisions, requests and playouts that are open.
        answered: a speech of it was scheduled.
        heard: the agent's voice, or its text, came out.
        last_ns: end of its latest stage, tools left out.
        superseded_ns: when the user began to speak in the turn that came after it.
    """

    def __init__(self, index: int, span: PipelineSpan, *, has_user: bool, committed: bool) -> None:
        self.index = index
        self.span = span
        self.has_user = has_user
        self.committed = committed
        self.speech_ids: list[str] = []
        self.speeches: dict[str, SpeechHandle] = {}
        self.holds: dict[Hashable, Callable[[], bool] | None] = {}
        #: speeches that were interrupted, and that another one of the turn came after
        self.replaced: set[str] = set()
        self.working = 0
        self.answered = False
        self.heard = False
        self.used_tools = False
        self.interrupted = False
        self.closed_by_session = False
        self.last_ns = span.start_ns
        self.superseded_ns: int | None = None
        #: running tools, with the speech that called each
        self.open_tools: dict[PipelineSpan, str] = {}
        self.tool_ended_ns = 0
        self.tool_outlives = False
        #: ``on_user_turn_completed`` runs for it
        self.deciding = False
        #: a realtime model's server began to speak: words of the user may still come
        self.by_server = False
        #: who says when the user stopped speaking
        self.speech_end_source: str | None = None
        #: it had something left to say when the user took the floor
        self.cut_short = False
        self.user_text = ""
        #: what a realtime model's server transcribed, by item; whether all of it came
        self._heard: dict[str, tuple[str, bool]] = {}
        #: redacted where the user asks for it
        self.agent_text = ""
        #: what the agent's voice was given
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
        """What stages say of the turn."""
        said: Attributes = {attr.TURN_INDEX: self.index}
        if self.agent_name:
            said[attr.AGENT_NAME] = clip(self.agent_name)
        return said

    @property
    def open(self) -> bool:
        return not self.span.ended

    @property
    def quiet(self) -> bool:
        """Whether nothing of it is going to speak."""
        if self.working:
            return False
        if self.superseded_ns is not None:
            return not self.speeches
        return not self.at_work and not self.speeches.keys() - set(self.open_tools.values())

    @property
    def at_work(self) -> bool:
        """Whether something of it may speak before the user has: it does not wait for the user's words."""
        return any(done is None or done() for done in self.holds.values())

    def supersede(self, at_ns: int) -> None:
        """The user has the floor: the turn finishes what it is saying, and waits for nothing any more."""
        self.superseded_ns = at_ns
        self.cut_short = self.at_work
        if not self.working:
            # these wait for their tools; all others LiveKit interrupts, or lets end
            for speech_id in self.open_tools.values():
                self.speeches.pop(speech_id, None)

    def stage_ended(self, span: PipelineSpan) -> None:
        """A stage of the turn has ended."""
        if span.kind == attr.KIND_TOOL:
            self.open_tools.pop(span, None)
            self.tool_ended_ns = max(self.tool_ended_ns, span.end_ns or 0)
        if span.end_ns is not None and (span.kind != attr.KIND_TOOL or self.superseded_ns is None):
            self.last_ns = max(self.last_ns, span.end_ns)

    def failed(self, kind: str, error: BaseException) -> None:
        """A stage of the turn failed for good; unless another one of its kind begins, nothing makes up for it."""
        self._failures[kind] = error

    def tried_again(self, kind: str) -> None:
        self._failures.pop(kind, None)

    @property
    def failure(self) -> BaseException | None:
        """What kept the turn from its answer, or from the rest of it."""
        for kind, error in self._failures.items():
            if kind not in _MADE_UP_FOR or not self.heard:
                return error
        return None

    @property
    def end_reason(self) -> str:
        """Why the turn ended: the first that applies."""
        if self.failure is not None:
            return attr.END_FAILED
        if self.closed_by_session:
            return attr.END_SESSION_CLOSED
        if self.interrupted or self.cut_short:
            return attr.END_INTERRUPTED
        return attr.END_NO_REPLY if self.has_user and not self.heard else attr.END_COMPLETED

    def goes_on(self) -> None:
        """Something else is going to be said: what code has interrupted for it by now cuts nothing short."""
        self.replaced.update(handle.id for handle in self.speeches.values() if handle.interrupted)

    def add_speech(self, handle: SpeechHandle) -> None:
        self.speeches[handle.id] = handle
        if handle.id not in self.speech_ids and len(self.speech_ids) < _MAX_SPEECHES:
            self.speech_ids.append(handle.id)

    def speech_done(self, handle: SpeechHandle, *, closing: bool) -> None:
        """A speech of it is over. ``closing``: with the session."""
        self.speeches.pop(handle.id, None)
        if not handle.scheduled:
            return
        self.answered = True
        if handle.interrupted and closing and not self.interrupted:
            self.closed_by_session = True
        elif handle.interrupted and handle.id not in self.replaced:
            self.interrupted = True

    def hears(self, item_id: str, text: str, *, final: bool = False) -> None:
        """A realtime model's server transcribed an item of the user's, maybe not all of it yet."""
        if item_id in self._heard or len(self._heard) < _MAX_SPEECHES:
            self._heard[item_id] = (text[:TEXT_LIMIT], final)
        self.user_text = ""
        for words, _ in self._heard.values():
            self.user_text = joined(self.user_text, words)

    def report(self, metrics: Mapping[str, object], *, of_user: bool) -> None:
        """LiveKit's own latencies of a message; the first of each counts."""
        for name, number in metrics.items():
            if name in _REPORTED and isinstance(number, (int, float)) and (of_user or name not in _SPOKEN):
                self.reported.setdefault(name, float(number))

    def attributes(self, scope: SessionScope) -> dict[str, AttributeValue]:
        """What the span says of the turn, besides why it ended."""
        out: dict[str, AttributeValue] = {
            attr.TURN_HAS_USER: self.has_user,
            attr.TURN_SPEECH_IDS: tuple(self.speech_ids),
        }
        if self.agent_name:
            out[attr.AGENT_NAME] = clip(self.agent_name)
        out.update(self.models.attributes())
        if self.speech_end_source:
            out[attr.TURN_SPEECH_END_SOURCE] = self.speech_end_source
        if self.tool_outlives:
            out[attr.TURN_TOOL_OUTLIVES] = True
        if scope.content and self.user_text:
            whole = len(self.user_text) < TEXT_LIMIT and all(final for _, final in self._heard.values())
            out[attr.TURN_USER_TEXT] = clip(scope.redacted(self.user_text, kinds.USER, whole=whole))
        if scope.content and self.agent_text:
            out[attr.TURN_AGENT_TEXT] = clip(self.agent_text)
        elif self.closed_by_session and self.heard and self.synthesized:
            out[attr.TURN_AGENT_TEXT] = clip(scope.redacted(self.synthesized, kinds.AGENT, whole=False))
            out[attr.TURN_UNFINISHED] = True
        for name, number in self.reported.items():
            out[attr.reported(name)] = number
        return out


def joined(before: str, text: str) -> str:
    return (f"{before} {text}" if before else text)[:TEXT_LIMIT]
