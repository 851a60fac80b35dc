"""``livekit-otel tree``: prints the spans of a call."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import SessionNotFoundError
from ..report.tree import tree_lines
from ..transport.credentials import shown
from .output import write
from .support import Latest, Session, Source, one_report, opened

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("tree")(tree)


def tree(
    source: Source,
    session: Session = None,
    latest: Latest = False,
    turn: Annotated[
        int | None, typer.Option("--turn", "-t", metavar="INDEX", help="Only this turn.", show_default=False)
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Do not shorten texts; also show the spans that carry the journal.")
    ] = False,
) -> None:
    """Print the spans of a session as a tree of turns and their stages, with start and duration in seconds."""
    with opened(source) as spans:
        report = one_report(source, spans, session, latest=latest, thresholds={})
    if turn is not None and all(one.index != turn for one in report.turns):
        last = max((one.index for one in report.turns), default=None)
        has = "has no turns" if last is None else f"has turns 0 to {last}"
        raise SessionNotFoundError(f"{shown(source)}: no turn {turn}: session {report.session_id} {has}")
    write("\n".join(tree_lines(report, turn, full=full)) + "\n")
