"""The application: its commands, one module each."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

__all__ = ["COMMANDS", "app"]

#: Modules of this package, in the order of the help; each has ``register(app)``.
COMMANDS = ("demo", "sessions", "report", "turns", "replay", "doctor")

app = typer.Typer(
    name="livekit-otel",
    help="Session reports of LiveKit agents, rebuilt from OpenTelemetry traces.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(version("livekit-otel"))
        except PackageNotFoundError:
            typer.echo("unknown (not installed)")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


for _name in COMMANDS:
    import_module(f".{_name}", __package__).register(app)
