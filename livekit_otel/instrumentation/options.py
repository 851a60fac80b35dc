"""What the user asks for: each option once, with its check and its meaning.

The docstring of :func:`livekit_otel.set_tracer_provider` and docs/options.md say the same; a test compares them.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias

from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import Span, TracerProvider
from opentelemetry.util.types import AttributeValue

from ..errors import OptionError
from ..redaction import Redact
from ..thresholds import check as check_thresholds
from .users_attributes import users_attributes

__all__ = ["ALLOW_PII_VARIABLE", "OPTIONS", "LLMInput", "Option", "Options", "SessionAttributes"]

LLMInput: TypeAlias = Literal["delta", "full", "none"]
SessionAttributes: TypeAlias = Callable[[Any, Any], Mapping[str, AttributeValue]]

ALLOW_PII_VARIABLE = "LIVEKIT_TELEMETRY_ALLOW_PII"
_FALSY = frozenset({"0", "false", "no", "off"})
_LLM_INPUTS = ("delta", "full", "none")


def _is_provider(value: object) -> bool:
    return value is None or callable(getattr(value, "get_tracer", None))


def _is_mapping(value: object) -> bool:
    return value is None or isinstance(value, Mapping)


def _is_switch(value: object) -> bool:
    return value is None or isinstance(value, bool)


def _is_function(value: object) -> bool:
    return value is None or callable(value)


def _is_plain_function(value: object) -> bool:
    return _is_function(value) and not inspect.iscoroutinefunction(value)


def _is_llm_input(value: object) -> bool:
    return isinstance(value, str) and value in _LLM_INPUTS


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        meaning: what it does, in Markdown, as the documentation has it.
        must: what a value must be, as errors say it.
        check: whether a value is that.
        plain: values are short words and numbers, which errors may show.
    """

    meaning: str
    must: str
    check: Callable[[object], bool]
    plain: bool = False


#: The options by name, in the order in which they are documented.
OPTIONS: dict[str, Option] = {
    "tracer_provider": Option(
        "an OpenTelemetry `TracerProvider` with your exporters", "a TracerProvider", _is_provider
    ),
    "metadata": Option("attributes for every span of this process", "a mapping of attributes", _is_mapping),
    "allow_pii": Option(
        "whether exporters receive content: speech, payloads, job tags, names of rooms and people, and tool names "
        "that a model made up. None reads the environment variable `LIVEKIT_TELEMETRY_ALLOW_PII`, with True as the"
        " default. LiveKit's redaction always takes precedence",
        "True, False or None",
        _is_switch,
        plain=True,
    ),
    "native_spans": Option(
        "whether LiveKit's own spans also go to the provider. None means True, or False with `redact`, which does "
        "not apply to them. False keeps them from the provider, also if it is OpenTelemetry's global provider; "
        "your own spans then nest below those of livekit_otel. If LiveKit's tracer was given another provider "
        "(LiveKit Cloud's), it keeps that one",
        "True, False or None",
        _is_switch,
        plain=True,
    ),
    "session_attributes": Option(
        "`(job_context_or_None, agent_session) -> attributes` for every span of that session, called once per "
        "session, with the room connected if `session.start(room=...)` connects it; may replace `session.id` and "
        "add `user.id`, tags and so on",
        "a callable (job_context, agent_session) -> mapping",
        _is_function,
    ),
    "llm_input": Option(
        'the messages that an `llm` span records: `"delta"` (messages since the agent\'s last request), `"full"` or'
        ' `"none"`',
        f"one of {', '.join(_LLM_INPUTS)}",
        _is_llm_input,
        plain=True,
    ),
    "flush_timeout": Option(
        "maximum seconds that a process waits for the exporters before it ends, so that the last spans of a job "
        "are exported without an explicit flush; 0 turns this off",
        "a number of seconds, 0 or more",
        _is_seconds,
        plain=True,
    ),
    "redact": Option(
        "partial redaction: `(text, kind) -> text`, called for each complete text of content before it is "
        "recorded. A text is withheld if the function raises; fragments of texts (interim transcripts, TTS input) "
        "are always withheld. `livekit_otel.PatternRedactor` is a ready-made function; docs/privacy.md lists the "
        "kinds",
        "a callable (text, kind) -> text that is not async",
        _is_plain_function,
    ),
    "thresholds": Option(
        'seconds from which waits are flagged, like `{"slow": 1.5, "dead_air": 4}`; the defaults are 2.0 seconds '
        "of `e2e_latency` for `slow` and 3.0 for `dead_air`. They set flags and do not change any measurement; "
        "docs/latency.md describes the flags",
        "a mapping of names to seconds",
        _is_mapping,
    ),
}


@dataclass(frozen=True)
class Options:
    """The options of a call of ``set_tracer_provider`` or ``instrument``; ``OPTIONS`` says what each means.

    Attributes:
        tracer_provider: None means OpenTelemetry's global one.
        native_spans: None leaves LiveKit's tracer alone. Never so with ``redact``, which does not reach its spans.
        prepare: called with the provider of each session, and its thresholds, before it opens: adds what must be on
            it, once. Returns a processor for the session's spans where the provider takes none.
        turn_ending: called with a provider, a turn's span that goes there and is about to end, and its end.
    """

    tracer_provider: TracerProvider | None = None
    metadata: Mapping[str, AttributeValue] = field(default_factory=dict)
    allow_pii: bool | None = None
    native_spans: bool | None = None
    session_attributes: SessionAttributes | None = None
    llm_input: LLMInput = "delta"
    flush_timeout: float = 5.0
    redact: Redact | None = None
    thresholds: Mapping[str, float] | None = None
    prepare: Callable[[TracerProvider, Mapping[str, float] | None], SpanProcessor | None] | None = None
    turn_ending: Callable[[TracerProvider, Span, int], None] | None = None

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> Options:
        """Options from keywords; names that are no option are ignored, as by OpenTelemetry's own instrumentors.

        Args:
            values: by name; one that is missing has its default.

        Raises:
            OptionError: a value cannot work; the message names the option.
        """
        for name, option in OPTIONS.items():
            if name in values and not option.check(values[name]):
                shown = _shown(values[name], plain=option.plain)
                raise OptionError(f"{name} must be {option.must}, not {shown}")
        thresholds = check_thresholds(values.get("thresholds"))
        if values.get("redact") is not None and values.get("native_spans"):
            raise OptionError(
                "redact does not reach LiveKit's own spans, which native_spans=True sends to the provider with all "
                "that is said: leave native_spans out, or leave redact out and set allow_pii=False"
            )
        options = cls(**{one.name: values[one.name] for one in fields(cls) if one.name in values})
        if options.redact is not None:
            options = replace(options, native_spans=False)
        # a copy: the caller may change the mapping afterwards
        metadata = users_attributes("metadata", options.metadata or {})
        return replace(options, metadata=metadata, thresholds=thresholds, flush_timeout=float(options.flush_timeout))

    def content_allowed(self) -> bool:
        """``allow_pii``, else the environment variable that LiveKit reads, else True."""
        if self.allow_pii is not None:
            return self.allow_pii
        raw = os.environ.get(ALLOW_PII_VARIABLE)
        return raw is None or raw.strip().lower() not in _FALSY


def _shown(value: object, *, plain: bool) -> str:
    """A plain value as it is; of anything else the type, since it may be long, or hold what nobody may see."""
    return repr(value) if plain and (value is None or isinstance(value, str | int | float)) else type(value).__name__
