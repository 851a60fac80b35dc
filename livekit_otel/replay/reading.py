"""Splits a stored file into parts to send, each with the position to record once the part is acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from ..otlp import protobuf
from ..otlp.documents import Document, Documents, Level
from ..otlp.lines import Line
from .state import Position
from .stored import StoredFile, advanced

__all__ = ["Reading", "Step"]


class Step(msgspec.Struct):
    """A part, or None if only the position advances; ``size`` is the approximate size of the part in bytes."""

    part: protobuf.Part | None
    position: Position
    size: int = 0


class Reading:
    """Reads from ``position`` on. ``on_note`` is called with the level (``warning`` or ``note``) and a message."""

    def __init__(
        self, file: StoredFile, position: Position, part_size: int, on_note: Callable[[str, str], None]
    ) -> None:
        self._file, self._position, self._part_size, self._note = file, position, part_size, on_note

    def steps(self) -> Iterator[Step]:
        """Yield the steps. Raises NotATrace."""
        begun = bool(self._position.offset or self._position.skip)
        documents = Documents(
            self._file.lines, protobuf.decode_file, self._report, growing=self._file.growing, recognised=begun
        )
        for document in documents.read(self._position.line, self._position.offset):
            if document.message is not None:
                yield from self._parts(document)
            elif document.line.ended:
                self._position = advanced(self._position, document.line)
                yield Step(None, self._position)
        if not documents.waiting and self._file.unchanged():
            yield Step(None, msgspec.structs.replace(self._position, stat=self._file.stat_key()))

    def _parts(self, document: Document[Any]) -> Iterator[Step]:
        found, line, where = document.message, document.line, self._where(document.line)
        before = self._position
        skip = before.skip
        if skip and protobuf.mark_of(found, skip - 1) != before.mark:
            self._note("note", f"{self._file.path}: the file was replaced since the last replay; all of it is sent")
            skip = 0
        for problem in () if skip else protobuf.left_out(found):
            self._note("warning", f"{where}: {problem}")
        last: protobuf.Part | None = None
        size = len(line.data)
        for part in protobuf.parts(found, where, skip=skip, size=self._part_size):
            if last is not None:
                yield Step(last, self._inside(last), self._bytes(last, size))
            last = part
        if document.whole:
            self._position = advanced(before, line)
        elif last is not None:
            self._position = self._inside(last)
            self._note(
                "note", f"{where}: the last line is cut off (was the writer killed?); its complete spans are sent"
            )
        yield Step(last, self._position, 0 if last is None else self._bytes(last, size))

    def _inside(self, part: protobuf.Part) -> Position:
        return msgspec.structs.replace(self._position, skip=part.end, mark=part.mark, stat="")

    def _bytes(self, part: protobuf.Part, line: int) -> int:
        return min(line, part.message.ByteSize())

    def _where(self, line: Line) -> str:
        return f"{self._file.path}:{line.number}"

    def _report(self, line: Line | None, reason: str, level: Level) -> None:
        where = self._file.path.name if line is None else self._where(line)
        self._note("note" if level == "info" else "warning", f"{where}: {reason}")
