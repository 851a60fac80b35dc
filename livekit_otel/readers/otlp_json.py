"""OTLP JSON files: what the SDK's and the collector's file exporters write, and what Jaeger and Tempo answer.

One message per line, or a whole file that is one message over many lines. A damaged line is told of and skipped. The
last line of a writer that was killed is cut off: its whole spans are kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import msgspec

from ..errors import SourceError
from ..spans import SpanRecord
from .base import Context, Problem
from .files import STDIN, Damaged, Line, find, read_lines
from .otlp_wire import Message, Signals, decode_message, records
from .repair import salvage

__all__ = ["read"]

#: After so many lines, or bytes, without a message a file is taken for something else.
_PATIENCE = 50
_PATIENCE_BYTES = 16 << 20
_HINT = "livekit-otel reads OTLP JSON as file exporters write it (one message per line), plain or gzip"
_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read(source: str, context: Context) -> Iterator[SpanRecord]:
    """Span records of a file, a directory of files, or standard input (``-``)."""
    files, directory = find(source)
    if all(path is not None and os.path.isfile(path) for path in files):
        context.bytes_total = sum(path.stat().st_size for path in files if path is not None)
    if directory:
        return _read_directory(source, files, context)
    return _File(files[0], context).records()


def _read_directory(source: str, files: list[Path | None], context: Context) -> Iterator[SpanRecord]:
    readable, denied = False, ""
    for path in files:
        try:
            yield from _File(path, context).records()
            readable = True
        except SourceError as error:
            reason = str(error).removeprefix(f"{path}: ")
            unreadable = isinstance(error.__context__, OSError)
            denied = denied or (f" ({path}: {reason})" if unreadable else "")
            context.problem(Problem(str(path), None, f"skipped: {reason}", "warning" if unreadable else "info"))
    if not readable:
        raise SourceError(f"{source}: none of the {len(files)} files in the directory is a trace{denied}; {_HINT}")


def _salvaged(data: bytes) -> Message | list[Message] | None:
    """The whole spans of a message that is cut off, if it has any and is not damaged besides."""
    whole = salvage(data)
    try:
        return None if whole is None else decode_message(whole)
    except _FAULTS:
        return None


class _NotAMessage(Exception):
    """A line that is no message of spans."""


class _File:
    def __init__(self, path: Path | None, context: Context) -> None:
        self._path, self._context = path, context
        self._name = STDIN if path is None else str(path)
        self._recognised = False
        self._held: list[Problem] = []
        self._bytes = 0

    def records(self) -> Iterator[SpanRecord]:
        """The spans of the file; SourceError when it turns out to be something else."""
        read = read_lines(self._path, self._context.advance)
        lines = (line for line in read if line.data and not line.data.isspace())
        last: Line | None = None
        try:
            first = next(lines, None)
            if first is None:
                raise SourceError(f"{self._name}: the file is empty; was anything exported, and flushed?")
            if b"\0" in first.data[:4096]:
                raise SourceError(f"{self._name}: this is a binary file, not a trace; {_HINT}")
            first.data = first.data.removeprefix(b"\xef\xbb\xbf")
            yield from self._start(first, lines)
            for last in lines:
                yield from self._line(last)
        except Damaged as error:
            self._tell(last, str(error) + "; what came before it was read")
        if not self._recognised:
            raise SourceError(f"{self._name}: not a trace ({self._why()}); {_HINT}")

    def _line(self, line: Line) -> Iterator[SpanRecord]:
        try:
            message = self._decode(line.data)
        except _NotAMessage as error:
            self._tell(line, f"{error}; the line was skipped")
        except _FAULTS as error:
            if not line.ended and isinstance(error, msgspec.DecodeError):
                yield from self._cut_off(line)
            else:
                self._tell(line, f"{error}; the line was skipped")
        else:
            yield from self._message(message, line)

    def _message(self, message: Message | list[Message], line: Line) -> Iterator[SpanRecord]:
        self._recognise()
        return records(message, all_scopes=self._context.all_scopes, complain=lambda reason: self._tell(line, reason))

    def _cut_off(self, line: Line) -> Iterator[SpanRecord]:
        """The last line of a writer that was killed in the middle of it."""
        message = _salvaged(line.data)
        if message is None:
            self._tell(line, "the last line is cut off (was the writer killed?) before its first whole span", "info")
            return
        count = 0
        for record in self._message(message, line):
            count += 1
            yield record
        self._tell(line, f"the last line is cut off (was the writer killed?); {count} spans of it were kept", "info")

    def _start(self, first: Line, lines: Iterator[Line]) -> Iterator[SpanRecord]:
        """The first line, or the whole file where it is one message over many lines."""
        try:
            self._decode(first.data)
        except msgspec.ValidationError:
            pass
        except _FAULTS:
            if first.ended and first.data.lstrip()[:1] in (b"{", b"["):
                yield from self._long_message(first, lines)
                return
        except _NotAMessage:
            pass
        yield from self._line(first)

    def _long_message(self, first: Line, lines: Iterator[Line]) -> Iterator[SpanRecord]:
        gathered = [first]
        for line in lines:
            if line.data.startswith(b"{") and self._is_message(line.data):
                # one message per line after all, and the first lines are damaged
                yield from chain.from_iterable(map(self._line, [*gathered, line]))
                return
            gathered.append(line)
        whole = b"\n".join(line.data for line in gathered)
        first = Line(1, whole, False)
        try:
            message = self._decode(whole)
        except (_NotAMessage, *_FAULTS):
            if _salvaged(whole) is None:
                self._complain_of(gathered)
                return
            yield from self._cut_off(first)
        else:
            yield from self._message(message, first)

    def _complain_of(self, lines: Iterable[Line]) -> None:
        for line in lines:
            for _ in self._line(line):
                pass

    def _is_message(self, data: bytes) -> bool:
        try:
            self._decode(data)
        except (_NotAMessage, *_FAULTS):
            return False
        return True

    @staticmethod
    def _decode(data: bytes) -> Message | list[Message]:
        message = decode_message(data)
        if (message.known if isinstance(message, Message) else any(one.known for one in message)) or message == []:
            return message
        other = msgspec.json.decode(data, type=Signals) if isinstance(message, Message) else Signals()
        if not bytes(other.resourceLogs) and not bytes(other.resourceMetrics):
            raise _NotAMessage("JSON of another shape: no resourceSpans in it")
        return Message()

    def _recognise(self) -> None:
        self._recognised = True
        for problem in self._held:
            self._context.problem(problem)
        self._held.clear()

    def _tell(self, line: Line | None, reason: str, level: str = "warning") -> None:
        problem = Problem(self._name, line.number if line else None, reason, "info" if level == "info" else "warning")
        if self._recognised:
            self._context.problem(problem)
            return
        # until the file is known to be a trace at all, its lines are not damaged: they are something else
        self._held.append(problem)
        self._bytes += len(line.data) if line else 0
        if len(self._held) >= _PATIENCE or self._bytes > _PATIENCE_BYTES:
            raise SourceError(f"{self._name}: not a trace ({self._why()}); {_HINT}")

    def _why(self) -> str:
        if not self._held:
            return "no line with spans"
        first = self._held[0]
        reason = first.reason.removesuffix("; the line was skipped")
        return reason if first.line is None else f"line {first.line}: {reason}"
