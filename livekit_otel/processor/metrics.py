"""OpenTelemetry metrics of turns: latencies, silence by stage, use of models. Off without a meter provider.

LiveKit records ``gen_ai.client.*`` of LLMs and realtime models, and its own ``lk.agents.*``, to the global provider.
What goes there from here has names of its own; the GenAI names are used for what LiveKit leaves out (STT and TTS),
and for all where the provider is another one than the global.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import Counter, Histogram, Meter, MeterProvider, get_meter_provider
from opentelemetry.sdk.trace import ReadableSpan

from .. import attributes as attr
from ..spans import SpanRecord, nanoseconds, seconds
from ..turns.model import TurnDerivation
from ..turns.model_usage import EOTUsage, InterruptionUsage, LLMUsage, ModelUsage, STTUsage, TTSUsage
from ..turns.usage import UsageTally, use_of

__all__ = ["TurnMetrics"]

#: seconds; where people notice a difference
BUCKETS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0)
#: as the GenAI conventions advise
GENAI_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
_LLM_KINDS = (attr.KIND_LLM, attr.KIND_REALTIME)
_TTS_LATENCIES = ("tts_node_ttfb", "playback_latency")


class _Instruments:
    def __init__(self, meter: Meter, *, only_one: bool) -> None:
        #: nobody else records GenAI metrics of LLMs to this provider
        self.only_one = only_one
        self.latency = {
            name: _seconds(meter, attr.METER_LATENCY_PREFIX + name, f"Derived {name} of a turn")
            for name in attr.SUMMARY_LATENCIES
        }
        self.silence = _seconds(meter, attr.METER_SILENCE, "Part of e2e_latency that a stage was waited for, if any")
        self.gap = _seconds(meter, attr.METER_GAP, "Part of dead_air that a stage was waited for, if any")
        self.turns = meter.create_counter(attr.METER_TURNS, "{turn}", "Turns, by how they ended")
        self.interruptions = meter.create_counter(attr.METER_INTERRUPTIONS, "{interruption}", "By verdict")
        self.tokens = meter.create_counter(attr.METER_TOKENS, "{token}", "Tokens of all models")
        self.cached = meter.create_counter(attr.METER_CACHED_TOKENS, "{token}", "Input tokens served from a cache")
        self.discarded = meter.create_counter(attr.METER_DISCARDED_TOKENS, "{token}", "Of preemptive generations")
        self.characters = meter.create_counter(attr.METER_CHARACTERS, "{character}", "Synthesised characters")
        self.audio = meter.create_counter(attr.METER_AUDIO, "s", "Audio recognised or synthesised")
        self.requests = meter.create_counter(attr.METER_REQUESTS, "{request}", "Interruption and end-of-turn models")
        self.genai_tokens = meter.create_histogram(
            attr.METER_GENAI_TOKENS,
            "{token}",
            "Number of input and output tokens used",
            explicit_bucket_boundaries_advisory=GENAI_TOKENS,
        )
        self.genai_duration = _seconds(meter, attr.METER_GENAI_DURATION, "GenAI operation duration")
        self.genai_first = _seconds(meter, attr.METER_GENAI_FIRST_CHUNK, "Time to first chunk of a response")


def _seconds(meter: Meter, name: str, description: str) -> Histogram:
    return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=BUCKETS)


class TurnMetrics:
    """Records what has become certain: use of models as stages end, latencies as turns end."""

    def __init__(self, provider: MeterProvider | None = None) -> None:
        self._provider = provider
        self._made: _Instruments | None = None

    @property
    def enabled(self) -> bool:
        return self._instruments() is not None

    def _instruments(self) -> _Instruments | None:
        if self._made is None:
            provider = self._provider or _global_sdk_provider()
            if provider is not None:
                self._made = _Instruments(
                    provider.get_meter(attr.SCOPE), only_one=provider is not _global_sdk_provider()
                )
        return self._made

    def turn(self, turn: TurnDerivation, stages: Sequence[SpanRecord], span: ReadableSpan) -> None:
        """A turn's span has ended; ``stages`` are those that ended before it."""
        made = self._instruments()
        if made is None:
            return
        context = _context(span)
        agent = {attr.AGENT_NAME: turn.agent} if turn.agent else {}
        reason = (span.attributes or {}).get(attr.END_REASON)
        ended = {attr.END_REASON: str(reason or ""), attr.TURN_ANSWERED: turn.answered or ""}
        made.turns.add(1, {**agent, **ended}, context)
        llm, tts = {**agent, **_model(turn.llm_model)}, {**agent, **_model(turn.tts_model)}
        for name, histogram in made.latency.items():
            value = getattr(turn.latency, name)
            if value is not None:
                histogram.record(value, tts if name in _TTS_LATENCIES else llm, context)
        for stage, value in turn.silence.items():
            if value:
                made.silence.record(value, {**llm, attr.METER_STAGE: stage}, context)
        for stage, value in turn.gap_stages.items():
            made.gap.record(value, {**llm, attr.METER_STAGE: stage}, context)
        for record in stages:
            _stage(made, record, agent, context)

    def stage(self, record: SpanRecord, agent: object, span: ReadableSpan) -> None:
        """A stage's span has ended that belongs to no open turn."""
        made = self._instruments()
        if made is not None:
            _stage(made, record, {attr.AGENT_NAME: str(agent)} if agent else {}, _context(span))


