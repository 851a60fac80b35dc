"""What the package's source imports, read from its syntax trees: modules, arrows between them, and cycles."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import livekit_otel

PACKAGE = Path(livekit_otel.__file__).parent
ROOT = "livekit_otel"
Function = ast.FunctionDef | ast.AsyncFunctionDef


def _dotted(path: Path) -> str:
    parts = (ROOT, *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


#: dotted name -> file, for every module and package of ours
MODULES: dict[str, Path] = {_dotted(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def unit(module: str) -> str:
    """The package or top-level module that a module belongs to; the package itself is ``__init__``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@cache
def tree(module: str) -> ast.Module:
    """The syntax tree of a module of ours."""
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


@cache
def imported(module: str) -> frozenset[str]:
    """Absolute dotted names that a module imports, with the name that is taken from each; type-checking ones, too."""
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    segments = package.split(".")
    found: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = segments[: len(segments) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{source}.{one.name}" for one in node.names}
    return frozenset(found)


@cache
def arrows(module: str) -> frozenset[str]:
    """Modules of ours that a module imports from. A name of a package that is no module of it is the package's own."""
    found = {_home(name) for name in imported(module) if name.split(".")[0] == ROOT}
    return frozenset(found - {module})


def _home(name: str) -> str:
    while name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def cycles(graph: Mapping[str, frozenset[str]]) -> list[set[str]]:
    """Groups of nodes that reach each other (Tarjan's strongly connected components with more than one node)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in graph[node]:
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            group = {stack.pop()}
            while node not in group:
                group.add(stack.pop())
            if len(group) > 1:
                found.append(group)

    for node in graph:
        if node not in order:
            visit(node)
    return found


def functions(module: str) -> Iterator[tuple[str, Function]]:
    """Every function and method of a module, with the names of the classes and functions around it."""

    def below(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function | ast.ClassDef):
                name = f"{prefix}{child.name}"
                if not isinstance(child, ast.ClassDef):
                    yield name, child
                yield from below(child, f"{name}.")
            else:
                yield from below(child, prefix)

    return below(tree(module), "")


def body_lines(function: Function) -> int:
    """Lines of a function's body, its docstring aside."""
    body = function.body
    if ast.get_docstring(function, clean=False) is not None:
        body = body[1:]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def parameters(function: Function | ast.Lambda) -> Iterator[ast.arg]:
    """All parameters of a function, starred ones included."""
    args = function.args
    yield from (*args.posonlyargs, *args.args, *args.kwonlyargs)
    yield from (one for one in (args.vararg, args.kwarg) if one is not None)
