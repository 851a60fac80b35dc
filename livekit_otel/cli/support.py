"""Shared by the commands: options, opening a source with progress and problems on stderr, and finding a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, TypeVar

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn

from .._display import mistake
from ..errors import AmbiguousSessionError, LiveKitOtelError, SessionNotFoundError, SourceError
from ..readers import Problem, SpanStream, read_spans
from ..report import SessionReport, build_report, build_reports
from ..report.same_call import newest
from ..transport.credentials import shown
from .console import InertConsole
from .output import on_terminal, say

__all__ = [
    "DeadAir",
    "Latest",
    "Session",
    "Slow",
    "Source",
    "one_report",
    "opened",
    "rows_of",
    "thresholds_of",
]

_T = TypeVar("_T")

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="An OTLP JSON file or LiveKit's session report, a directory of them, a URL, or - for standard input.",
        show_default=False,
    ),
]
Session = Annotated[
    str | None,
    typer.Option("--session", "-s", help="Session ID, or its first characters.", show_default=False),
]
Latest = Annotated[bool, typer.Option("--latest", help="Use the newest session.")]
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
        help="Minimum wait for the first words that is flagged. Default: the session's own threshold, or 2.",
        show_default=False,
    ),
]
DeadAir = Annotated[
    float | None,
    typer.Option(
        "--dead-air",
        metavar="SECONDS",
        callback=_seconds,
        help="Minimum later silence in a turn that is flagged. Default: the session's own threshold, or 3.",
        show_default=False,
    ),
]


def thresholds_of(slow: float | None, dead_air: float | None) -> dict[str, float]:
    """The thresholds given as options, in seconds, by name."""
    given = {"slow": slow, "dead_air": dead_air}
    return {name: value for name, value in given.items() if value is not None}


@contextmanager
def opened(source: str) -> Iterator[SpanStream]:
    """Open ``source``. Progress appears on a terminal; parts that could not be read are listed on stderr."""
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


def one_report(
    source: str, spans: SpanStream, session: str | None, *, latest: bool, thresholds: Mapping[str, float]
) -> SessionReport:
    """The report of the requested session. Errors name the source, and say what to do."""
    if latest and session is not None:
        raise typer.BadParameter("either --latest or --session", param_hint="--latest")
    try:
        if not latest:
            return build_report(spans, session, thresholds=thresholds)
        found = newest(build_reports(spans, thresholds=thresholds))
    except AmbiguousSessionError as error:
        raise AmbiguousSessionError(f"{shown(source)}: {error} (with --session, or --latest)") from None
    except SessionNotFoundError as error:
        raise SessionNotFoundError(f"{shown(source)}: {error}") from None
    if found is None:
        raise SessionNotFoundError(
            f"{shown(source)}: contains no session from livekit_otel or from LiveKit's own tracing"
        )
    return found


def _show_problems(stream: SpanStream) -> None:
    """Print warnings first; notes about what is normal after a crash only if there is room."""
    problems: list[Problem] = sorted(stream.problems, key=lambda problem: problem.level != "warning")
    for problem in problems[:_SHOWN_PROBLEMS]:
        say(f"{'warning' if problem.level == 'warning' else 'note'}: {problem}")
    if stream.problem_count > _SHOWN_PROBLEMS:
        say(f"warning: {stream.problem_count - _SHOWN_PROBLEMS} more such problems")


def rows_of(reports: Iterable[SessionReport], make: Callable[[SessionReport], _T], stream: SpanStream) -> Iterator[_T]:
    """Results of ``make`` for each report. Where ``make`` raises, the report becomes a problem of the source."""
    for report in reports:
        try:
            yield make(report)
        except LiveKitOtelError:
            raise
        except Exception as error:
            stream.problem(
                Problem(shown(stream.source), None, f"session {report.session_id} was left out: {mistake(error)}")
            )
