"""Lines that may be one JSON document, gathered until its brackets are closed."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

from .lines import MAX_RECORD_BYTES, SAMPLE_BYTES, Line
from .repair import BOM, balance

__all__ = ["Gathered"]

#: Brackets are counted in blocks of at least this many bytes, which is faster than line by line.
_BLOCK = 1 << 18


class Gathered:
    """The lines from ``first`` on. If they exceed the limit for one record, only their first and last bytes are kept.

    Attributes:
        is_list: whether the document is a list; then single lines in it may be complete messages.
        too_long: whether the document exceeds the limit.
    """

    def __init__(self, first: Line) -> None:
        self.is_list = first.data.removeprefix(BOM).lstrip().startswith(b"[")
        self.too_long = False
        self._first = self._last = first
        self._depth = self._counted = 0
        self._data = BytesIO()
        self._head = self._tail = b""
        self.add(first)

    def add(self, line: Line) -> bool:
        """Add a line; return True if this line takes the document over the limit."""
        data = line.data
        self._last = line
        if self.too_long:
            self._depth += balance(data)
            self._tail = (self._tail + b"\n" + data)[-SAMPLE_BYTES:]
            return False
        self._data.write(data + b"\n")
        if self._data.tell() - self._counted > _BLOCK:
            self._count()
        self.too_long = line.too_long or line.end - self._first.start > MAX_RECORD_BYTES
        if self.too_long:
            self._count()
            with self._data.getbuffer() as view:
                self._head, self._tail = bytes(view[:SAMPLE_BYTES]), bytes(view[-SAMPLE_BYTES - 1 : -1])
            self._data, self._counted = BytesIO(), 0
        return self.too_long

    @property
    def closed(self) -> bool:
        """Whether every bracket that was opened is closed."""
        self._count()
        return self._depth <= 0

    def _count(self) -> None:
        """Count the brackets of the lines added since the last count."""
        end = self._data.tell()
        if end > self._counted:
            with self._data.getbuffer() as view:
                self._depth += balance(bytes(view[self._counted :]))
            self._counted = end

    def whole(self, *, ended: bool | None = None) -> Line:
        """The whole document as one line, with the number of its first line."""
        first, last = self._first, self._last
        data = self._head + self._tail if self.too_long else self._data.getvalue()[:-1]
        return Line(first.number, first.start, last.end, data, last.ended if ended is None else ended, self.too_long)

    def lines(self) -> Iterator[Line]:
        """The original lines, without blank lines."""
        number, start, size = self._first.number, self._first.start, self._data.tell()
        self._data.seek(0)
        while self._data.tell() < size:
            data = self._data.readline()
            ended = self._data.tell() < size or self._last.ended
            data = data[:-1]
            line = Line(number, start, start + len(data) + ended, data, ended)
            number, start = number + 1, line.end
            if data and not data.isspace():
                yield line
