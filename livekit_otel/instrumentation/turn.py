"""One exchange while it goes on: what is known of it, and what its span says in the end."""

from __future__ import annotations

from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from .stage import Stage
from .values import clip, now_ns, to_ns

COMPLETED, INTERRUPTED, SESSION_CLOSED, FAILED, NO_REPLY = (
    "completed",
    "interrupted",
    "session_closed",
    "failed",
    "no_reply",
)
TEXT_LIMIT = 8_000
#: what is reported of these says nothing when the turn was answered all the same
_MADE_UP_FOR = frozenset({attr.KIND_STT, attr.KIND_REALTIME})


class Turn:
    """An open exchange. ``has_user``: it has a user side; ``committed``: that side is settled."""

    def __init__(self, index: int, stage: Stage, *, has_user: bool, committed: bool) -> None:
        self.index = index
        self.stage = stage
        self.has_user = has_user
        self.committed = committed
        self.hook_running = False
        self.speech_ids: list[str] = []
        self.active: dict[str, Any] = {}
        self.answered = False
        self.heard = False
        self.used_tools = False
        #: the agent's voice (or its text, where there is no voice) went out
        self.voiced = False
        self.interrupted = False
        self.closed_by_session = False
        self.awaits_handoff = False
        #: when the agent was last heard, and when all that the turn waited for was over
        self.heard_until_ns: int | None = None
        self.quiet_ns: int | None = None
        self.user_text = ""
        self.agent_text = ""
        self.models: dict[str, None] = {}
        self.agent_name: str | None = None
        self.reported: dict[str, float] = {}
        self._failures: dict[str, BaseException] = {}

    @property
    def context(self) -> otel_context.Context:
        return self.stage.context

    @property
    def open(self) -> bool:
        return not self.stage.ended

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

    def end_reason(self) -> str:
        """Why the turn ended: the first that applies."""
        if self.failure is not None:
            return FAILED
        if self.interrupted:
            return INTERRUPTED
        if self.closed_by_session:
            return SESSION_CLOSED
        return NO_REPLY if self.has_user and not self.heard else COMPLETED

    def attributes(self, *, content: bool) -> dict[str, AttributeValue]:
        """What the span says of the turn, besides why it ended."""
        out: dict[str, AttributeValue] = {attr.TURN_SPEECH_IDS: tuple(self.speech_ids)}
        if self.agent_name:
            out[attr.AGENT_NAME] = clip(self.agent_name)
        if self.models:
            out[attr.TURN_MODELS] = tuple(clip(model) for model in self.models)
        if content and self.user_text:
            out[attr.TURN_USER_TEXT] = clip(self.user_text)
        if content and self.agent_text:
            out[attr.TURN_AGENT_TEXT] = clip(self.agent_text)
        for name, number in self.reported.items():
            out[attr.reported(name)] = number
        return out


def joined(before: str, text: str) -> str:
    return (f"{before} {text}" if before else text)[:TEXT_LIMIT]


def model_name(attributes: dict[str, AttributeValue]) -> str | None:
    """provider/model of a stage, for the turn's list of models."""
    model = attributes.get(attr.REQUEST_MODEL)
    if model is None:
        return None
    provider = attributes.get(attr.PROVIDER_NAME)
    return f"{provider}/{model}" if provider else str(model)


def event_time(event: Any) -> int:
    """When LiveKit says that an event happened."""
    created = getattr(event, "created_at", None)
    return to_ns(created) if isinstance(created, int | float) else now_ns()
