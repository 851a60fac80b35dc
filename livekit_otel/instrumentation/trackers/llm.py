"""LLM: one span for each request, from the first attempt to the end of the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.util.types import AttributeValue

from ... import attributes as attr
from .. import livekit_api, messages
from ..clock import to_ns
from ..scope import SessionScope
from ..span import SpanOwner
from ..values import clip, flatten, model_attributes, named_model
from .requests import Late, Request, RequestTracker
from .turns import TurnTracker

if TYPE_CHECKING:
    from livekit.agents.llm import CompletionUsage, LLMStream
    from livekit.agents.metrics import LLMMetrics

__all__ = ["LlmTracker"]


class LlmTracker(RequestTracker):
    """LLM requests of one session."""

    kind = attr.KIND_LLM
    attempts = attr.LLM_ATTEMPTS
    retried_for = attr.LLM_RETRIED_FOR
    retried_codes = attr.LLM_RETRIED_CODES

    def __init__(self, scope: SessionScope, turns: TurnTracker) -> None:
        super().__init__(scope, turns)
        self._input = messages.InputDelta()

    def begin(self, stream: LLMStream, owner: SpanOwner | None) -> Request:
        """Begin a request. ``owner``: set if the request is beside the conversation and belongs to no speech."""
        handle = livekit_api.speech_handle()
        attributes: dict[str, AttributeValue] = {
            **named_model(stream._llm.provider, stream._llm.model),
            attr.REQUEST_STREAM: True,
            attr.OUTPUT_TYPE: "text",
        }
        if owner is not None:
            attributes[attr.LLM_OWN] = True
        elif handle is not None and not handle.scheduled:
            attributes[attr.LLM_PREEMPTIVE] = True
        late = None
        chat_ctx = getattr(stream, "_chat_ctx", None)
        if chat_ctx is not None:
            attributes[attr.LLM_INPUT_COUNT] = len(chat_ctx.items)
            if self.scope.content:
                # a request beside the conversation shares nothing with the previous request
                delta = self._input if owner is None else messages.InputDelta()
                late = self._add_input(attributes, delta.select(chat_ctx, self.scope.options.llm_input))
        request = self.open(handle, attributes, owner)
        if late is not None:
            request.set_late(late)
        request.native = self.scope.layers.native_span_shared()
        if request.native:
            request.set({attr.LANGFUSE_USAGE: attr.LANGFUSE_COUNTED_ELSEWHERE})
        return request

    def _add_input(self, attributes: dict[str, AttributeValue], given: messages.Input) -> Late | None:
        """Add the model's input now, or return a function that adds it when the input is known to be complete."""
        redaction = self.scope.redaction
        if redaction is not None and attr.LLM_PREEMPTIVE in attributes:
            # LiveKit uses a preemptive generation only if the user's final words are the same
            return lambda request: given.attributes(redaction, whole=request.used)
        attributes.update(given.attributes(redaction))
        return None

    def metrics(self, metrics: LLMMetrics, stream: object | None) -> None:
        """LLMMetrics of the stream that reports them, or of a request that was not traced."""
        fields = {**flatten("llm", metrics), **model_attributes(metrics, generates=True)}
        if fields.pop(attr.metric("llm", "request_id"), None):
            fields[attr.RESPONSE_ID] = clip(metrics.request_id)
        usage = _usage(metrics)
        request = self.reporting(stream)
        if request is None or request.has_metrics:
            end = self.scope.clock.inside_ns(metrics.timestamp)
            shared = self.scope.layers.native_shared
            fields.update({attr.LANGFUSE_USAGE: attr.LANGFUSE_COUNTED_ELSEWHERE} if shared else usage)
            if metrics.ttft >= 0:
                fields[attr.TIME_TO_FIRST_CHUNK] = metrics.ttft
            self.unseen(end - to_ns(metrics.duration), end, {**fields, attr.OPERATION_NAME: "chat"}, metrics.speech_id)
            return
        if not request.native:
            fields.update(usage)
        request.reported(fields, metrics.speech_id)

    def reported(self, request: Request, stream: LLMStream, answer: messages.Answer) -> None:
        """The request's stream is over, and so are its metrics."""
        if not request.has_metrics and answer.usage is not None and request.completes:
            # no session listens to this model, so LiveKit emits no metrics for it
            now = self.scope.now_ns() / 1e9
            counted = _counted(answer.usage, native=request.native)
            counted[attr.metric("llm", "timestamp")] = now
            counted[attr.metric("llm", "metadata.model_name")] = counted[attr.RESPONSE_MODEL] = stream._llm.model
            counted[attr.metric("llm", "metadata.model_provider")] = stream._llm.provider
            request.reported(counted)
        request.set_late(lambda one: answer.attributes(one.span.start_ns, self.scope, whole=one.whole))
        request.report_done()

    def decision(self, metrics: LLMMetrics) -> None:
        """DecisionMetrics of a small model that LiveKit uses for decisions beside the conversation."""
        fields = {**flatten("decision", metrics), **model_attributes(metrics, generates=True)}
        end = self.scope.clock.inside_ns(metrics.timestamp)
        self.unseen(end - to_ns(metrics.duration), end, fields, None)


_FIELDS = ("prompt_tokens", "completion_tokens", "prompt_cached_tokens", "cache_creation_tokens", "reasoning_tokens")


def _counted(usage: CompletionUsage, *, native: bool) -> dict[str, AttributeValue]:
    """Return the token counts of a request under the names of LLMMetrics."""
    counted = {attr.metric("llm", name): tokens for name in _FIELDS if (tokens := getattr(usage, name, None))}
    total = getattr(usage, "total_tokens", None)
    if total:
        counted[attr.metric("llm", "total_tokens")] = total
    return counted if native else {**counted, **_usage(usage)}


def _usage(metrics: LLMMetrics | CompletionUsage) -> dict[str, AttributeValue]:
    usage: dict[str, AttributeValue] = {
        attr.USAGE_INPUT_TOKENS: metrics.prompt_tokens,
        attr.USAGE_OUTPUT_TOKENS: metrics.completion_tokens,
    }
    for field, name in (
        ("prompt_cached_tokens", attr.USAGE_CACHE_READ),
        ("cache_creation_tokens", attr.USAGE_CACHE_WRITE),
        ("reasoning_tokens", attr.USAGE_REASONING),
    ):
        if tokens := getattr(metrics, field, 0):
            usage[name] = tokens
    return usage
