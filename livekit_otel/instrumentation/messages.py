"""LLM input and output as GenAI messages (JSON text), without repeating the conversation on every request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from ..containment import contained
from ..journal import encode
from ..redaction import Redaction, kinds
from .clock import SessionClock
from .values import clip

if TYPE_CHECKING:
    from livekit.agents.llm import ChatContext, CompletionUsage

    from .scope import SessionScope

_HEAD = 4
_TAIL = 8
_MAX_TEXT = 200_000


class Call(NamedTuple):
    """A function call requested by a model."""

    call_id: str
    name: str
    arguments: str


class _Texts:
    """Texts of messages as they may be recorded."""

    def __init__(self, redaction: Redaction | None) -> None:
        self._redaction = redaction

    def text(self, text: str, kind: str, *, whole: bool = True) -> str:
        if self._redaction is None:
            return text
        return self._redaction.text(text, kind) if whole else self._redaction.cut_off(text, kind)

    def call(self, call: Call) -> dict[str, Any]:
        """Return a tool call as a part of a message."""
        name, arguments = self.text(call.name, kinds.OTHER), self.text(call.arguments, kinds.TOOL_ARGUMENTS)
        return {"type": "tool_call", "id": call.call_id, "name": name, "arguments": arguments}

    def message(self, item: Any, *, whole: bool = True) -> dict[str, Any] | None:
        """Return a conversation item in the shape of the GenAI conventions; None if it is no message."""
        if item.type == "message":
            kind, whole = kinds.of_role(item.role), whole and not item.interrupted
            parts = [
                {"type": "text", "content": self.text(str(part), kind, whole=whole)}
                if isinstance(part, str)
                else {"type": _part_type(part)}
                for part in item.content
                if not isinstance(part, str) or part
            ]
            return {"role": item.role, "parts": [part for part in parts if part["type"] != "cache_breakpoint"]}
        if item.type == "function_call":
            return {"role": "assistant", "parts": [self.call(item)]}
        if item.type == "function_call_output":
            response = self.text(item.output, kinds.TOOL_RESULT)
            return {"role": "tool", "parts": [{"type": "tool_call_response", "id": item.call_id, "response": response}]}
        return None


def _part_type(part: Any) -> str:
    return str(getattr(part, "type", "unknown")).removesuffix("_content")


def dump(value: Any) -> str:
    return clip(encode(value).decode(), attr.GENAI_VALUE_BYTES)


class Input:
    """The recorded part of a request's input. ``instructions`` is None if they are not recorded."""

    def __init__(self, instructions: list[str] | None, items: list[Any]) -> None:
        self._instructions = instructions
        self._items = items

    def attributes(self, redaction: Redaction | None, *, whole: bool = True) -> dict[str, AttributeValue]:
        """Return GenAI attributes. ``whole``: the user's last message is complete."""
        texts = _Texts(redaction)
        out: dict[str, AttributeValue] = {}
        if self._instructions:
            parts = [{"type": "text", "content": texts.text(text, kinds.INSTRUCTIONS)} for text in self._instructions]
            out[attr.SYSTEM_INSTRUCTIONS] = dump(parts)
        last = len(self._items) - 1
        found = (texts.message(item, whole=whole or number < last) for number, item in enumerate(self._items))
        messages = [message for message in found if message is not None]
        if messages:
            out[attr.INPUT_MESSAGES] = dump(messages)
        return out


class InputDelta:
    """Remembers the end of the last request's conversation by a few ids, so its size does not grow with the call."""

    def __init__(self) -> None:
        self._tail: tuple[str, ...] = ()
        self._instructions: int | None = None

    def select(self, chat_ctx: ChatContext, mode: str) -> Input:
        """Select what is recorded of a request, by ``mode``: ``delta``, ``full`` or ``none``."""
        if mode == "none":
            return Input(None, [])
        # instructions come first; the rest is not searched item by item, since it grows with the call
        system: list[Any] = []
        items: list[Any] = []
        for item in chat_ctx.items[:_HEAD]:
            leads = item.type == "message" and item.role in ("system", "developer")
            (system if leads else items).append(item)
        items += chat_ctx.items[_HEAD:]
        new = items if mode == "full" else items[self._known(items) :]
        self._tail = tuple(item.id for item in items[-_TAIL:])
        texts = [item.raw_text_content or "" for item in system]
        seen = hash(tuple(texts))
        before, self._instructions = self._instructions, seen
        return Input(texts if mode == "full" or seen != before else None, new)

    def _known(self, items: list[Any]) -> int:
        for position in range(len(items) - 1, -1, -1):
            if items[position].id in self._tail:
                return position + 1
        return 0


class Answer:
    """Collects the output of a request's stream for its span."""

    def __init__(self, clock: SessionClock) -> None:
        self._clock = clock
        self.usage: CompletionUsage | None = None
        self._text: list[str] = []
        self._size = 0
        self._calls: list[Call] = []
        self._first_ns: int | None = None

    def chunk(self, chunk: Any) -> None:
        """Record a chunk. Called for each chunk, so it must be cheap."""
        if getattr(chunk, "usage", None) is not None:
            self.usage = chunk.usage
        delta = getattr(chunk, "delta", None)
        if delta is None:
            return
        with contained("llm.chunk"):
            if delta.content or delta.tool_calls:
                if self._first_ns is None:
                    self._first_ns = self._clock.now_ns()
                if delta.content and self._size < _MAX_TEXT:
                    self._text.append(delta.content)
                    self._size += len(delta.content)
                self._calls += [Call(call.call_id, call.name, call.arguments) for call in delta.tool_calls or ()]

    def attributes(self, start_ns: int, scope: SessionScope, *, whole: bool) -> dict[str, AttributeValue]:
        """Return attributes of the output. ``whole``: the complete stream arrived."""
        out: dict[str, AttributeValue] = {}
        if self._first_ns is None:
            return out
        out[attr.TIME_TO_FIRST_CHUNK] = (self._first_ns - start_ns) / 1e9
        reason = "tool_call" if self._calls else "stop"
        out[attr.RESPONSE_FINISH_REASONS] = (reason,)
        if scope.content:
            texts, said = _Texts(scope.redaction), "".join(self._text)
            if scope.redaction is not None and not whole:
                scope.redaction.broke_off(said)
            text = texts.text(said, kinds.AGENT, whole=whole and self._size < _MAX_TEXT)
            parts: list[dict[str, Any]] = [{"type": "text", "content": text}] if text else []
            parts.extend(map(texts.call, self._calls))
            out[attr.OUTPUT_MESSAGES] = dump([{"role": "assistant", "parts": parts, "finish_reason": reason}])
        return out
