"""What the package imports is what it declares: no import that works only because somebody else brings it along."""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

from .source_tree import MODULES, ROOT, imported, unit

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: package or top-level module -> extras that it may import besides the core
EXTRAS = {
    "cli": {"cli"},
    "demo": {"demo"},
    "instrumentation": {"instruments"},
    "redaction": {"redact"},
    "report": {"cli", "html"},
}
#: declared nowhere: used where the user has it
OPTIONAL = {
    (
        "doctor",
        "opentelemetry-exporter-otlp-proto-grpc",
    ): "doctor checks a gRPC endpoint with the exporter for it",
}
#: extras that are there for people, not for imports of the package
FOR_PEOPLE = {"test", "dev"}


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match.group()).lower()


def _declared(requirements: list[str]) -> set[str]:
    return {_name(one) for one in requirements} - {"livekit-otel"}


CORE = _declared(PROJECT["dependencies"])
BY_EXTRA = {name: _declared(needs) for name, needs in PROJECT["optional-dependencies"].items()}


@cache
def _owners() -> dict[str, str]:
    """Dotted module -> the distribution that has its file. (Namespace packages such as opentelemetry have many.)"""
    tops = {name.split(".")[0] for module in MODULES for name in imported(module)} - sys.stdlib_module_names - {ROOT}
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        for file in distribution.files or ():
            parts = file.parts
            if parts[0].split(".")[0] in tops and file.suffix in (".py", ".so", ".pyd"):
                dotted = [*parts[:-1], parts[-1].split(".")[0]]
                if dotted[-1] == "__init__":
                    dotted.pop()
                found[".".join(dotted)] = _name(distribution.metadata["Name"])
    return found


def _distribution(name: str) -> str:
    """The distribution that an imported name comes from."""
    segments = name.split(".")
    for end in range(len(segments), 0, -1):
        if owner := _owners().get(".".join(segments[:end])):
            return owner
    return f"none that is installed here ({name})"


def _used(module: str) -> set[str]:
    names = {name for name in imported(module) if name.split(".")[0] not in {*sys.stdlib_module_names, ROOT}}
    return {_distribution(name) for name in names}


@pytest.mark.parametrize("module", MODULES)
def test_imports_are_declared(module: str) -> None:
    """Whatever a module imports, the core or an extra of its package declares, though another package may bring it."""
    own = unit(module)
    allowed = CORE.union(*(BY_EXTRA[extra] for extra in EXTRAS.get(own, ())))
    optional = {distribution for package, distribution in OPTIONAL if package == own}
    assert _used(module) - optional <= allowed


def test_declared_dependencies_are_imported() -> None:
    """Each dependency of the core, and each of an extra, is imported by a module that may use it."""
    used: dict[str, set[str]] = {}
    for module in MODULES:
        used.setdefault(unit(module), set()).update(_used(module))
    assert CORE - set().union(*used.values()) == set()
    for extra in BY_EXTRA.keys() - FOR_PEOPLE:
        users = [own for own, extras in EXTRAS.items() if extra in extras]
        assert BY_EXTRA[extra] - set().union(*(used[own] for own in users)) == set(), extra


def test_optional_ones_are_in_use() -> None:
    """Each import that is listed as optional is really there."""
    used = {(unit(module), distribution) for module in MODULES for distribution in _used(module)}
    assert OPTIONAL.keys() <= used
