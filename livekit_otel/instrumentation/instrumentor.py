"""Activates and deactivates the instrumentation. The wrappers are loaded only on activation."""

from __future__ import annotations

import logging
from importlib import metadata as package_metadata
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import TracerProvider

from .. import attributes as attr
from .._install_hint import install_hint
from ..containment import contained
from ..errors import MissingDependencyError, OptionError
from ..provider import export_watch, process_exit, proxies, shutdown_watch
from . import livekit_api, livekit_job, livekit_telemetry, livekit_tracer
from .options import Options

if TYPE_CHECKING:
    from .patches import Applied

__all__ = ["REQUIREMENT", "activate", "check_livekit", "configure", "deactivate", "place_native_spans"]

logger = logging.getLogger("livekit_otel")

REQUIREMENT = "livekit-agents >= 1.8.3, < 2"
_OLDEST = (1, 8, 3)
_warned = False


def check_livekit() -> None:
    """Raise :class:`MissingDependencyError` unless a supported version of livekit-agents is installed."""
    try:
        version = package_metadata.version("livekit-agents")
        import livekit.agents  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "livekit-agents is not installed, and livekit_otel instruments it: " + install_hint("instruments")
        ) from error
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if numbers < _OLDEST or numbers >= (2,):
        raise MissingDependencyError(
            f"livekit-agents {version} is installed, but livekit_otel instruments {REQUIREMENT}: "
            + install_hint("instruments")
        )


def activate(options: Options) -> list[Applied]:
    """Wrap LiveKit for sessions that start from now on. Return the patches for :func:`deactivate` to remove."""
    from . import patches

    configure(options)
    return patches.apply()


def configure(options: Options) -> None:
    """Set the options of the sessions that start from now on."""
    from . import closing, registry
    from .hooks import session as session_hooks

    if options.redact is not None:
        _keep_unredacted_away(options.tracer_provider or trace.get_tracer_provider())
    session_hooks.configure(options)
    if options.tracer_provider is not None:
        process_exit.flush_at_exit(options.tracer_provider, options.flush_timeout, closing.finish_open)
        export_watch.watch(options.tracer_provider)
        shutdown_watch.watch(options.tracer_provider, registry.running_on)


def deactivate(applied: list[Applied]) -> None:
    """End the traces of running sessions and unwrap LiveKit."""
    from . import closing, patches, registry

    for state in registry.all_states():
        if not state.closed:
            closing.finish_now(state, state.scope.session, attr.ENDED_UNINSTRUMENTED)
    registry.forget_all()
    patches.restore(applied)
    livekit_tracer.restore()
    export_watch.unwatch()


def place_native_spans(provider: TracerProvider, options: Options) -> None:
    """Send LiveKit's own spans to the provider as well, or keep them from it."""
    if options.native_spans:
        _warn_inside_a_job(provider)
        allowed = options.content_allowed()
        livekit_tracer.share(provider, options.metadata, allow_pii=options.allow_pii, content=allowed)
    else:
        livekit_tracer.keep_away(provider)


def _keep_unredacted_away(provider: TracerProvider) -> None:
    livekit_tracer.keep_away(provider)
    if livekit_tracer.reaches(provider):
        raise OptionError(
            "redact does not apply to LiveKit's own spans, and LiveKit's tracer uses this provider (set by LiveKit's "
            "set_tracer_provider): remove that call, or pass another provider to livekit_otel"
        )


def _warn_inside_a_job(provider: TracerProvider) -> None:
    """Warn if the provider is set in the entrypoint: LiveKit's root span of the job begins before that."""
    global _warned
    with contained("provider.place"):
        job = livekit_api.job_context()
        if _warned or job is None:
            return
        # the user may just have called LiveKit's set_tracer_provider, so the provider may already be LiveKit's
        given = proxies.same(livekit_telemetry.native_provider(), provider)
        if given and (not livekit_job.is_run(job) or trace.get_current_span().get_span_context().is_valid):
            return
        _warned = True
        logger.warning(
            "livekit_otel: the provider was set inside a job, after LiveKit began its root span (job_entrypoint): "
            "that span is missing, and spans outside the session are in separate traces. "
            "Set the provider at module level or in setup_fnc"
        )
