"""OTLP JSON files, as written by file exporters of the SDK and the collector, and responses of Jaeger and Tempo.

LiveKit's session reports are read as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from ..errors import SourceError
from ..otlp.decode import records
from ..otlp.documents import Documents, Empty, Level, NotATrace
from ..otlp.find import Found, find
from ..otlp.lines import Line, LineFile
from ..spans import SpanRecord
from ..transport.address import local_path
from ..transport.credentials import shown
from .base import Context, Problem
from .session_report import decode_any

__all__ = ["read"]

_HINT = (
    "livekit-otel reads OTLP JSON as file exporters write it (one message per line), plain or gzip, and LiveKit's "
    "session reports"
)


def read(source: str, context: Context) -> Iterator[SpanRecord]:
    """Span records of a file, a directory of files, or standard input (``-``)."""
    found = find(local_path(source), shown(source))
    context.bytes_total = found.size
    if found.directory:
        return _read_directory(source, found, context)
    return _read_file(found.paths[0], context)


def _read_directory(source: str, found: Found, context: Context) -> Iterator[SpanRecord]:
    readable, denied = False, ""
    for other, reason in found.skipped:
        context.problem(Problem(str(other), None, reason, "info"))
    for path in found.paths:
        try:
            yield from _read_file(path, context)
            readable = True
        except SourceError as error:
            reason = str(error).removeprefix(f"{path}: ")
            unreadable = isinstance(error.__context__, OSError)
            denied = denied or (f" ({path}: {reason})" if unreadable else "")
            context.problem(Problem(str(path), None, f"skipped: {reason}", "warning" if unreadable else "info"))
    if not readable:
        count = len(found.paths) + len(found.skipped)
        raise SourceError(f"{source}: none of the {count} files in the directory is a trace{denied}; {_HINT}")


def _read_file(path: Path | None, context: Context) -> Iterator[SpanRecord]:
    """The spans of a file. Raises SourceError if it is something else."""
    with closing(LineFile(path, context.advance)) as file:

        def report(line: Line | None, reason: str, level: Level = "warning") -> None:
            context.problem(Problem(file.name, line.number if line else None, reason, level))

        try:
            for document in Documents(file, decode_any, report).read():
                count = 0
                complain = partial(report, document.line)
                if isinstance(document.message, SpanRecord):
                    yield document.message
                    continue
                found = document.message or ()
                for record in records(found, all_scopes=context.all_scopes, complain=complain, native=context.native):
                    count += 1
                    yield record
                if not document.whole:
                    kept = f"the last line is cut off (was the writer killed?); {count} spans of it were kept"
                    report(document.line, kept, "info")
        except NotATrace as error:
            raise SourceError(f"{file.name}: {error}" + ("" if isinstance(error, Empty) else f"; {_HINT}")) from None
