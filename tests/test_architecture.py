"""The layout says what the idea is: who may import whom, and where names live."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import livekit_otel
from livekit_otel._install_hint import install_hint

PACKAGE = Path(livekit_otel.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
#: small things of every package: what may be shown, how files are made, how this copy was installed
EVERYWHERE = {"_display", "_install_hint", "_private_files"}
ALLOWED = {
    "attributes": set(),
    "errors": set(),
    "containment": set(),
    "spans": {"attributes", "errors"},
    "privacy": set(),
    "journal": {"attributes", "errors", "spans", "containment", "privacy"},
    "instrumentation": {"attributes", "errors", "containment", "journal", "privacy"},
    "session_spans": {"attributes", "spans", "errors"},
    "turns": {"attributes", "spans", "errors", "containment"},
    "report": {"attributes", "spans", "turns", "errors", "journal"},
    "readers": {"attributes", "spans", "errors"},
    "exporters": {"attributes", "errors", "containment"},
}
WITHOUT_LIVEKIT = """
import importlib.abc, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "livekit":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
import livekit_otel
for name in livekit_otel.__all__:
    getattr(livekit_otel, name)
import livekit_otel.cli
try:
    livekit_otel.LiveKitInstrumentor().instrument()
except livekit_otel.MissingDependencyError as error:
    print(error)
"""


def _id(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def _unit(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0].removesuffix(".py")


def _imports(path: Path) -> set[tuple[str, ...]]:
    """Absolute names that a module imports, as tuples of segments."""
    package = ("livekit_otel", *path.relative_to(PACKAGE).parts[:-1])
    found: set[tuple[str, ...]] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {tuple(one.name.split(".")) for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            found |= {(*module, one.name) for one in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_imports_go_one_way(path: Path) -> None:
    """A package imports only those below it."""
    unit = _unit(path)
    if unit not in ALLOWED:
        return
    ours = {name[1] for name in _imports(path) if name[0] == "livekit_otel" and len(name) > 1}
    assert ours - ALLOWED[unit] - EVERYWHERE - {unit} == set()


@pytest.mark.parametrize("name", sorted(EVERYWHERE))
def test_what_every_package_may_import_imports_none(name: str) -> None:
    """The small things that everything uses use nothing of ours."""
    assert {one for one in _imports(PACKAGE / f"{name}.py") if one[0] == "livekit_otel"} == set()


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_only_the_instrumentation_and_the_demo_know_livekit(path: Path) -> None:
    """livekit and wrapt are imported by the instrumentation (and livekit by the demo agent) alone."""
    foreign = {name[0] for name in _imports(path)} & {"livekit", "wrapt"}
    allowed = {"instrumentation": {"livekit", "wrapt"}, "demo": {"livekit"}}
    assert foreign <= allowed.get(_unit(path), set())


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_attribute_names_have_one_home(path: Path) -> None:
    """No attribute name is written out anywhere but in attributes.py."""
    if path.name == "attributes.py":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    names = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docs
        and node.value.startswith(("livekit_otel.", "gen_ai.", "lk."))
        and not node.value.startswith("livekit_otel.cli")
    }
    assert names == set()


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_files_stay_small(path: Path) -> None:
    """A source file stays readable in one sitting; attributes.py is a table."""
    if path.name == "attributes.py":
        return
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_everything_but_the_instrumentation_works_without_livekit() -> None:
    """Where livekit is not installed, all imports work, and instrument() says what to install."""
    run = subprocess.run([sys.executable, "-c", WITHOUT_LIVEKIT], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert install_hint("instruments") in run.stdout


def test_public_names_are_what_is_exported() -> None:
    """Every name in __all__ can be had, and nothing public is missing from it."""
    assert sorted(livekit_otel.__all__) == list(livekit_otel.__all__)
    for name in livekit_otel.__all__:
        assert getattr(livekit_otel, name) is not None
