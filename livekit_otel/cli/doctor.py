"""``livekit-otel doctor``: checks whether calls can be traced and exported in this environment."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Annotated

import msgspec
import typer

from .._display import visible
from ..errors import LiveKitOtelError, OptionError
from .output import write, write_json

__all__ = ["register"]


class Format(str, Enum):
    """Output formats."""

    text = "text"
    json = "json"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    to: Annotated[
        str | None, typer.Option("--to", metavar="URL", help="Also test this OTLP/HTTP endpoint.", show_default=False)
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header", "-H", metavar="NAME=VALUE", help="Header for --to. May be repeated.", show_default=False
        ),
    ] = None,
    files: Annotated[
        str | None,
        typer.Option(
            "--files", metavar="DIRECTORY", help="Also test this directory for file export.", show_default=False
        ),
    ] = None,
    send: Annotated[bool, typer.Option("--send/--no-send", help="Send a test span to each endpoint.")] = True,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Timeout for each endpoint, in seconds.")] = 10.0,
    format: Annotated[Format, typer.Option("--format", "-f", help="Output format.")] = Format.text,
) -> None:
    """Check the installation and configuration, and suggest fixes. The exit code is 1 if there is a problem."""
    from ..doctor import Check, check_all
    from ..transport.address import parse_header, traces_url

    try:
        headers = dict(parse_header(text) for text in header or ())
        if to is not None:
            traces_url(to)
    except OptionError as error:
        raise typer.BadParameter(str(error), param_hint="--header" if "header" in str(error) else "--to") from None
    checks: list[Check] = []
    area = ""
    for check in check_all(to=to, headers=headers, directory=files, send=send, timeout=timeout):
        checks.append(check)
        if format is Format.text:
            # printed immediately: a slow endpoint can delay the checks that follow
            write(("" if check.area == area else f"{check.area}\n") + _lines(check))
            area = check.area
    problems = [check for check in checks if check.level == "problem"]
    if format is Format.json:
        write_json({"ok": not problems, "checks": msgspec.to_builtins(checks)})
    if problems:
        raise LiveKitOtelError(_summary([check.text for check in problems]))
    if format is Format.text:
        write("no problem found\n")


def _lines(check: object) -> str:
    from ..doctor import Check

    assert isinstance(check, Check)
    fix = f"\n{'':10}fix: {visible(check.fix)}" if check.fix else ""
    return f"  {check.level:<8}{visible(check.text)}{fix}\n"


def _summary(texts: Sequence[str]) -> str:
    more = f", and {len(texts) - 1} more" if len(texts) > 1 else ""
    return f"something is wrong: {texts[0]}{more}"
