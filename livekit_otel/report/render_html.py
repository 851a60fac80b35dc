"""Renders a report as one self-contained HTML file: no network, no fonts, no other files.

All content is either data (JSON in a script block, read with ``JSON.parse`` and shown with ``textContent``) or text
that jinja2 escapes. A Content-Security-Policy allows only the page's own script and style, by hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from .. import attributes as attr
from .._display import visible
from .._install_hint import install_hint
from ..errors import MissingDependencyError
from .model import SessionReport
from .one_line import one_line
from .page import page_data
from .trace_url import TraceUrl
from .usage import usage
from .verdict import Place, Sentence, Verdict, verdict
from .view import facts, latencies, offset
from .words import GLOSSARY, count, seconds

if TYPE_CHECKING:
    import jinja2

__all__ = ["to_html"]

_STYLES = ("colours.css", "page.css", "conversation.css")
_SCRIPTS = ("base.js", "bars.js", "entries.js", "turns.js", "timeline.js", "find.js", "main.js")
#: number of links of a sentence that are visible; the others can be expanded
_PLACES = 8


def to_html(report: SessionReport, *, trace_url: str | None = None) -> str:
    """Render the page.

    Args:
        report: the report.
        trace_url: template of links to a backend (:class:`TraceUrl`).

    Raises:
        MissingDependencyError: jinja2 is not installed (extra ``html``).
        OptionError: ``trace_url`` is not a valid template.
    """
    template = _template()
    url = None if trace_url is None else TraceUrl(trace_url)
    style, script = _files(_STYLES), _files(_SCRIPTS)
    found = verdict(report)
    return template.render(
        title=f"Call with {_agent(report)}" if _agent(report) else "Voice call",
        page_title=_title(report, found),
        facts={"session": report.session_id, **facts(report)},
        verdict=[_sentence(one, report) for one in found.sentences],
        notes=[one_line(one.message, None) for one in report.findings if not one.loss],
        stages=[row[0] for row in _silence(report)][:-1],
        latencies=latencies(report),
        silence=_silence(report),
        usage=usage(report),
        glossary=GLOSSARY,
        data=_embedded(page_data(report, found, url)),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _title(report: SessionReport, found: Verdict) -> str:
    """The title, which distinguishes tabs and printed files."""
    failed = sum(not one.saved for one in found.failures)
    parts = [
        f"Call {one_line(report.session_id)[:8]}",
        _agent(report),
        "" if report.duration is None else seconds(report.duration),
        count(failed, "failure") if failed else "",
    ]
    return " · ".join(part for part in parts if part)


def _agent(report: SessionReport) -> str:
    return one_line(report.agent_name or next((turn.agent for turn in report.turns if turn.agent), ""))


def _sentence(one: Sentence, report: SessionReport) -> dict[str, Any]:
    unique = {(place.turn, place.failure): place for place in reversed(one.places)}
    links = [_link(unique[key], report.started_at) for key in sorted(unique, key=lambda key: unique[key].at or 0.0)]
    return {"level": one.level, "text": one.text, "links": links[:_PLACES], "more": links[_PLACES:]}


def _link(place: Place, started_at: float | None) -> tuple[str, str]:
    at = offset(place.at, started_at).strip()
    if place.turn is None:
        return f"failure-{place.failure}", f"at {at}" if at else "see"
    return f"turn-{place.turn}", f"turn {place.turn}{f' at {at}' if at else ''}"


def _silence(report: SessionReport) -> list[tuple[str, str, str, str]]:
    """Rows of stage, seconds before the first words, seconds of later silences, and their sum. The last has totals."""
    first, later = report.silence, report.gap_stages
    rows = [(stage, first.get(stage, 0.0), later.get(stage, 0.0)) for stage in attr.SILENCE_STAGES]
    shown = [row for row in rows if row[1] + row[2] >= 0.005]
    if not shown:
        return []
    shown.append(("all", sum(first.values()), sum(later.values())))
    return [(stage, _seconds(one), _seconds(two), _seconds(one + two)) for stage, one, two in shown]


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 0.005 else "–"


def _embedded(data: dict[str, Any]) -> str:
    """JSON that cannot end its script block or start a comment."""
    text = json.dumps(_inert(data, lines=True), separators=(",", ":"), ensure_ascii=False)
    for raw, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(raw, escaped)
    return text


def _inert(value: Any, *, lines: bool = False) -> Any:
    """Escape control characters: browsers apply bidirectional ones, and copied text can be pasted into a terminal."""
    if isinstance(value, str):
        # the template marks the page's own script and style as safe
        return value if hasattr(value, "__html__") else visible(value, lines=lines)
    if isinstance(value, Mapping):
        return {name: _inert(one, lines=lines) for name, one in value.items()}
    return [_inert(one, lines=lines) for one in value] if isinstance(value, list | tuple) else value


@cache
def _template() -> jinja2.Template:
    """The template, compiled once because a source can contain thousands of sessions."""
    try:
        import jinja2
    except ImportError as error:
        raise MissingDependencyError(f"the HTML report needs jinja2: {install_hint('html')}") from error
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, finalize=_inert)
    return environment.from_string(_file("report.html.j2"))


@cache
def _files(names: tuple[str, ...]) -> str:
    """Join files of one language. Scripts are wrapped in one function, so that they define no globals."""
    text = "\n".join(_file(name) for name in names)
    return f'"use strict";\n(() => {{\n{text}\n}})();' if names[0].endswith(".js") else text


@cache
def _file(name: str) -> str:
    return (resources.files(__package__) / "html" / name).read_text(encoding="utf-8").strip()


@cache
def _hash(text: str) -> str:
    """The hash of a script or style, in the format of a Content-Security-Policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
