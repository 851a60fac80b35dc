"""What the commands share: opening a source with progress and problems told on stderr, and writing results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn

from .._display import mistake
from ..errors import LiveKitOtelError, SourceError
from ..readers import Problem, SpanStream, read_spans
from ..report import SessionReport
from ..transport.credentials import shown
from .console import InertConsole
from .output import on_terminal, say, to_json, write

__all__ = ["DeadAir", "Slow", "Source", "opened", "rows_of", "thresholds_of", "to_json", "write"]

_T = TypeVar("_T")

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="An OTLP JSON file, a directory of them, a URL, or - for standard input.",
        show_default=False,
    ),
]
_SHOWN_PROBLEMS = 10


def _seconds(value: float | None) -> float | None:
    if value is not None and not 0 < value < float("inf"):
        raise typer.BadParameter("must be a number of seconds above 0")
    return value


Slow = Annotated[
    float | None,
    typer.Option(
        "--slow",
        metavar="SECONDS",
        callback=_seconds,
        help="Flag waits for the first words from here on; else as the session was traced, or 2.",
        show_default=False,
    ),
]
DeadAir = Annotated[
    float | None,
    typer.Option(
        "--dead-air",
        metavar="SECONDS",
        callback=_seconds,
        help="Flag later silences of a turn from here on; else as the session was traced, or 3.",
        show_default=False,
    ),
]


def thresholds_of(slow: float | None, dead_air: float | None) -> dict[str, float]:
    """The thresholds that were asked for."""
    given = {"slow": slow, "dead_air": dead_air}
    return {name: value for name, value in given.items() if value is not None}


@contextmanager
def opened(source: str) -> Iterator[SpanStream]:
    """The spans of ``source``; progress is shown on a terminal, and what could not be read is told on stderr."""
    with Progress(
        TextColumn("reading"), BarColumn(), TaskProgressColumn(), DownloadColumn(),
        console=InertConsole(stderr=True), transient=True, disable=not on_terminal(),
    ) as progress:  # fmt: skip
        stream = read_spans(source)
        task = progress.add_task("reading", total=stream.bytes_total)
        stream.on_advance = lambda size: progress.advance(task, size)
        try:
            yield stream
        except (OSError, MemoryError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            raise SourceError(f"{shown(source)}: reading failed: {error}") from error
    _show_problems(stream)


def _show_problems(stream: SpanStream) -> None:
    """Warnings first: what is normal after a crash is said only where there is room."""
    problems: list[Problem] = sorted(stream.problems, key=lambda problem: problem.level != "warning")
    for problem in problems[:_SHOWN_PROBLEMS]:
        say(f"{'warning' if problem.level == 'warning' else 'note'}: {problem}")
    if stream.problem_count > _SHOWN_PROBLEMS:
        say(f"warning: {stream.problem_count - _SHOWN_PROBLEMS} more such problems")


def rows_of(reports: Iterable[SessionReport], make: Callable[[SessionReport], _T], stream: SpanStream) -> Iterator[_T]:
    """What ``make`` gives for each report; one that it fails for is a problem of the source, and the others follow."""
    for report in reports:
        try:
            yield make(report)
        except LiveKitOtelError:
            raise
        except Exception as error:
            stream.problem(
                Problem(shown(stream.source), None, f"session {report.session_id} was left out: {mistake(error)}")
            )
