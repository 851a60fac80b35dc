"""``LiveKitInstrumentor`` and ``set_tracer_provider``: how the instrumentation is switched on and off."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from importlib import metadata as package_metadata
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.trace import TracerProvider

from .. import attributes as attr
from .._install_hint import install_hint
from ..containment import contained
from ..errors import MissingDependencyError
from ..provider import export_watch, process_exit, proxies, shutdown_watch
from . import livekit_api, livekit_telemetry, livekit_tracer
from .options import Options

logger = logging.getLogger("livekit_otel")

REQUIREMENT = "livekit-agents >= 1.8.3, < 2"
_OLDEST = (1, 8, 3)
_warned = False


def check_livekit() -> None:
    """Raise :class:`MissingDependencyError` unless a livekit-agents that we know is installed."""
    try:
        version = package_metadata.version("livekit-agents")
        import livekit.agents  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "livekit-agents is not installed, and it is what livekit_otel instruments: " + install_hint("instruments")
        ) from error
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if numbers < _OLDEST or numbers >= (2,):
        raise MissingDependencyError(
            f"livekit-agents {version} is installed, livekit_otel instruments {REQUIREMENT}: "
            + install_hint("instruments")
        )


class LiveKitInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Instruments LiveKit Agents, as every OpenTelemetry instrumentor does.

    ``instrument(tracer_provider=None, metadata=None, allow_pii=None, session_attributes=None, llm_input="delta")``:

    - ``tracer_provider``: where pipeline spans go; None for OpenTelemetry's global provider.
    - ``metadata``: attributes for every pipeline span.
    - ``allow_pii``: whether content is recorded; None for ``LIVEKIT_TELEMETRY_ALLOW_PII``, else True.
    - ``session_attributes``: ``(job_context_or_None, agent_session) -> attributes``, asked once per session.
    - ``llm_input``: ``"delta"`` (messages since the last request), ``"full"`` or ``"none"``.
    - ``flush_timeout``: seconds that the end of a process may wait for the exporter, 5 by default; 0 for never.

    Raises :class:`~livekit_otel.errors.MissingDependencyError` without a supported livekit-agents, and
    :class:`~livekit_otel.errors.OptionError` for a wrong option.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        return (REQUIREMENT,)

    def instrument(self, **kwargs: Any) -> None:
        """Check first: BaseInstrumentor only logs what is missing."""
        check_livekit()
        _options_from(kwargs)
        super().instrument(**kwargs)

    def _instrument(self, **kwargs: Any) -> None:
        from . import closing, patches, registry
        from .hooks import session as session_hooks

        options = _options_from(kwargs)
        session_hooks.configure(options)
        if options.tracer_provider is not None:
            process_exit.flush_at_exit(options.tracer_provider, options.flush_timeout, closing.finish_open)
            export_watch.watch(options.tracer_provider)
            shutdown_watch.watch(options.tracer_provider, registry.running_on)
        self._applied = patches.apply()

    def _uninstrument(self, **kwargs: Any) -> None:
        from . import closing, patches, registry

        for state in registry.all_states():
            if not state.closed:
                closing.finish_now(state, state.scope.session, attr.ENDED_UNINSTRUMENTED)
        registry.forget_all()
        patches.restore(self._applied)
        livekit_tracer.restore()
        export_watch.unwatch()


def _options_from(kwargs: Mapping[str, Any]) -> Options:
    known = (
        "tracer_provider",
        "metadata",
        "allow_pii",
        "session_attributes",
        "llm_input",
        "flush_timeout",
        "native_spans",
        "prepare",
    )
    return Options.checked(**{name: kwargs[name] for name in known if name in kwargs})


def configure(
    instrumentor: LiveKitInstrumentor,
    provider: TracerProvider,
    *,
    native_spans: bool,
    **options: Any,
) -> None:
    """Instrument for this provider, or change the options of an instrumentation that is on."""
    from . import closing, registry
    from .hooks import session as session_hooks

    check_livekit()
    options["native_spans"] = native_spans
    checked = _options_from({**options, "tracer_provider": provider})
    if native_spans:
        _warn_inside_a_job(provider)
        livekit_tracer.share(
            provider, checked.metadata or None, allow_pii=checked.allow_pii, content=checked.content_allowed()
        )
    else:
        livekit_tracer.keep_away(provider)
    if instrumentor.is_instrumented_by_opentelemetry:
        session_hooks.configure(checked)
        process_exit.flush_at_exit(provider, checked.flush_timeout, closing.finish_open)
        export_watch.watch(provider)
        shutdown_watch.watch(provider, registry.running_on)
    else:
        instrumentor.instrument(skip_dep_check=True, tracer_provider=provider, **options)


def _warn_inside_a_job(provider: TracerProvider) -> None:
    """LiveKit's root span of a job begins before the entrypoint: a provider that is set there does not get it."""
    global _warned
    with contained("provider.place"):
        if _warned or livekit_api.job_context() is None or proxies.same(livekit_telemetry.native_provider(), provider):
            return
        _warned = True
        logger.warning(
            "livekit_otel: the provider was set inside a job, after LiveKit began its root span (job_entrypoint): "
            "that span is missing, and what happens outside of the session is in traces of its own. "
            "Set the provider at module level or in setup_fnc"
        )
