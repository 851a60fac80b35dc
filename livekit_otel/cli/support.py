"""What the commands share: opening a source with progress and problems told on stderr, and writing results."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn

from ..errors import SourceError
from ..readers import Problem, SpanStream, read_spans
from ..transport.credentials import shown
from .console import InertConsole
from .output import say, to_json, write

__all__ = ["Source", "opened", "to_json", "write"]

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="An OTLP JSON file, a directory of them, a URL, or - for standard input.",
        show_default=False,
    ),
]
_SHOWN_PROBLEMS = 10


@contextmanager
def opened(source: str) -> Iterator[SpanStream]:
    """The spans of ``source``; progress is shown on a terminal, and what could not be read is told on stderr."""
    with Progress(
        TextColumn("reading"), BarColumn(), TaskProgressColumn(), DownloadColumn(),
        console=InertConsole(stderr=True), transient=True, disable=not sys.stderr.isatty(),
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
