"""LLM input and output as GenAI messages (JSON text), without repeating the conversation on every request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from ..containment import contained
from ..journal import encode
from .clock import SessionClock
from .values import clip

if TYPE_CHECKING:
    from livekit.agents.llm import ChatContext, CompletionUsage

_HEAD = 4
_TAIL = 8
_MAX_TEXT = 200_000


def to_message(item: Any) -> dict[str, Any] | None:
    """One conversation item in the shape of the GenAI conventions; None for what is no message."""
    if item.type == "message":
        parts = [
            {"type": "text", "content": str(part)} if isinstance(part, str) else {"type": _part_type(part)}
            for part in item.content
            if not isinstance(part, str) or part
        ]
        return {"role": item.role, "parts": [part for part in parts if part["type"] != "cache_breakpoint"]}
    if item.type == "function_call":
        call = {"type": "tool_call", "id": item.call_id, "name": item.name, "arguments": item.arguments}
        return {"role": "assistant", "parts": [call]}
    if item.type == "function_call_output":
        return {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": item.call_id, "response": item.output}],
        }
    return None


def _part_type(part: Any) -> str:
    return str(getattr(part, "type", "unknown")).removesuffix("_content")


def dump(value: Any) -> str:
    return clip(encode(value).decode(), attr.GENAI_VALUE_BYTES)


class InputDelta:
    """Remembers where the last request's conversation ended, in a few ids: nothing here grows with the call."""

    def __init__(self) -> None:
        self._tail: tuple[str, ...] = ()
        self._instructions: int | None = None

    def attributes(self, chat_ctx: ChatContext, mode: str) -> dict[str, AttributeValue]:
        """Input attributes of a request: ``delta``, ``full`` or ``none``."""
        if mode == "none":
            return {}
        # instructions come first; the rest is not looked at one by one, since it grows with the call
        system: list[Any] = []
        items: list[Any] = []
        for item in chat_ctx.items[:_HEAD]:
            leads = item.type == "message" and item.role in ("system", "developer")
            (system if leads else items).append(item)
        items += chat_ctx.items[_HEAD:]
        new = items if mode == "full" else items[self._known(items) :]
        self._tail = tuple(item.id for item in items[-_TAIL:])
        out: dict[str, AttributeValue] = {}
        texts = [item.raw_text_content or "" for item in system]
        seen = hash(tuple(texts))
        if texts and (mode == "full" or seen != self._instructions):
            out[attr.SYSTEM_INSTRUCTIONS] = dump([{"type": "text", "content": text} for text in texts])
        self._instructions = seen
        messages = [message for item in new if (message := to_message(item)) is not None]
        if messages:
            out[attr.INPUT_MESSAGES] = dump(messages)
        return out

    def _known(self, items: list[Any]) -> int:
        for position in range(len(items) - 1, -1, -1):
            if items[position].id in self._tail:
                return position + 1
        return 0


class Answer:
    """Collects what a request's stream delivers, for its span."""

    def __init__(self, clock: SessionClock) -> None:
        self._clock = clock
        self.usage: CompletionUsage | None = None
        self._text: list[str] = []
        self._size = 0
        self._calls: list[dict[str, Any]] = []
        self._first_ns: int | None = None

    def chunk(self, chunk: Any) -> None:
        """Called for each chunk; must stay cheap."""
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
                for call in delta.tool_calls or ():
                    self._calls.append(
                        {"type": "tool_call", "id": call.call_id, "name": call.name, "arguments": call.arguments}
                    )

    def attributes(self, start_ns: int, *, content: bool) -> dict[str, AttributeValue]:
        out: dict[str, AttributeValue] = {}
        if self._first_ns is None:
            return out
        out[attr.TIME_TO_FIRST_CHUNK] = (self._first_ns - start_ns) / 1e9
        reason = "tool_call" if self._calls else "stop"
        out[attr.RESPONSE_FINISH_REASONS] = (reason,)
        if content:
            text = "".join(self._text)
            parts: list[dict[str, Any]] = [{"type": "text", "content": text}] if text else []
            parts.extend(self._calls)
            out[attr.OUTPUT_MESSAGES] = dump([{"role": "assistant", "parts": parts, "finish_reason": reason}])
        return out