def _stage(made: _Instruments, record: SpanRecord, agent: dict[str, str], context: Context) -> None:
    attributes = record.attributes
    verdict = attributes.get(attr.INTERRUPTION_VERDICT)
    if verdict is not None:
        made.interruptions.add(1, {**agent, attr.METER_VERDICT: str(verdict)}, context)
    tally = UsageTally()
    if (use := use_of(record)) is not None:
        tally.add(use)
    for usage in tally.result():
        model = {**agent, **_model((usage.provider, usage.model))}
        if attr.OPERATION_NAME in attributes:
            model[attr.OPERATION_NAME] = str(attributes[attr.OPERATION_NAME])
        is_llm = record.kind in _LLM_KINDS
        _usage(made, usage, model, context, genai=made.only_one or not is_llm)
        if isinstance(usage, LLMUsage) and attributes.get(attr.OUTCOME) == attr.OUTCOME_DISCARDED:
            _tokens(made.discarded, usage, model, context)
        if record.kind == attr.KIND_TTS or (made.only_one and is_llm):
            made.genai_duration.record(record.duration, model, context)
            first = nanoseconds(attributes, attr.TIME_TO_FIRST_CHUNK)
            if first is not None:
                made.genai_first.record(seconds(first), model, context)


def _usage(made: _Instruments, usage: ModelUsage, model: dict[str, str], context: Context, *, genai: bool) -> None:
    if isinstance(usage, LLMUsage | TTSUsage | STTUsage):
        _tokens(made.tokens, usage, model, context)
        if genai:
            for kind, tokens in (("input", usage.input_tokens), ("output", usage.output_tokens)):
                if tokens:
                    made.genai_tokens.record(tokens, {**model, attr.METER_TOKEN_TYPE: kind}, context)
    if isinstance(usage, LLMUsage) and usage.input_cached_tokens:
        made.cached.add(usage.input_cached_tokens, model, context)
    if isinstance(usage, TTSUsage) and usage.characters_count:
        made.characters.add(usage.characters_count, model, context)
    if isinstance(usage, TTSUsage | STTUsage) and usage.audio_duration > 0:
        made.audio.add(usage.audio_duration, model, context)
    if isinstance(usage, InterruptionUsage | EOTUsage) and usage.total_requests:
        made.requests.add(usage.total_requests, model, context)


def _tokens(counter: Counter, usage: LLMUsage | TTSUsage | STTUsage, model: dict[str, str], context: Context) -> None:
    for kind, tokens in (("input", usage.input_tokens), ("output", usage.output_tokens)):
        if tokens:
            counter.add(tokens, {**model, attr.METER_TOKEN_TYPE: kind}, context)


def _model(model: Sequence[str] | None) -> dict[str, str]:
    if model is None:
        return {}
    provider, name = model
    return {key: value for key, value in ((attr.PROVIDER_NAME, provider), (attr.REQUEST_MODEL, name)) if value}


def _context(span: ReadableSpan) -> Context:
    """Exemplars link to this span."""
    own = span.get_span_context() or trace.INVALID_SPAN_CONTEXT
    return trace.set_span_in_context(trace.NonRecordingSpan(own), Context())


def _global_sdk_provider() -> MeterProvider | None:
    """The global meter provider, where it is a real one; importing the SDK's metrics for the question is needless."""
    sdk = sys.modules.get("opentelemetry.sdk.metrics")
    provider = get_meter_provider()
    return provider if sdk is not None and isinstance(provider, sdk.MeterProvider) else None
