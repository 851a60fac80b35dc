"""``livekit-otel report``: prints the report of one session."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import LiveKitOtelError, OptionError
from ..report import SessionReport
from ..report.render_json import to_document
from ..report.render_terminal import show
from ..report.render_text import to_text
from ..report.trace_url import TraceUrl
from .console import InertConsole
from .output import shows_blocks, stdout_on_terminal, write, write_html, write_json
from .support import DeadAir, Latest, Session, Slow, Source, one_report, opened, thresholds_of

__all__ = ["register"]


class Format(str, Enum):
    """Output formats."""

    text = "text"
    json = "json"
    html = "html"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    source: Source,
    session: Session = None,
    latest: Latest = False,
    format: Annotated[Format, typer.Option("--format", "-f", help="Output format.")] = Format.text,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="text: do not shorten texts. json: add verdict, turns and warnings to LiveKit's format."
        ),
    ] = False,
    slow: Slow = None,
    dead_air: DeadAir = None,
    trace_url: Annotated[
        str | None,
        typer.Option(
            "--trace-url",
            metavar="TEMPLATE",
            help="html: link to your backend, for example https://jaeger.example/trace/{trace_id}. "
            "{span_id} and {session_id} are replaced, too.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write to this file instead of standard output.", show_default=False),
    ] = None,
) -> None:
    """Print the report of a session, rebuilt from its trace: problems, conversation and waits."""
    if full and format is Format.html:
        raise typer.BadParameter("the page always contains the whole texts; leave it out", param_hint="--full")
    if trace_url is not None:
        _check_url(trace_url, format)
    if format is Format.html and output is None and stdout_on_terminal():
        raise LiveKitOtelError("the page is too long for a terminal; write it to a file with -o call.html")
    with opened(source) as spans:
        built = one_report(source, spans, session, latest=latest, thresholds=thresholds_of(slow, dead_air))
    if format is Format.json:
        write_json(to_document(built, full=full), output)
    elif format is Format.html:
        from ..report.render_html import to_html

        write_html(to_html(built, trace_url=trace_url), output)
    else:
        _print(built, output, full=full)


def _check_url(template: str, format: Format) -> None:
    if format is not Format.html:
        raise typer.BadParameter("only with --format html", param_hint="--trace-url")
    try:
        TraceUrl(template)
    except OptionError as error:
        raise typer.BadParameter(str(error), param_hint="--trace-url") from None


def _print(built: SessionReport, output: Path | None, *, full: bool) -> None:
    """Write the report as text: with colours on a terminal, plain to a pipe or a file."""
    blocks = output is not None or shows_blocks()
    if output is None and blocks and stdout_on_terminal():
        show(built, InertConsole(), full=full)
    else:
        write(to_text(built, ascii=not blocks, full=full), output)
