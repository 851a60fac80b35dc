"""``livekit-otel report``: one session's report."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import AmbiguousSessionError, SessionNotFoundError
from ..report import SessionReport, build_report
from ..report.render_json import to_document
from ..report.render_terminal import show
from ..report.render_text import to_text
from ..transport.credentials import shown
from .console import InertConsole
from .output import to_json, write
from .support import DeadAir, Slow, Source, opened, thresholds_of

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
    session: Annotated[
        str | None,
        typer.Option("--session", "-s", help="Id of the session, or the beginning of it.", show_default=False),
    ] = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="How to print it.")] = Format.text,
    full: Annotated[
        bool, typer.Option("--full", help="json: add turns, warnings and completeness to LiveKit's shape.")
    ] = False,
    slow: Slow = None,
    dead_air: DeadAir = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file instead.", show_default=False)
    ] = None,
) -> None:
    """Print the report of a session, rebuilt from its trace."""
    if full and format is not Format.json:
        raise typer.BadParameter("only with --format json", param_hint="--full")
    with opened(source) as spans:
        try:
            built = build_report(spans, session, thresholds=thresholds_of(slow, dead_air))
        except AmbiguousSessionError as error:
            raise AmbiguousSessionError(f"{shown(source)}: {error} (with --session)") from None
        except SessionNotFoundError as error:
            raise SessionNotFoundError(f"{shown(source)}: {error}") from None
    if format is Format.json:
        write(to_json(to_document(built, full=full)), output)
    elif format is Format.html:
        from ..report.render_html import to_html

        write(to_html(built), output)
    else:
        _print(built, output)


def _print(built: SessionReport, output: Path | None) -> None:
    """Text: with colours on a terminal, plain in a pipe or a file."""
    blocks = output is not None or (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    if output is None and blocks and sys.stdout is not None and sys.stdout.isatty():
        show(built, InertConsole())
    else:
        write(to_text(built, ascii=not blocks), output)
