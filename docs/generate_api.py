"""Writes docs/api.md and the table of docs/options.md from docstrings: ``python docs/generate_api.py``."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import docstring_parser

import livekit_otel
import livekit_otel.exporters
from livekit_otel.instrumentation import options
from livekit_otel.turns import model_usage

HEADER = """# Public API

Generated from docstrings by `python docs/generate_api.py`; do not edit.

This is all that is public: the names that `livekit_otel` and `livekit_otel.exporters` export, with the attributes and
methods listed here. All other modules are internal, whatever their names: they change without notice. Spans and
attributes are public as well; they have [a page of their own](attributes.md).
"""
_ERRORS = [name for name in livekit_otel.__all__ if name.endswith("Error")]
#: section -> names of livekit_otel
SECTIONS = {
    "Tracing": ["set_tracer_provider", "LiveKitInstrumentor", "PatternRedactor", "TurnSpanProcessor", "SessionSpans"],
    "Reading": ["read_spans", "SpanStream", "Problem", "SpanRecord"],
    "Reports": [
        "build_report",
        "build_reports",
        "SessionReport",
        "ReportWarning",
        "Turn",
        "Room",
        "Participant",
        "Outage",
    ],
    "Derived numbers": [
        "TurnLatency",
        "Flag",
        "Gap",
        "Incident",
        "Segment",
        "TurnDerivation",
        "Percentiles",
        "SessionDerivation",
        "Startup",
    ],
    "Usage": ["ModelUsage", "LLMUsage", "TTSUsage", "STTUsage", "InterruptionUsage", "EOTUsage"],
    "Errors": ["LiveKitOtelError", *(name for name in _ERRORS if name != "LiveKitOtelError")],
}
EXPORTERS = ["rotating_files", "RotatingFileExporter", "langfuse"]
#: type aliases, which have no docstring at run time: module that has it
_ALIASES: dict[str, ModuleType] = {"ModelUsage": model_usage}
_WIDTH = 100
ROOT = Path(__file__).parent.parent
_TABLE = re.compile(r"(?<=<!-- options -->\n).*?(?=<!-- /options -->)", re.DOTALL)


def render() -> str:
    """The page as Markdown."""
    lines = [HEADER, "## livekit_otel", ""]
    for section, names in SECTIONS.items():
        lines += [f"### {section}", ""]
        for name in names:
            lines += _entry(livekit_otel, name)
    lines += ["## livekit_otel.exporters", "", _markdown(inspect.getdoc(livekit_otel.exporters) or ""), ""]
    for name in EXPORTERS:
        lines += _entry(livekit_otel.exporters, name)
    return "\n".join(lines).rstrip() + "\n"


def options_table() -> str:
    """The options of ``set_tracer_provider`` as a Markdown table."""
    rows = ["| option | default | meaning |", "|---|---|---|"]
    for name, parameter in inspect.signature(livekit_otel.set_tracer_provider).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            default = str(parameter.default) if not isinstance(parameter.default, str) else f'"{parameter.default}"'
            rows.append(f"| `{name}` | `{default}` | {options.OPTIONS[name].meaning} |")
    return "\n".join(rows) + "\n"


def documented_options() -> dict[str, str]:
    """What the docstring of ``set_tracer_provider`` says of its parameters, by the name of the option."""
    found = {one.arg_name: _inline(one.description or "") for one in _parsed(livekit_otel.set_tracer_provider).params}
    return {"tracer_provider": found.pop("provider"), **found}


def with_options(page: str) -> str:
    """docs/options.md with the current table of options."""
    return _TABLE.sub(lambda _: options_table(), page)


def _entry(module: ModuleType, name: str) -> list[str]:
    if name in _ALIASES:
        return [f"#### {name}", "", *_alias(name)]
    found = getattr(module, name)
    lines = [f"#### {name}", ""]
    if not inspect.isclass(found):
        return [*lines, *_code(_signature(name, found)), *_documentation(found)]
    if issubclass(found, Exception):
        bases = ", ".join(base.__name__ for base in found.__bases__)
        return [*lines, *_code(f"class {name}({bases})"), *_documentation(found)]
    # a class without documented arguments is made by the library
    if _parsed(found).params and _parsed(found).params[0].args[0] == "param":
        lines += _code(_signature(name, found))
    lines += _documentation(found)
    fields = getattr(found, "__struct_fields__", ())
    if fields and not _parsed(found).params:
        lines += [f"Fields: {_names(', '.join(fields))}.", ""]
    members = [line for member, value in _members(found) for line in _member(member, value)]
    return [*lines, "Properties and methods:", "", *members, ""] if members else lines


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties, as they stand in the source; not those that OpenTelemetry or Python declare."""
    own = [base for base in cls.__mro__ if base.__module__.startswith("livekit_otel")]
    foreign = {name for base in cls.__mro__ if base not in own for name in vars(base)}
    for name, value in (member for base in own for member in vars(base).items()):
        is_property = isinstance(value, property | cached_property)
        if not name.startswith("_") and name not in foreign and (is_property or inspect.isfunction(value)):
            yield name, value


