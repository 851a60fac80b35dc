"""A rule-based language model: it streams words, calls a tool, and counts tokens (words)."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit.agents import APIConnectOptions, llm, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from . import script

__all__ = ["RuleLLM"]

_THINKING = 0.15
_PER_WORD = 0.01


class RuleLLM(llm.LLM[None]):
    """Answers the demo's sentences."""

    def __init__(self) -> None:
        super().__init__()
        self.last_prompt: list[str] = []

    @property
    def model(self) -> str:
        return "flower-shop-rules"

    @property
    def provider(self) -> str:
        return "local"

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_: Any,
    ) -> llm.LLMStream:
        return _Answer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Answer(llm.LLMStream):
    async def _run(self) -> None:
        assert isinstance(self._llm, RuleLLM)
        request = utils.shortuuid("rules_")
        await asyncio.sleep(_THINKING)
        answer = self._decide()
        if isinstance(answer, llm.FunctionToolCall):
            self._send(request, llm.ChoiceDelta(role="assistant", tool_calls=[answer]))
            spoken = f"{answer.name} {answer.arguments}"
        else:
            spoken = answer
            for number, word in enumerate(answer.split(" ")):
                self._send(request, llm.ChoiceDelta(role="assistant", content=word if number == 0 else f" {word}"))
                await asyncio.sleep(_PER_WORD)
        self._event_ch.send_nowait(llm.ChatChunk(id=request, usage=self._usage(spoken)))

    def _decide(self) -> str | llm.FunctionToolCall:
        last = self._chat_ctx.items[-1]
        if last.type == "function_call_output":
            return script.order_sentence(last.output)
        said = (last.text_content or "") if last.type == "message" else ""
        if said == script.QUESTION:
            return llm.FunctionToolCall(
                name="order_status", arguments='{"number": 7}', call_id=utils.shortuuid("call_")
            )
        answers = {
            script.STORY: script.HISTORY,
            script.BARGE_IN: script.APOLOGY,
            script.GOODBYE: script.FAREWELL,
        }
        return answers.get(said, script.UNKNOWN)

    def _usage(self, spoken: str) -> llm.CompletionUsage:
        """Each word is a token; the part that the last request also began with counts as cached."""
        assert isinstance(self._llm, RuleLLM)
        prompt = [word for item in self._chat_ctx.items for word in _words(item)]
        before, self._llm.last_prompt = self._llm.last_prompt, prompt
        cached = next((at for at, pair in enumerate(zip(before, prompt, strict=False)) if pair[0] != pair[1]), None)
        completion = len(spoken.split())
        return llm.CompletionUsage(
            prompt_tokens=len(prompt),
            completion_tokens=completion,
            prompt_cached_tokens=min(len(before), len(prompt)) if cached is None else cached,
            total_tokens=len(prompt) + completion,
        )

    def _send(self, request: str, delta: llm.ChoiceDelta) -> None:
        self._event_ch.send_nowait(llm.ChatChunk(id=request, delta=delta))


def _words(item: Any) -> list[str]:
    if item.type == "message":
        return (item.text_content or "").split()
    if item.type == "function_call":
        return [item.name, *str(item.arguments).split()]
    return str(item.output).split() if item.type == "function_call_output" else []
