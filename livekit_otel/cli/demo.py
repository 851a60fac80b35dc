"""``livekit-otel demo``: a whole call on this machine, and its report from the trace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .._install_hint import install_hint
from ..errors import MissingDependencyError
from .output import write

__all__ = ["register"]

_NEEDED = ("livekit.agents", "pocketsphinx", "espeakng_loader")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Directory for the trace and the two reports.", file_okay=False)
    ] = Path("livekit-otel-demo"),
    room: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="A LiveKit server, like ws://localhost:7880: the call is held in a room of it, with the keys in "
            "LIVEKIT_API_KEY and LIVEKIT_API_SECRET.",
        ),
    ] = None,
) -> None:
    """Hold a voice call with local models, without keys or network, and rebuild its report from the trace file."""
    _check()
    from ..demo.run import run_demo

    if not run_demo(output, lambda text: write(f"{text}\n"), room):
        raise typer.Exit(1)


def _check() -> None:
    from importlib.util import find_spec

    for name in _NEEDED:
        try:
            found = find_spec(name) is not None
        except ModuleNotFoundError:
            found = False
        if not found:
            raise MissingDependencyError(f"the demo needs {name}: {install_hint('demo')}")