def _member(name: str, value: Any) -> list[str]:
    text = textwrap.indent(_markdown(inspect.getdoc(value) or ""), "  ").strip()
    shown = _signature(name, value, method=True) if inspect.isfunction(value) else name
    return [f"- `{shown}`: {text}"]


def _alias(name: str) -> list[str]:
    """A type alias and the text below it in the source."""
    source = inspect.getsource(_ALIASES[name])
    found = re.search(rf'^{name}: TypeAlias = (.+)\n"""(.+?)"""', source, re.MULTILINE | re.DOTALL)
    assert found is not None
    return [*_code(f"{name} = {found[1]}"), _markdown(found[2]), ""]


def _code(text: str) -> list[str]:
    return ["```python", text, "```", ""]


def _signature(name: str, function: Any, *, method: bool = False) -> str:
    signature = inspect.signature(function)
    parameters = [one for one in signature.parameters.values() if not (method and one.name == "self")]
    shown: list[str] = []
    for number, one in enumerate(parameters):
        starts_keywords = one.kind is one.KEYWORD_ONLY and (
            number == 0 or parameters[number - 1].kind is not one.KEYWORD_ONLY
        )
        stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        default = "" if one.default is one.empty else f" = {one.default!r}"
        annotation = "" if one.annotation is one.empty else f": {one.annotation}"
        shown += [*(["*"] if starts_keywords else []), f"{stars}{one.name}{annotation}{default}"]
    returns = "" if signature.return_annotation is signature.empty else f" -> {signature.return_annotation}"
    line = f"{name}({', '.join(shown)}){returns}"
    if len(line) <= _WIDTH or method:
        return line
    return "\n".join([f"{name}(", *(f"    {one}," for one in shown), f"){returns}"])


def _parsed(found: Any) -> docstring_parser.Docstring:
    return docstring_parser.parse(inspect.getdoc(found) or "", docstring_parser.DocstringStyle.GOOGLE)


def _documentation(found: Any) -> list[str]:
    """Sections of a docstring as lists."""
    parsed = _parsed(found)
    lines = [_markdown(parsed.description or ""), ""]
    attributes = [one for one in parsed.params if one.args[0] == "attribute"]
    arguments = [one for one in parsed.params if one.args[0] != "attribute"]
    for title, entries in (("Arguments", arguments), ("Attributes", attributes)):
        if entries:
            lines += [f"{title}:", ""]
            lines += [f"- {_names(one.arg_name)}: {_inline(one.description or '')}" for one in entries] + [""]
    if parsed.returns is not None:
        lines += [f"Returns: {_inline(parsed.returns.description or '')}", ""]
    if parsed.raises:
        lines += ["Raises:", ""]
        lines += [f"- `{one.type_name}`: {_inline(one.description or '')}" for one in parsed.raises] + [""]
    return lines


def _names(names: str) -> str:
    return ", ".join(f"`{name}`" for name in names.split(", "))


def _markdown(text: str) -> str:
    """Text of a docstring: its blocks of code are fenced, a paragraph is one line or more."""
    parts: list[str] = []
    for block in re.split(r"\n{2,}(?=\S)|(?<=::)\n{2,}", text.strip()):
        if block == "::":
            continue
        if block.startswith(" "):
            parts.append("\n".join(_code(textwrap.dedent(block).rstrip())).rstrip())
        else:
            parts.append(_inline(re.sub(r"::$", ":", block)))
    return "\n\n".join(parts)


def _inline(text: str) -> str:
    """Roles and literals of reStructuredText as Markdown, in one line."""
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", " ".join(text.split()))
    return text.replace("``", "`")


if __name__ == "__main__":
    (ROOT / "docs" / "api.md").write_text(render(), encoding="utf-8")
    page = ROOT / "docs" / "options.md"
    page.write_text(with_options(page.read_text(encoding="utf-8")), encoding="utf-8")
