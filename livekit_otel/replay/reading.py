"""One stored file as parts to send, each with the position that is right once it is acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from ..readers.files import Damaged
from ..readers.repair import salvage
from . import wire
from .lines import Line, StoredFile, advanced
from .state import Position

__all__ = ["NotATrace", "Reading", "Step"]

_LONGEST_MESSAGE = 256 << 20
#: After so many lines without a message, a file is taken for something else.
_PATIENCE = 50


class NotATrace(Exception):
    """The file holds no spans at all."""


class Step(msgspec.Struct):
    """A part, or none where only the position moves; ``size`` is about the bytes of the part."""

    part: wire.Part | None
    position: Position
    size: int = 0


class Reading:
    """Reads from ``position`` on. ``tell`` hears of what was passed over: ``warning`` or ``note``, and a message."""

    def __init__(self, file: StoredFile, position: Position, part_size: int, tell: Callable[[str, str], None]) -> None:
        self._file, self._position, self._part_size, self._tell = file, position, part_size, tell
        self._recognised = bool(position.offset or position.skip)
        self._held: list[str] = []
        self._waiting = False
        self._damage: Damaged | None = None

    def steps(self) -> Iterator[Step]:
        """Raises NotATrace."""
        for line in self._units():
            if line.data and not line.data.isspace():
                yield from self._line(line)
        if self._damage is not None:
            if self._file.quiet():
                self._problem(self._file.path.name, f"{self._damage}; what came before it was read")
            else:
                self._waiting = True
        if not self._recognised and (self._held or not self._waiting):
            raise NotATrace(f"not a trace ({self._held[0] if self._held else 'it is empty'})")
        if not self._waiting and self._file.unchanged():
            yield Step(None, msgspec.structs.replace(self._position, stat=self._file.stat_key()))

    def _line(self, line: Line) -> Iterator[Step]:
        where = f"{self._file.path}:{line.number}"
        final = True
        try:
            found = wire.document(line.data)
        except wire.Unreadable as error:
            if line.ended:
                self._problem(where, f"{error}; the line was skipped")
                self._position = advanced(self._position, line)
                yield Step(None, self._position)
                return
            if not self._file.quiet():
                self._waiting = True
                if self._recognised:
                    self._tell("note", f"{where}: the last line is not whole yet; a later replay sends it")
                return
            final = False
            whole = salvage(line.data)
            if whole is None:
                self._problem(where, "the last line is cut off (was the writer killed?) before its first whole span")
                return
            found = wire.document(whole)
        self._recognise()
        yield from self._parts(found, where, line, final)

    def _parts(self, found: object, where: str, line: Line, final: bool) -> Iterator[Step]:
        before = self._position
        skip = before.skip
        if skip and wire.mark_of(found, skip - 1) != before.mark:
            self._tell("note", f"{self._file.path}: was replaced since the last replay; it is sent from its start")
            skip = 0
        last: wire.Part | None = None
        size = len(line.data)
        for part in wire.parts(found, where, skip=skip, size=self._part_size):
            if last is not None:
                yield Step(last, self._inside(last), self._bytes(last, size))
            last = part
        if final:
            self._position = advanced(before, line)
        elif last is not None:
            self._position = self._inside(last)
            self._tell("note", f"{where}: the last line is cut off (was the writer killed?); its whole spans are sent")
        yield Step(last, self._position, 0 if last is None else self._bytes(last, size))

    def _inside(self, part: wire.Part) -> Position:
        return msgspec.structs.replace(self._position, skip=part.end, mark=part.mark, stat="")

    def _bytes(self, part: wire.Part, line: int) -> int:
        return min(line, part.message.ByteSize())

    def _units(self) -> Iterator[Line]:
        """The lines; or the whole file where it is one message over many lines."""
        lines = self._file.lines(self._position)
        try:
            if not self._position.offset:
                first = next(lines, None)
                if first is None:
                    return
                if b"\0" in first.data[:4096]:
                    raise NotATrace("a binary file, not a trace")
                if (
                    first.ended
                    and first.data.removeprefix(wire.BOM).lstrip()[:1] in (b"{", b"[")
                    and not _readable(first.data)
                ):
                    yield from self._gathered(first, lines)
                else:
                    yield first
            yield from lines
        except Damaged as error:
            self._damage = error

    def _gathered(self, first: Line, lines: Iterator[Line]) -> Iterator[Line]:
        gathered, size = [first], len(first.data)
        try:
            for line in lines:
                gathered.append(line)
                size += len(line.data)
                if size > _LONGEST_MESSAGE or (line.data.startswith(b"{") and _readable(line.data)):
                    # one message per line after all, and the first lines are damaged
                    yield from gathered
                    return
        except Damaged as error:
            self._damage = error
        data = b"\n".join(line.data for line in gathered)
        last = gathered[-1]
        if _readable(data):
            yield Line(1, 0, last.end, data, last.ended)
        elif salvage(data) is not None:
            yield Line(1, 0, last.end, data, False)
        else:
            yield from gathered

    def _recognise(self) -> None:
        self._recognised = True
        for problem in self._held:
            self._tell("warning", problem)
        self._held.clear()

    def _problem(self, where: str, reason: str) -> None:
        if self._recognised:
            self._tell("warning", f"{where}: {reason}")
            return
        # until the file is known to be a trace at all, its lines are not damaged: they are something else
        self._held.append(f"{where}: {reason}")
        if len(self._held) >= _PATIENCE:
            raise NotATrace(f"not a trace ({self._held[0]})")


def _readable(data: bytes) -> bool:
    try:
        wire.document(data)
    except wire.Unreadable:
        return False
    return True
