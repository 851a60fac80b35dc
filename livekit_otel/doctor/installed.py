"""The installed packages, and whether the instrumentation supports them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement

from .._install_hint import install_hint
from ..errors import MissingDependencyError
from .model import Check

__all__ = ["instrumentation", "packages"]

_OTEL = (
    "opentelemetry-api",
    "opentelemetry-sdk",
    "opentelemetry-semantic-conventions",
    "opentelemetry-instrumentation",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-exporter-otlp-json-file",
)
_OPTIONAL = ("opentelemetry-exporter-otlp-proto-grpc", "opentelemetry-distro")
#: extra -> packages, purpose
_EXTRAS = {
    "cli": (("typer", "rich"), "the command line"),
    "html": (("jinja2",), "HTML reports"),
    "redact": (("phonenumberslite", "python-stdnum"), "PatternRedactor"),
    "demo": (("pocketsphinx", "espeakng-loader"), "the demo call"),
}


def packages() -> Iterator[Check]:
    """Versions of the relevant packages, the extras, and whether the versions are compatible."""
    yield Check("packages", "ok", f"livekit-otel {_version('livekit-otel') or '(not installed, run from a checkout)'}")
    livekit = _version("livekit-agents")
    if livekit is not None:
        yield Check("packages", "ok", f"livekit-agents {livekit}")
    for name in (*_OTEL, *_OPTIONAL):
        version = _version(name)
        if version is not None:
            yield Check("packages", "ok", f"{name} {version}")
        elif name in _OTEL:
            yield Check("packages", "problem", f"{name} is not installed", install_hint())
    for extra, (names, purpose) in _EXTRAS.items():
        missing = [name for name in names if _version(name) is None]
        if missing:
            text = f"extra {extra}, for {purpose}, is not installed ({', '.join(missing)})"
            yield Check("packages", "note", text, install_hint(extra))
        else:
            versions = ", ".join(f"{name} {_version(name)}" for name in names)
            yield Check("packages", "ok", f"extra {extra}: {versions}")
    yield from _conflicts()


def _conflicts() -> Iterator[Check]:
    """OpenTelemetry versions that livekit-agents or livekit_otel does not accept, usually after a partial upgrade."""
    for owner in ("livekit-agents", "livekit-otel"):
        try:
            wanted = [Requirement(text) for text in metadata.requires(owner) or ()]
        except metadata.PackageNotFoundError:
            continue
        for one in wanted:
            version = _version(one.name) if one.name.startswith("opentelemetry-") else None
            if version is None or (one.marker is not None and not one.marker.evaluate({"extra": ""})):
                continue
            if not one.specifier.contains(version, prereleases=True):
                text = f"{one.name} {version} is installed, but {owner} {_version(owner)} needs {one.specifier}"
                yield Check("packages", "problem", text, f"pip install '{one.name}{one.specifier}'")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def instrumentation() -> Iterator[Check]:
    """Whether the version of livekit-agents is supported and contains every name that the instrumentation uses."""
    from ..instrumentation import check_livekit

    try:
        check_livekit()
    except MissingDependencyError as error:
        reason, _, fix = str(error).partition(": ")
        yield Check("instrumentation", "problem", f"{reason}; stored traces can still be read", fix)
        return
    except Exception as error:
        text = f"livekit-agents is installed but cannot be imported: {type(error).__name__}: {error}"
        yield Check("instrumentation", "problem", text, "pip install --upgrade --force-reinstall livekit-agents")
        return
    from ..instrumentation.livekit_names import PRIVATE_NAMES, VERIFIED
    from ..instrumentation.patches import PATCHES

    version = _version("livekit-agents")
    fix = "install a newer livekit_otel, or a version of livekit-agents that it supports: " + ", ".join(VERIFIED)
    missing = [f"{module}.{name}" for module, name, _ in PRIVATE_NAMES if not _resolves(module, name)]
    unpatchable = [f"{one.module}.{one.cls}.{one.name}" for one in PATCHES if not _owns(one.module, one.cls, one.name)]
    for name in sorted({*missing, *unpatchable}):
        yield Check("instrumentation", "problem", f"livekit-agents {version} has no {name}", fix)
    if not missing and not unpatchable:
        text = f"can be applied: all {len(PATCHES)} places to instrument, {len(PRIVATE_NAMES)} private names found"
        yield Check("instrumentation", "ok", text)
    if version not in VERIFIED:
        yield Check("instrumentation", "note", f"livekit-agents {version} was not tested; {', '.join(VERIFIED)} were")


def _resolves(module: str, name: str) -> bool:
    try:
        found: object = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return False
    return True


def _owns(module: str, cls: str, name: str) -> bool:
    """Whether the class itself defines the name, because a patch replaces only such names."""
    return _resolves(module, cls) and name in vars(getattr(importlib.import_module(module), cls))
