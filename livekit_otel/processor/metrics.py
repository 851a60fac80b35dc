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
from .unmeasured import Ended

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
        self.silence = _seconds(meter, attr.METER_SILENCE, "Part of e2e_latency that a stage was waited for")
        self.gap = _seconds(meter, attr.METER_GAP, "Part of dead_air that a stage was waited for")
        self.turns = meter.create_counter(attr.METER_TURNS, "{turn}", "Turns, by how they ended")
        self.flags = meter.create_counter(attr.METER_FLAGS, "{turn}", "Turns that have a flag, by flag; zeros as well")
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
                    provider.get_meter(attr.SCOPE, _version()), only_one=provider is not _global_sdk_provider()
                )
        return self._made

    def turn(self, ended: Ended) -> None:
        """A turn has ended, and nothing changes it any more."""
        made = self._instruments()
        if made is None:
            return
        turn, context = ended.turn.derive(), _context(ended.span)
        agent = _agent(turn.agent)
        llm, tts = {**agent, **_model(turn.llm_model)}, {**agent, **_model(turn.tts_model)}
        made.turns.add(1, {**llm, **_end(turn, ended)}, context)
        flags = {flag.name for flag in ended.turn.flags()}
        for name in attr.FLAG_NAMES:
            made.flags.add(int(name in flags), {**llm, attr.METER_FLAG: name}, context)
        verdicts = (
            (attr.VERDICT_INTERRUPTION, ended.interruptions - turn.replaced),
            (attr.FLAG_FALSE_CUTOFF, turn.false_cutoff),
        )
        for verdict, count in verdicts:
            if count > 0:
                made.interruptions.add(int(count), {**agent, attr.METER_VERDICT: verdict}, context)
        for name, histogram in made.latency.items():
            value = getattr(turn.latency, name)
            if value is not None:
                histogram.record(value, tts if name in _TTS_LATENCIES else llm, context)
        for stage, value in turn.silence.items():
            made.silence.record(value, {**llm, attr.METER_STAGE: stage}, context)
        gaps = turn.gap_stages
        for stage in attr.SILENCE_STAGES if turn.latency.dead_air is not None else ():
            made.gap.record(gaps.get(stage, 0.0), {**llm, attr.METER_STAGE: stage}, context)

    def stages(self, stages: Sequence[SpanRecord], agent: str, span: ReadableSpan) -> int:
        """A turn's span has ended; ``stages`` are those that ended before it.

        Returns how many interruptions are among them, which are not recorded: what looks like one may be none.
        """
        made = self._instruments()
        if made is None:
            return 0
        known, context = _agent(agent), _context(span)
        interruptions = 0
        for record in stages:
            interrupts = record.attributes.get(attr.INTERRUPTION_VERDICT) == attr.VERDICT_INTERRUPTION
            interruptions += interrupts
            _stage(made, record, known, context, verdicts=not interrupts)
        return interruptions

    def stage(self, record: SpanRecord, agent: object, span: ReadableSpan) -> None:
        """A stage's span has ended that belongs to no open turn."""
        made = self._instruments()
        if made is not None:
            _stage(made, record, _agent(agent), _context(span))


def _agent(name: object) -> dict[str, str]:
    """What every point has: the agent, and by which version of ours it was measured."""
    known = {attr.METER_VERSION: _version()}
    return {**known, attr.AGENT_NAME: str(name)} if name else known


def _version() -> str:
    return str(getattr(sys.modules.get(attr.SCOPE), "__version__", ""))


def _end(turn: TurnDerivation, ended: Ended) -> dict[str, str]:
    """How a turn ended, and the error where that was one: the turn's own, else that of its last stage that failed."""
    end = {attr.END_REASON: turn.end_reason, attr.TURN_ANSWERED: turn.answered or ""}
    if turn.end_reason == attr.END_FAILED:
        failed = [one for one in ended.turn.stages if attr.ERROR_TYPE in one.attributes]
        last = max(failed, key=lambda one: one.end_ns, default=None)
        said = (ended.span.attributes or {}).get(attr.ERROR_TYPE)
        end[attr.ERROR_TYPE] = str(said or (last.attributes[attr.ERROR_TYPE] if last is not None else "_OTHER"))
    return end


def _stage(
    made: _Instruments, record: SpanRecord, agent: dict[str, str], context: Context, *, verdicts: bool = True
) -> None:
    attributes = record.attributes
    verdict = attributes.get(attr.INTERRUPTION_VERDICT)
    if verdict is not None and verdicts:
        made.interruptions.add(1, {**agent, attr.METER_VERDICT: str(verdict)}, context)
    tally = UsageTally()
    if (use := use_of(record)) is not None:
        tally.add(use)
    is_llm = record.kind in _LLM_KINDS
    genai = made.only_one or not is_llm
    for usage in tally.result():
        model = {**agent, **_model((usage.provider, usage.model)), **_operation(record)}
        _usage(made, usage, model, context, genai=genai)
        if isinstance(usage, LLMUsage) and attributes.get(attr.OUTCOME) == attr.OUTCOME_DISCARDED:
            _tokens(made.discarded, usage, model, context)
        if genai and (is_llm or record.kind == attr.KIND_TTS):
            _times(made, record, model, context)
    if use is None and genai and attr.ERROR_TYPE in attributes and (is_llm or record.kind == attr.KIND_TTS):
        # LiveKit has no metrics of a request that failed
        named = [str(attributes.get(name, "")) for name in (attr.PROVIDER_NAME, attr.REQUEST_MODEL)]
        _times(made, record, {**agent, **_model(named), **_operation(record)}, context)


def _operation(record: SpanRecord) -> dict[str, str]:
    operation = record.attributes.get(attr.OPERATION_NAME)
    return {} if operation is None else {attr.OPERATION_NAME: str(operation)}


def _times(made: _Instruments, record: SpanRecord, model: dict[str, str], context: Context) -> None:
    """How long a request took, and its first chunk."""
    error = record.attributes.get(attr.ERROR_TYPE)
    failed = {} if error is None else {attr.ERROR_TYPE: str(error)}
    made.genai_duration.record(record.duration, {**model, **failed}, context)
    first = nanoseconds(record.attributes, attr.TIME_TO_FIRST_CHUNK)
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
