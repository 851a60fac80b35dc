"""Runs the demo call with tracing to a file, rebuilds its report from the file, and compares it with LiveKit's own."""

from __future__ import annotations

import asyncio
import json
import logging
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._display import escape_json, visible
from .._private_files import make_directory, write_private
from .compare import differences

if TYPE_CHECKING:
    from ..report import SessionReport

__all__ = ["run_demo"]

_SHOWN = 10


def run_demo(folder: Path, echo: Callable[[str], None], room: str | None = None) -> bool:
    """Run the demo call and write its files to ``folder``; returns True if the two reports are equal.

    ``room``: address of a LiveKit server; the call takes place in one of its rooms.

    Files: ``trace.jsonl`` (from the OTLP JSON file exporter), ``livekit-report.json`` (LiveKit's own report),
    ``rebuilt-report.json`` (rebuilt from the trace file alone) and ``call.html`` (the report as a page).
    """
    from opentelemetry.exporter.otlp.json.file import FileSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    from .. import build_report, read_spans, set_tracer_provider

    make_directory(folder)
    trace = folder / "trace.jsonl"
    trace.unlink(missing_ok=True)
    provider = TracerProvider(resource=Resource.create({"service.name": "livekit-otel-demo"}))
    # the exporter appends to an existing file
    write_private(trace, b"")
    provider.add_span_processor(SimpleSpanProcessor(FileSpanExporter(str(trace))))
    set_tracer_provider(provider)

    started = time.monotonic()
    where = "Everything runs on this machine" if room is None else "Agent and caller meet in a room of your server"
    echo(f"A caller phones a flower shop. {where}; the call takes about a minute.")
    with _quiet():
        theirs = asyncio.run(_call(room, echo))
    provider.shutdown()

    report = build_report(read_spans(str(trace)))
    echo(f"\nThe call is over after {time.monotonic() - started:.0f} s. Its report, rebuilt from {trace}:\n")
    return _results(folder, report, theirs, echo)


async def _call(room: str | None, echo: Callable[[str], None]) -> dict[str, Any]:
    if room is None:
        from .call import run_call

        return await run_call(echo)
    from .room import run_room_call

    return await run_room_call(room, echo)


def _results(folder: Path, report: SessionReport, theirs: object, echo: Callable[[str], None]) -> bool:
    """Write and show them; True when the two reports are equal."""
    from ..report.render_html import to_html
    from ..report.render_text import to_text

    ours = json.loads(json.dumps(report.to_dict(), default=lambda _: None))
    _write(folder / "livekit-report.json", theirs)
    _write(folder / "rebuilt-report.json", ours)
    page = folder / "call.html"
    write_private(page, visible(to_html(report), lines=True).encode("utf-8", "replace"))
    echo(to_text(report))
    found = list(differences(ours, theirs))
    if not found:
        echo(f"\nequal: the rebuilt report matches LiveKit's own, field by field ({folder}/livekit-report.json)")
    else:
        echo(f"\nDIFFERENT in {len(found)} places (rebuilt != LiveKit's own):")
        for line in found[:_SHOWN]:
            echo(f"  {line}")
    trace = shlex.quote(str(folder / "trace.jsonl"))
    echo(f"\nOpen {page} in a browser, or continue with: livekit-otel turns {trace} --sort wait")
    return not found


def _write(file: Path, report: object) -> None:
    write_private(file, (escape_json(json.dumps(report, indent=2, ensure_ascii=False)) + "\n").encode("utf-8"))


@contextmanager
def _quiet() -> Iterator[None]:
    """LiveKit's logs are for the operator of a job, not for someone who watches a demo; failures are in the report.

    After an error they stay off: LiveKit's client logs from a thread of its own, maybe after the error was raised.
    """
    logger = logging.getLogger("livekit")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)
