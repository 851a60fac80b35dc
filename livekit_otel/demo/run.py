"""Runs the demo call with tracing to a file, rebuilds its report from the file, and compares it with LiveKit's own."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .._display import escape_json
from .._private_files import make_directory, write_private
from .compare import differences

__all__ = ["run_demo"]

_SHOWN = 10


def run_demo(folder: Path, echo: Callable[[str], None]) -> bool:
    """Run the demo call and write its files to ``folder``; returns True if the two reports are equal.

    Files: ``trace.jsonl`` (from the OTLP JSON file exporter), ``livekit-report.json`` (LiveKit's own report) and
    ``rebuilt-report.json`` (rebuilt from the trace file alone).
    """
    from opentelemetry.exporter.otlp.json.file import FileSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    from .. import build_report, read_spans, set_tracer_provider
    from ..report.render_text import to_text
    from .call import run_call

    make_directory(folder)
    trace = folder / "trace.jsonl"
    trace.unlink(missing_ok=True)
    provider = TracerProvider(resource=Resource.create({"service.name": "livekit-otel-demo"}))
    # the exporter appends to an existing file
    write_private(trace, b"")
    provider.add_span_processor(SimpleSpanProcessor(FileSpanExporter(str(trace))))
    set_tracer_provider(provider)

    started = time.monotonic()
    echo("A caller phones a flower shop. Everything runs on this machine; the call takes about a minute.")
    with _quiet():
        theirs = asyncio.run(run_call(echo))
    provider.shutdown()

    report = build_report(read_spans(str(trace)))
    ours = json.loads(json.dumps(report.to_dict(), default=lambda _: None))
    _write(folder / "livekit-report.json", theirs)
    _write(folder / "rebuilt-report.json", ours)
    echo(f"\nThe call ended after {time.monotonic() - started:.0f} s. Its report, rebuilt from {trace}:\n")
    echo(to_text(report))
    found = list(differences(ours, theirs))
    if not found:
        echo(f"\nequal: the rebuilt report matches LiveKit's own, field by field ({folder}/livekit-report.json)")
        return True
    echo(f"\nDIFFERENT in {len(found)} places (rebuilt != LiveKit's own):")
    for line in found[:_SHOWN]:
        echo(f"  {line}")
    return False


def _write(file: Path, report: object) -> None:
    write_private(file, (escape_json(json.dumps(report, indent=2, ensure_ascii=False)) + "\n").encode("utf-8"))


@contextmanager
def _quiet() -> Iterator[None]:
    """LiveKit's logs are for the operator of a job, not for someone who watches a demo."""
    logger = logging.getLogger("livekit")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
