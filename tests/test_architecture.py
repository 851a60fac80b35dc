"""The layout says what the idea is: who may import whom, where names live, and how large things get."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

import livekit_otel
from livekit_otel._install_hint import install_hint

from .source_tree import MODULES, arrows, body_lines, cycles, functions, imported, parameters, tree, unit

#: small things of every package: what may be shown, how files are made, how this copy was installed, containment
EVERYWHERE = {"_display", "_json", "_install_hint", "_private_files", "containment", "privacy"}
#: what every package may import, besides those
BASE = {"attributes", "errors", "spans", "thresholds"}
#: package or top-level module -> what of ours it may import besides itself. Rooms that are planned have their row, too.
ALLOWED: dict[str, set[str]] = {
    **{name: set() for name in sorted(EVERYWHERE)},
    "attributes": set(),
    "errors": set(),
    "spans": {"attributes", "errors"},
    "thresholds": {"errors"},
    "redaction": BASE,
    "journal": {*BASE, "redaction"},
    "otlp": BASE,
    "transport": BASE,
    "provider": BASE,
    "turns": BASE,
    "processor": {*BASE, "turns"},
    "instrumentation": {*BASE, "journal", "provider", "redaction"},
    "exporters": {*BASE, "provider"},
    "dialects": BASE,
    "report": {*BASE, "turns", "journal", "dialects"},
    "readers": {*BASE, "otlp", "transport"},
    "replay": {*BASE, "otlp", "transport"},
    "doctor": {*BASE, "otlp", "transport", "instrumentation"},
    "demo": {*BASE, "report", "__init__"},
    "cli": {*BASE, "__init__", "demo", "doctor", "readers", "replay", "report", "transport"},
    "_setup": {"instrumentation", "processor", "provider", "redaction"},
    "__init__": {"_setup", "errors", "processor", "readers", "redaction", "report", "spans", "turns"},
    "__main__": {"cli"},
}
#: Layers of the instrumentation: arrows between them go down this list.
INSTRUMENTATION = ("hooks", "session", "trackers", "scope", "span")
#: Modules that import each other in a circle. A module leaves this list when it leaves the circle; none is added.
CIRCLE: set[str] = set()
LINES = 250
#: Files above the limit, with the lines that they may have at most. Shorter ones get a smaller number, or leave.
LONG_FILES = {
    "livekit_otel.attributes": 1_308,  # a table, as long as the schema
}
BODY_LINES = 40
LONG_FUNCTIONS: dict[str, int] = {}
#: Parameters of the instrumentation that say nothing of what they take. The number only shrinks.
UNTYPED_PARAMETERS = 39
UNTYPED = {"Any", "object", "dict[str, Any]", "Any | None", "object | None", "dict[str, Any] | None"}
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

each_module = pytest.mark.parametrize("module", MODULES)


@each_module
def test_imports_go_one_way(module: str) -> None:
    """A package imports only those that its row of the table names; a package without a row fails."""
    own = unit(module)
    assert {unit(one) for one in arrows(module)} - {own} - EVERYWHERE <= ALLOWED[own]


@pytest.mark.parametrize("name", sorted(EVERYWHERE))
def test_what_every_package_may_import_imports_none(name: str) -> None:
    """The small things that everything uses use nothing of ours."""
    assert arrows(f"livekit_otel.{name}") == set()


@each_module
def test_the_instrumentation_is_layered(module: str) -> None:
    """hooks -> session -> trackers -> scope -> span: no module of a layer imports one of a layer above it."""
    own = _layer(module)
    layers = {one: _layer(one) for one in arrows(module)}
    assert [one for one, layer in layers.items() if own is not None and layer is not None and layer < own] == []


def _layer(module: str) -> int | None:
    """Place of a module among the layers; None for what stands beside them (the patch table, the switch, helpers)."""
    parts = module.split(".")
    known = len(parts) > 2 and parts[1] == "instrumentation" and parts[2] in INSTRUMENTATION
    return INSTRUMENTATION.index(parts[2]) if known else None


def test_no_module_imports_itself_over_others() -> None:
    """No import cycles, type-checking imports included, but for the one circle that is listed, module by module."""
    found = set().union(*cycles({module: arrows(module) for module in MODULES}))
    assert found == CIRCLE


def test_cycles_are_found() -> None:
    """The search finds each circle and nothing that only leads into one."""
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a"}, "g": set()}
    found = cycles({node: frozenset(others) for node, others in graph.items()})
    assert sorted(map(sorted, found)) == [["a", "b", "c"], ["d", "e"]]


@each_module
def test_only_the_instrumentation_and_the_demo_know_livekit(module: str) -> None:
    """livekit and wrapt are imported by the instrumentation (and livekit by the demo agent) alone."""
    foreign = {name.split(".")[0] for name in imported(module)} & {"livekit", "wrapt"}
    allowed = {"instrumentation": {"livekit", "wrapt"}, "demo": {"livekit"}}
    assert foreign <= allowed.get(unit(module), set())


@each_module
def test_attribute_names_have_one_home(module: str) -> None:
    """No attribute name is written out anywhere but in attributes.py."""
    if module == "livekit_otel.attributes":
        return
    docs = {id(node.value) for node in ast.walk(tree(module)) if isinstance(node, ast.Expr)}
    names = {
        node.value
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docs
        and node.value.startswith(("livekit_otel.", "gen_ai.", "lk."))
        and not node.value.startswith("livekit_otel.cli")
    }
    assert names == set()


def test_files_stay_small() -> None:
    """A source file has at most 250 lines; those that have more are listed, and only get shorter."""
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in MODULES.items()}
    long = {module: length for module, length in lengths.items() if length > LINES}
    assert long.keys() == LONG_FILES.keys()
    assert {module: length for module, length in long.items() if length > LONG_FILES[module]} == {}


def test_functions_stay_short() -> None:
    """A function's body has at most 40 lines (signature and docstring aside); exceptions are listed, and shrink."""
    lengths = {f"{module}.{name}": body_lines(function) for module in MODULES for name, function in functions(module)}
    long = {name: length for name, length in lengths.items() if length > BODY_LINES}
    assert long.keys() == LONG_FUNCTIONS.keys()
    assert {name: length for name, length in long.items() if length > LONG_FUNCTIONS[name]} == {}


def test_parameters_say_what_they_take() -> None:
    """Any, object or dict[str, Any] as a parameter's type: no more in the instrumentation than are allowed."""
    found = [
        one
        for module in MODULES
        if unit(module) == "instrumentation"
        for function in ast.walk(tree(module))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for one in parameters(function)
        if one.annotation is not None and ast.unparse(one.annotation) in UNTYPED
    ]
    assert len(found) <= UNTYPED_PARAMETERS


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
