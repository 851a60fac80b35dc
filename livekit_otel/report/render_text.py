"""A report as plain text: what was said and when, tools, interruptions, usage, errors, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .model import SessionReport
from .turns import message_text
from .values import clock

__all__ = ["to_text"]

_LONG = 300


def to_text(report: SessionReport) -> str:
    """Lines for a terminal, without colours."""
    sections = [
        list(_header(report)),
        ["Conversation", *_conversation(report)],
        ["Usage", *_usage(report)],
        ["Errors", *_errors(report)],
        ["Warnings", *(f"  - {warning}" for warning in report.warnings)],
    ]
    shown = [section for number, section in enumerate(sections) if number == 0 or len(section) > 1]
    return "\n\n".join("\n".join(section) for section in shown) + "\n"


def _header(report: SessionReport) -> Iterator[str]:
    yield f"Session {report.session_id}"
    length = "" if report.duration is None else f", {_length(report.duration)}"
    facts = {
        "started": f"{clock(report.started_at)}{length}",
        "room": " ".join(part for part in (report.room, f"({report.room_id})" if report.room_id else "") if part),
        "job": report.job_id,
        "agent": report.agent_name,
        "turns": str(len(report.turns)),
        "closed": report.close_reason or "not closed",
        "complete": "yes" if report.complete else "no (see the warnings)",
        "content": "redacted" if report.redacted else "",
    }
    for name, value in facts.items():
        if value:
            yield f"  {name:<9} {value}"


def _length(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    if hours:
        return f"{hours} h {minutes} min {rest:.0f} s"
    return f"{minutes} min {rest:.0f} s" if minutes else f"{rest:.1f} s"


def _conversation(report: SessionReport) -> Iterator[str]:
    for item in report.history:
        line = _item(item, report.redacted)
        if line:
            yield f"  {_at(item.get('created_at'), report.started_at)}  {line}"


def _at(created_at: Any, started_at: float | None) -> str:
    if not isinstance(created_at, int | float) or started_at is None:
        return " " * 6
    seconds = max(0.0, created_at - started_at)
    return f"{int(seconds // 60):>3}:{int(seconds % 60):02}"


def _item(item: Mapping[str, Any], redacted: bool) -> str:
    kind = item.get("type")
    if kind == "message":
        if item.get("role") not in ("user", "assistant"):
            return ""
        who = "user " if item["role"] == "user" else "agent"
        text = message_text(item)
        said = _one_line(text) if text else "(redacted)" if redacted else "(no words)"
        return f"{who}  {said}" + ("  [interrupted]" if item.get("interrupted") else "")
    if kind == "function_call":
        return f"tool   {item.get('name', '')}({_one_line(str(item.get('arguments') or ''))})"
    if kind == "function_call_output":
        mark = "failed: " if item.get("is_error") else ""
        return f"       -> {mark}{_one_line(str(item.get('output') or ''))}"
    if kind == "agent_handoff":
        return f"handoff to {item.get('new_agent_id', '')}"
    return ""


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    # a terminal must not obey what a caller or a tool said
    text = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"


def _usage(report: SessionReport) -> Iterator[str]:
    rows = []
    for one in report.head.get("usage") or report.usage:
        kind = str(one.get("type", "")).removesuffix("_usage")
        model = "/".join(str(part) for part in (one.get("provider"), one.get("model")) if part)
        figures = [
            f"{name.replace('_', ' ')} {_figure(value)}"
            for name, value in one.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and value
        ]
        rows.append((kind, model, ", ".join(figures)))
    kinds, models = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    for kind, model, text in rows:
        yield f"  {kind:<{kinds}}  {model:<{models}}  {text}".rstrip()


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _errors(report: SessionReport) -> Iterator[str]:
    for event in report.events:
        if event.get("type") == "error":
            error = event.get("error")
            values = error if isinstance(error, dict) else {}
            what = " ".join(str(values[name]) for name in ("type", "label") if values.get(name))
            text = _one_line(str(values.get("error") or ""))
            yield f"  {_at(event.get('created_at'), report.started_at)}  {what or 'error'}{': ' + text if text else ''}"
