"""A report as one HTML file that needs nothing else: no network, no fonts, no other file.

Everything that people said is data (JSON in a script block that the page reads with ``JSON.parse`` and shows with
``textContent``) or text that jinja2 escapes; a Content-Security-Policy allows the page's own script and style, by
hash, and nothing more.
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
from . import view
from .flagged import in_words
from .model import SessionReport
from .turns import Turn

if TYPE_CHECKING:
    import jinja2

__all__ = ["to_html"]

#: lanes of the time line, from top to bottom
_KINDS = (
    attr.KIND_VAD,
    attr.KIND_STT,
    attr.KIND_EOU,
    attr.KIND_NODE,
    attr.KIND_LLM,
    attr.KIND_REALTIME,
    attr.KIND_TOOL,
    attr.KIND_TTS,
    attr.KIND_PLAYBACK,
    attr.KIND_INTERRUPTION,
)
_WORDS = 600
_TOOLS = 200


def to_html(report: SessionReport) -> str:
    """The page. Raises :class:`MissingDependencyError` without jinja2 (extra ``html``)."""
    template = _template()
    style, script = _file("report.css"), _file("report.js")
    return template.render(
        title=f"Voice call of {view.one_line(report.agent_name)}" if report.agent_name else "Voice call",
        facts={"session": report.session_id, **view.facts(report)},
        warnings=[view.one_line(warning) for warning in report.warnings],
        stages=attr.SILENCE_STAGES,
        latencies=view.latencies(report),
        usage=view.usage(report),
        tools=list(_tools(report)),
        interruptions=view.interruptions(report),
        data=_embedded(_data(report)),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _data(report: SessionReport) -> dict[str, Any]:
    """What the script draws, in milliseconds from the beginning of the call; short keys keep a long call small."""
    begin = min((span.start_ns for span in report.spans), default=0)
    end = max((span.end_ns for span in report.spans), default=0)
    names = list(attr.SUMMARY_LATENCIES)
    return {
        "length": _ms(end - begin),
        "kinds": _KINDS,
        "stages": attr.SILENCE_STAGES,
        "latencies": names,
        "turns": [_turn(turn, begin, names) for turn in report.turns],
    }


def _turn(turn: Turn, begin: int, names: list[str]) -> dict[str, Any]:
    wait = turn.latency.e2e_latency
    values = [(number, getattr(turn.latency, name)) for number, name in enumerate(names)]
    return {
        "i": turn.index,
        "a": _ms(turn.start_ns - begin),
        "b": _ms(turn.end_ns - begin),
        "u": turn.user_text[:_WORDS],
        "t": turn.agent_text[:_WORDS],
        "e": turn.end_reason,
        "w": None if wait is None else round(wait * 1000),
        "k": None if turn.latency.wait is None else round(turn.latency.wait * 1000),
        "g": [[_ms(gap.start_ns - begin), _ms(gap.end_ns - gap.start_ns), _parts(gap.stages)] for gap in turn.gaps],
        "x": turn.why_not.replace("_", " "),
        "p": _parts(turn.silence),
        "l": [[number, round(value * 1000, 1)] for number, value in values if value is not None],
        "s": [_stage(span, turn.start_ns) for span in turn.stages if span.kind in _KINDS],
        "n": list(turn.notes),
        "f": [[one.name.replace("_", " "), in_words(one)] for one in turn.flags],
    }


def _parts(stages: Mapping[str, float]) -> list[list[int]]:
    return [[attr.SILENCE_STAGES.index(name), round(value * 1000)] for name, value in stages.items() if value > 0.0005]


def _tool(attributes: Mapping[str, Any]) -> Any:
    """A tool's name; one that a model made up stands with the content."""
    return attributes.get(attr.TOOL_MADE_UP_NAME) or attributes.get(attr.TOOL_NAME, "")


def _stage(span: Any, start_ns: int) -> list[Any]:
    label = _tool(span.attributes) or span.attributes.get(attr.INTERRUPTION_VERDICT) or ""
    outcome = span.attributes.get(attr.OUTCOME, "")
    row = [_KINDS.index(span.kind), _ms(span.start_ns - start_ns), _ms(span.end_ns - span.start_ns)]
    if outcome == "completed":
        outcome = ""
    return [*row, str(label), str(outcome)] if label or outcome else row


def _tools(report: SessionReport) -> Any:
    begin = min((span.start_ns for span in report.spans), default=0)
    calls = [span for span in report.spans if span.kind == attr.KIND_TOOL]
    for span in calls[:_TOOLS]:
        found = span.attributes
        at = _ms(span.start_ns - begin) // 1000
        yield (
            f"{at // 60}:{at % 60:02d}",
            view.one_line(_tool(found)),
            view.one_line(found.get(attr.TOOL_CALL_ARGUMENTS, "")),
            view.one_line(found.get(attr.TOOL_CALL_RESULT) or found.get(attr.TOOL_STATUS, "")),
            f"{span.duration:.2f}",
        )


def _embedded(data: dict[str, Any]) -> str:
    """JSON that cannot end the script block that it stands in, nor begin a comment."""
    text = json.dumps(_inert(data), separators=(",", ":"), ensure_ascii=False)
    for raw, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(raw, escaped)
    return text


def _inert(value: Any) -> Any:
    """Browsers obey bidirectional controls, and what is copied from a page may be pasted into a terminal."""
    if isinstance(value, str):
        # the page's own script and style are marked as safe
        return value if hasattr(value, "__html__") else visible(value)
    if isinstance(value, Mapping):
        return {name: _inert(one) for name, one in value.items()}
    return [_inert(one) for one in value] if isinstance(value, list | tuple) else value


@cache
def _template() -> jinja2.Template:
    """Compiled once: a source can hold thousands of sessions."""
    try:
        import jinja2
    except ImportError as error:
        raise MissingDependencyError(f"the HTML report needs jinja2: {install_hint('html')}") from error
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, finalize=_inert)
    return environment.from_string(_file("report.html.j2"))


@cache
def _file(name: str) -> str:
    return (resources.files(__package__) / "html" / name).read_text(encoding="utf-8").strip()


@cache
def _hash(text: str) -> str:
    """The page's own script or style, as its Content-Security-Policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _ms(ns: int) -> int:
    return round(ns / 1e6)
