"""What is public: said once, documented, and typed by public names."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import livekit_otel
import livekit_otel.exporters
from livekit_otel.instrumentation.options import OPTIONS, Options

from .source_tree import MODULES, ROOT, tree

PROJECT = Path(__file__).parent.parent
PUBLIC = [(module, name) for module in (livekit_otel, livekit_otel.exporters) for name in module.__all__]
#: what does not list what others may use: tables, and the instrumentation, which nobody imports
UNLISTED = ("livekit_otel.attributes", "livekit_otel.journal.format", "livekit_otel.instrumentation")

each_public = pytest.mark.parametrize(("module", "name"), PUBLIC, ids=[name for _, name in PUBLIC])


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_api", PROJECT / "docs" / "generate_api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_the_api_is_generated() -> None:
    """docs/api.md equals what docs/generate_api.py writes today."""
    assert (PROJECT / "docs" / "api.md").read_text(encoding="utf-8") == _generator().render()


def test_the_page_lists_what_is_public() -> None:
    """The names on the page are those that the two public modules export, each once."""
    page = (PROJECT / "docs" / "api.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^#### (\w+)$", page, re.MULTILINE)) == sorted(name for _, name in PUBLIC)


@each_public
def test_what_is_public_can_be_had(module: ModuleType, name: str) -> None:
    """Each exported name is there, and is what its home has under that name."""
    found = getattr(module, name)
    home = importlib.import_module(getattr(found, "__module__", module.__name__))
    assert getattr(home, name, found) is found


@each_public
def test_what_is_public_is_documented(module: ModuleType, name: str) -> None:
    """Public classes and functions have a docstring, and so have their public methods and properties."""
    found = getattr(module, name)
    assert inspect.getdoc(found)
    members = vars(found).items() if inspect.isclass(found) else ()
    foreign = {key for base in getattr(found, "__mro__", ()) if not _is_ours(base) for key in vars(base)}
    assert [
        key
        for key, value in members
        if not key.startswith("_")
        and key not in foreign
        and (inspect.isfunction(value) or isinstance(value, property))
        and not value.__doc__
    ] == []


@each_public
def test_public_names_are_typed_by_public_names(module: ModuleType, name: str) -> None:
    """A class of ours that a public function or class returns is public, too."""
    public = {name for _, name in PUBLIC}
    found = getattr(module, name)
    annotations = list(_returned(found))
    known = {one for path in MODULES for one in _classes(path)}
    used = {word for text in annotations for word in re.findall(r"[A-Za-z_]\w*", text)}
    assert used & known <= public


def _returned(found: Any) -> Iterator[str]:
    """Annotations of what a user gets from it: results, fields and properties."""
    if inspect.isfunction(found):
        yield str(found.__annotations__.get("return", ""))
    if not inspect.isclass(found):
        return
    for base in filter(_is_ours, found.__mro__):
        fields = dataclasses.is_dataclass(base) or hasattr(base, "__struct_fields__")
        if fields:
            named = vars(base).get("__annotations__", {})
            yield from (str(value) for key, value in named.items() if key[0] != "_" and "Callable" not in str(value))
        for key, value in vars(base).items():
            function = getattr(value, "fget", None) or getattr(value, "func", None) or value
            if key[0] != "_" and inspect.isfunction(function):
                yield str(function.__annotations__.get("return", ""))


def _is_ours(cls: type) -> bool:
    return cls.__module__.split(".")[0] == ROOT


def _classes(module: str) -> Iterator[str]:
    return (node.name for node in tree(module).body if isinstance(node, ast.ClassDef))


def _listed(module: str) -> set[str] | None:
    """Names in ``__all__``, read from the source."""
    for node in tree(module).body:
        if isinstance(node, ast.Assign) and [ast.unparse(one) for one in node.targets] == ["__all__"]:
            return set(ast.literal_eval(node.value))
    return None


@pytest.mark.parametrize("module", [one for one in MODULES if not one.startswith(UNLISTED)])
def test_modules_list_what_others_use(module: str) -> None:
    """What a module of ours imports from another is in the other's ``__all__``; nothing private is taken from it."""
    missing = []
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom) and node.level:
            package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            source = ".".join([*base, *([node.module] if node.module else [])])
            names = {one.name for one in node.names if f"{source}.{one.name}" not in MODULES} - {"__version__"}
            if source in MODULES and not source.startswith(UNLISTED) and names:
                missing += sorted(f"{source}.{name}" for name in names - (_listed(source) or set()))
    assert missing == []


def test_importing_the_module_of_an_exporter_gives_a_module() -> None:
    """No function hides a module of its name, so that ``import … as`` gives what it says."""
    for module, path in MODULES.items():
        parent, _, name = module.rpartition(".")
        if parent and path.name != "__main__.py":
            importlib.import_module(module)
            assert isinstance(getattr(importlib.import_module(parent), name), ModuleType), module


@pytest.mark.parametrize("path", sorted(PROJECT.glob("examples/**/*.py")), ids=lambda one: one.name)
def test_examples_use_what_is_public(path: Path) -> None:
    """What people copy imports nothing internal."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    modules = {one.name for node in nodes if isinstance(node, ast.Import) for one in node.names}
    modules |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {one for one in modules if one.split(".")[0] == ROOT} <= {"livekit_otel", "livekit_otel.exporters"}


@pytest.mark.parametrize(
    "path", [PROJECT / "README.md", *sorted(PROJECT.glob("docs/*.md"))], ids=lambda path: path.name
)
def test_documents_use_what_is_public(path: Path) -> None:
    """Code in the documents imports nothing internal, and names of livekit_otel that there are."""
    text = path.read_text(encoding="utf-8")
    modules = set(re.findall(r"^\s*(?:from|import) (livekit_otel[\w.]*)", text, re.MULTILINE))
    assert modules <= {"livekit_otel", "livekit_otel.exporters"}
    named = set(re.findall(r"\blivekit_otel\.([A-Za-z_]\w*)\(", text))
    assert named <= {*livekit_otel.__all__, "exporters"}


def test_options_have_one_home() -> None:
    """The signature and docstring of set_tracer_provider say of each option what the table of options says."""
    generator = _generator()
    signature = inspect.signature(livekit_otel.set_tracer_provider)
    assert list(OPTIONS) == ["tracer_provider", *list(signature.parameters)[1:]]
    assert generator.documented_options() == {name: f"{option.meaning}." for name, option in OPTIONS.items()}
    defaults = {one.name: one for one in dataclasses.fields(Options)}
    assert defaults.keys() - OPTIONS.keys() == {"prepare", "turn_ending"}
    # False and None differ here: instrument() leaves LiveKit's tracer alone, set_tracer_provider does not
    for name in OPTIONS.keys() - {"tracer_provider", "native_spans", "metadata"}:
        assert signature.parameters[name].default == defaults[name].default, name


def test_the_table_of_options_is_generated() -> None:
    """The table of docs/options.md equals what docs/generate_api.py writes today."""
    page = (PROJECT / "docs" / "options.md").read_text(encoding="utf-8")
    generator = _generator()
    assert page == generator.with_options(page)
    assert generator.options_table() in page


def test_the_version_stands_in_one_place() -> None:
    """The package's metadata has the version that the module has."""
    from importlib import metadata

    assert metadata.version("livekit-otel") == livekit_otel.__version__
