"""The typer application. Each command is a module."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from .. import __version__
from .commands import COMMANDS, DESCRIPTION
from .output import write

__all__ = ["app"]

app = typer.Typer(
    name="livekit-otel",
    help=DESCRIPTION,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        write(f"{__version__}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        write(f"{context.get_help()}\n")
        raise typer.Exit(2)


for _name in COMMANDS:
    import_module(f".{_name}", __package__).register(app)
