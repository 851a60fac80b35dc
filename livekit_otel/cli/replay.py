"""``livekit-otel replay``: sends stored spans to an endpoint."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from enum import Enum
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn

from .._display import visible
from ..errors import LiveKitOtelError, OptionError
from .console import InertConsole
from .output import on_terminal, write

__all__ = ["register"]

_SHOWN = 20
_T = TypeVar("_T")


class Encoding(str, Enum):
    """Request encodings."""

    protobuf = "protobuf"
    json = "json"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(replay)


def replay(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="An OTLP JSON file, plain or gzip, or a directory of such files.", show_default=False
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="URL", help="OTLP/HTTP endpoint, for example http://host:4318.", show_default=False
        ),
    ],
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header",
            "-H",
            metavar="NAME=VALUE",
            help="Added to each request, after those of OTEL_EXPORTER_OTLP_HEADERS. May be repeated.",
            show_default=False,
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option("--state", help="Where to record progress.  [default: next to the source]", show_default=False),
    ] = None,
    encoding: Annotated[Encoding, typer.Option("--encoding", help="Encoding of the requests.")] = Encoding.protobuf,
    compress: Annotated[bool, typer.Option("--gzip", help="Compress the requests.")] = False,
    batch: Annotated[
        int, typer.Option("--batch", min=1, max=100_000, help="Maximum number of spans per request.")
    ] = 512,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Timeout of one request, in seconds.")] = 30.0,
    retry_for: Annotated[
        float,
        typer.Option("--retry-for", min=0.0, help="How long to retry while the endpoint does not respond, in seconds."),
    ] = 60.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the spans; send nothing.")] = False,
) -> None:
    """Send stored spans of every scope to an OTLP endpoint. If interrupted, run it again to resume."""
    from ..replay import EndpointError, Replay
    from ..transport.address import environment_headers, parse_header, traces_url
    from ..transport.credentials import shown
    from ..transport.otlp_endpoint import Endpoint

    url = _usage(traces_url, to, "--to")
    headers = {**environment_headers(), **dict(_usage(parse_header, text, "--header") for text in header or ())}
    notes = _Notes()
    with Progress(
        TextColumn("reading" if dry_run else "sending"), BarColumn(), TaskProgressColumn(), DownloadColumn(),
        TextColumn("{task.fields[spans]} spans"), console=notes.console, transient=True,
        disable=not on_terminal(),
    ) as progress:  # fmt: skip
        job = Replay(
            source, url, state=state, batch=batch, on_note=notes.add,
            on_advance=lambda size: progress.update(task, advance=size, spans=job.summary.spans),
        )  # fmt: skip
        task = progress.add_task("", total=job.bytes_total, spans=0)
        endpoint = None
        if not dry_run:
            endpoint = Endpoint(
                url, headers, encoding=encoding.value, compress=compress, timeout=timeout, patience=retry_for,
                on_wait=lambda reason, seconds: notes.print(f"note: {reason}; next try in {seconds:.1f} s"),
            )  # fmt: skip
        with closing(notes):
            try:
                job.run(endpoint)
            except EndpointError as error:
                sent = job.summary.spans
                raise LiveKitOtelError(f"{error} ({sent} spans were sent; run it again to send the rest)") from None
    done = job.summary
    files = f"{done.files} file{'' if done.files == 1 else 's'}"
    if dry_run:
        write(f"{done.spans} spans of {files} to send to {shown(url)}\n")
        return
    already = f", {done.finished} of them sent before" if done.finished else ""
    write(f"sent {done.spans} spans in {done.requests} requests from {files}{already}\n")
    if done.rejected:
        raise LiveKitOtelError(f"{shown(url)}: refused {done.rejected} spans; they are not sent again")


def _usage(function: Callable[[str], _T], text: str, option: str) -> _T:
    try:
        return function(text)
    except OptionError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


class _Notes:
    """Prints skipped items on stderr: the first of them, and a count of the rest."""

    def __init__(self) -> None:
        self.console = InertConsole(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)
        self._count = 0

    def add(self, level: str, text: str) -> None:
        self._count += 1
        if self._count <= _SHOWN:
            self.print(f"{level}: {text}")

    def print(self, text: str) -> None:
        self.console.print(visible(text))

    def close(self) -> None:
        if self._count > _SHOWN:
            self.print(f"warning: {self._count - _SHOWN} more such problems")
