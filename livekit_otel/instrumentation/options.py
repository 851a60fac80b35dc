"""What the user asked for, checked once."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import TracerProvider
from opentelemetry.util.types import AttributeValue

from .. import attributes as attr
from .._display import visible
from ..errors import OptionError

logger = logging.getLogger("livekit_otel")

LLMInput: TypeAlias = Literal["delta", "full", "none"]
SessionAttributes: TypeAlias = Callable[[Any, Any], Mapping[str, AttributeValue]]

ALLOW_PII_VARIABLE = "LIVEKIT_TELEMETRY_ALLOW_PII"
_FALSY = frozenset({"0", "false", "no", "off"})
_MAX_REFUSED = 100
_LLM_INPUTS = ("delta", "full", "none")


_refused: set[tuple[str, str]] = set()


def users_attributes(option: str, given: Mapping[Any, Any]) -> dict[str, Any]:
    """What a user gives for every span, without what only the library sets; that is logged once for each name."""
    found = {str(key): one for key, one in given.items()}
    refused = [name for name in found if not name or attr.is_reserved(name)]
    for name in refused:
        del found[name]
    unsaid = [name for name in refused if (option, name) not in _refused and len(_refused) < _MAX_REFUSED]
    if unsaid:
        _refused.update((option, name) for name in unsaid)
        logger.warning(
            "livekit_otel: %s cannot set %s: only livekit_otel sets attributes of its own schema; give yours other "
            "names (session.id, gen_ai.conversation.id and user.id may be set)",
            option,
            visible(", ".join(map(repr, unsaid))),
        )
    return found


@dataclass(frozen=True)
class Options:
    """Options of the instrumentation. ``tracer_provider`` None means OpenTelemetry's global one."""

    tracer_provider: TracerProvider | None = None
    metadata: Mapping[str, AttributeValue] = field(default_factory=dict)
    allow_pii: bool | None = None
    session_attributes: SessionAttributes | None = None
    llm_input: LLMInput = "delta"
    #: seconds that the end of a process may wait for the exporter; 0 leaves flushing to the user
    flush_timeout: float = 5.0
    #: whether LiveKit's own spans go to the provider; None leaves LiveKit's tracer alone
    native_spans: bool | None = None
    #: called with the provider of each session before it opens: adds what must be on it, once. Returns a processor
    #: for the session's spans where the provider takes none
    prepare: Callable[[TracerProvider], SpanProcessor | None] | None = None

    @classmethod
    def checked(
        cls,
        *,
        tracer_provider: object = None,
        metadata: object = None,
        allow_pii: object = None,
        session_attributes: object = None,
        llm_input: object = "delta",
        flush_timeout: object = 5.0,
        native_spans: object = None,
        prepare: Callable[[TracerProvider], SpanProcessor | None] | None = None,
    ) -> Options:
        """Options, or :class:`OptionError` that names the wrong one."""
        if tracer_provider is not None and not callable(getattr(tracer_provider, "get_tracer", None)):
            raise OptionError(f"tracer_provider must be a TracerProvider, not {type(tracer_provider).__name__}")
        if metadata is not None and not isinstance(metadata, Mapping):
            raise OptionError(f"metadata must be a mapping of attributes, not {type(metadata).__name__}")
        if allow_pii is not None and not isinstance(allow_pii, bool):
            raise OptionError(f"allow_pii must be True, False or None, not {allow_pii!r}")
        if session_attributes is not None and not callable(session_attributes):
            raise OptionError(
                "session_attributes must be a callable (job_context, agent_session) -> mapping, "
                f"not {type(session_attributes).__name__}"
            )
        if llm_input not in _LLM_INPUTS:
            raise OptionError(f"llm_input must be one of {', '.join(_LLM_INPUTS)}, not {llm_input!r}")
        if native_spans is not None and not isinstance(native_spans, bool):
            raise OptionError(f"native_spans must be True or False, not {native_spans!r}")
        if isinstance(flush_timeout, bool) or not isinstance(flush_timeout, int | float) or flush_timeout < 0:
            raise OptionError(f"flush_timeout must be a number of seconds, 0 or more, not {flush_timeout!r}")
        return cls(
            tracer_provider=tracer_provider,  # type: ignore[arg-type]
            metadata=users_attributes("metadata", metadata or {}),
            allow_pii=allow_pii,
            session_attributes=session_attributes,
            llm_input=llm_input,  # type: ignore[arg-type]
            flush_timeout=float(flush_timeout),
            native_spans=native_spans,
            prepare=prepare,
        )

    def content_allowed(self) -> bool:
        """``allow_pii``, else the environment variable that LiveKit reads, else True."""
        if self.allow_pii is not None:
            return self.allow_pii
        raw = os.environ.get(ALLOW_PII_VARIABLE)
        return raw is None or raw.strip().lower() not in _FALSY
