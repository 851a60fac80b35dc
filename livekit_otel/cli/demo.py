"""``livekit-otel demo``: a complete call on this machine, and its report from the trace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .._install_hint import install_hint
from ..errors import MissingDependencyError
from .output import write

__all__ = ["register"]

_NEEDED = ("livekit.agents", "pocketsphinx", "espeakng_loader", "jinja2")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Directory for the trace, the reports and the page.", file_okay=False),
    ] = Path("livekit-otel-demo"),
    room: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Run the call in a room of this LiveKit server, for example ws://localhost:7880. Set LIVEKIT_API_KEY "
            "and LIVEKIT_API_SECRET.",
        ),
    ] = None,
) -> None:
    """Run a voice call with local models, without keys or network, and rebuild its report from the trace file."""
    _check()
    from ..demo.run import run_demo

    if not run_demo(output, lambda text: write(f"{text}\n"), room):
        raise typer.Exit(1)


def _check() -> None:
    """Raise one error that names everything that is missing."""
    missing = [name for name in _NEEDED if not _is_there(name)]
    if missing:
        raise MissingDependencyError(f"the demo needs {', '.join(missing)}: {install_hint('demo')}")


def _is_there(name: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
