"""``livekit-otel diff``: two sources of one call, field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Annotated, Any

import typer

from .._display import visible
from ..errors import AmbiguousSessionError, LiveKitOtelError, SessionNotFoundError
from ..report import SessionReport, build_reports
from ..report.diff import Comparison, compare
from ..report.diff_values import MISSING
from ..report.same_call import call_of, once
from ..transport.credentials import shown
from .output import say, write, write_json
from .support import one_report, opened

__all__ = ["register"]

_WIDTH = 79
#: differences that the text has
_SHOWN = 100
#: characters of a value before the first one that differs
_BEFORE = 20
_HELP = "As SOURCE of the other commands: a trace, or LiveKit's session report."
_A = Annotated[str, typer.Argument(metavar="A", help=_HELP, show_default=False)]
_B = Annotated[str, typer.Argument(metavar="B", help=_HELP, show_default=False)]
_Session = Annotated[
    str | None, typer.Option(metavar="ID", help="Its session, where it has several.", show_default=False)
]


class Format(str, Enum):
    """Output formats."""

    text = "text"
    json = "json"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("diff")(diff)


def diff(
    a: _A,
    b: _B,
    session_a: _Session = None,
    session_b: _Session = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="How to print it.")] = Format.text,
) -> None:
    """Compare two sources of one call: conversation, head, usage, reported latencies, events.

    A source may be a trace or a session report of LiveKit's. What one of them cannot say is named, and no difference.
    Exit code: 0 for equal, 1 for different, 2 for what could not be compared.
    """
    try:
        one, two = _pair((a, b), (session_a, session_b))
        found = compare(one, two)
        sides = [(shown(source), report) for source, report in ((a, one), (b, two))]
        if format is Format.json:
            write_json(_document(sides, found))
        else:
            write("\n".join(_lines(sides, found)) + "\n")
    except LiveKitOtelError as error:
        # as of diff(1): an error is no difference
        say(f"livekit-otel: {error}")
        raise typer.Exit(2) from None
    if found.differences:
        raise typer.Exit(1)


def _pair(sources: Sequence[str], wanted: Sequence[str | None]) -> Sequence[SessionReport]:
    """The sessions that were asked for, else the only ones, else the two that share most items of the conversation."""
    reports = [_reports(source, session) for source, session in zip(sources, wanted, strict=True)]
    if all(len(some) == 1 for some in reports):
        return [some[0] for some in reports]
    pairs = sorted(((_alike(one, two), n, m) for n, one in enumerate(reports[0]) for m, two in enumerate(reports[1])))
    (best, n, m), others = pairs[-1], pairs[:-1]
    if best and all(one != best for one, _, _ in others):
        return reports[0][n], reports[1][m]
    several = next(n for n, some in enumerate(reports) if len(some) > 1)
    named = ", ".join(one.session_id for one in reports[several][:10])
    raise AmbiguousSessionError(
        f"{shown(sources[several])}: {len(reports[several])} sessions are here, choose one with "
        f"--session-{'ab'[several]}: {named}"
    )


def _alike(one: SessionReport, two: SessionReport) -> float:
    """How much two conversations have in common: a session that was started again has the items of the one before."""
    ids = [{str(item["id"]) for item in report.history if item.get("id")} for report in (one, two)]
    return len(ids[0] & ids[1]) / max(1, len(ids[0] | ids[1]))


def _reports(source: str, session: str | None) -> list[SessionReport]:
    with opened(source) as spans:
        if session is not None:
            return [one_report(source, spans, session, latest=False, thresholds={})]
        found = once((one, call_of(one)) for one in build_reports(spans))
    if not found:
        raise SessionNotFoundError(
            f"{shown(source)}: holds no session, neither of livekit_otel nor of LiveKit's own tracing"
        )
    return found


def _document(sides: Sequence[tuple[str, SessionReport]], found: Comparison) -> dict[str, Any]:
    """A value that a source does not have at all has no key."""
    return {
        "equal": not found.differences,
        **{
            name: {"source": source, "provenance": report.provenance, "session_id": report.session_id}
            for name, (source, report) in zip("ab", sides, strict=True)
        },
        "differences": [
            {"path": one.path, **{name: value for name, value in (("a", one.a), ("b", one.b)) if value is not MISSING}}
            for one in found.differences
        ],
        "not_compared": list(found.not_compared),
    }


def _lines(sides: Sequence[tuple[str, SessionReport]], found: Comparison) -> Iterator[str]:
    for name, (source, report) in zip("AB", sides, strict=True):
        yield _cut(f"{name}  {report.provenance}, session {report.session_id[:8]}, {_one_line(source)}")
    for one in found.differences[:_SHOWN]:
        yield ""
        yield _cut(_one_line(one.path))
        for name, value in zip("AB", _excerpts(one.a, one.b, _WIDTH - 5), strict=True):
            yield f"  {name}  {value}"
    yield ""
    more = len(found.differences) - _SHOWN
    if more > 0:
        yield f"and {more:,} more; --format json has all"
    if found.not_compared:
        yield from _wrapped("not compared, as one of them does not say it:", found.not_compared)
    count = len(found.differences)
    yield "equal" if not count else f"{count:,} difference{'' if count == 1 else 's'}"


def _wrapped(head: str, names: Sequence[str]) -> Iterator[str]:
    yield head
    line = " "
    for number, name in enumerate(names):
        word = name + ("," if number + 1 < len(names) else "")
        if len(line) + 1 + len(word) > _WIDTH:
            yield line
            line = " "
        line += f" {word}"
    yield line


def _excerpts(a: Any, b: Any, width: int) -> tuple[str, str]:
    """Both values on one line each; of long ones the part that differs."""
    one, two = (str(value) if value is MISSING else _one_line(_json(value)) for value in (a, b))
    if max(len(one), len(two)) <= width or MISSING in (a, b):
        return _cut(one, width), _cut(two, width)
    at = next(
        (n for n, (left, right) in enumerate(zip(one, two, strict=False)) if left != right), min(len(one), len(two))
    )
    start = max(0, at - _BEFORE)
    head = "…" if start else ""
    return _cut(head + one[start:], width), _cut(head + two[start:], width)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _one_line(text: str) -> str:
    return " ".join(visible(text).split())


def _cut(line: str, width: int = _WIDTH) -> str:
    return line if len(line) <= width else f"{line[: width - 1]}…"
