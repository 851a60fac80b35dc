"""Files as lines of bytes with their positions: paths, standard input, named pipes; plain or gzip.

Memory follows one line, and a line has a limit. Positions are in uncompressed bytes.
"""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, cast

import msgspec

from ..errors import SourceError

__all__ = ["MAX_RECORD_BYTES", "SAMPLE_BYTES", "STDIN", "Damaged", "Line", "LineFile", "TooLong", "mebibytes", "reason"]

STDIN = "standard input"
#: The longest line, or JSON document over several lines, that is read.
MAX_RECORD_BYTES = 128 << 20
#: What is kept of both ends of a line that is longer.
SAMPLE_BYTES = 4096
_CHUNK = 1 << 18
_GZIP = b"\x1f\x8b"
_DAMAGE = (EOFError, OSError, zlib.error)


class Line(msgspec.Struct, gc=False):
    """One line.

    Attributes:
        number: from 1.
        start, end: where it starts and where the next line does, in uncompressed bytes.
        data: its bytes without the line end; of a line over the limit, the first and the last 4,096 of them.
        ended: whether it has a line end; only the last line of a file may have none.
        too_long: whether it is over the limit.
    """

    number: int
    start: int
    end: int
    data: bytes
    ended: bool
    too_long: bool = False


class Damaged(Exception):
    """The bytes of a file end or break off in the middle."""


class TooLong(Exception):
    """A line is over the limit, in a file that is not known to be a trace. ``number`` is the line."""

    def __init__(self, number: int) -> None:
        super().__init__(f"the line is longer than {mebibytes()}, the limit for one record")
        self.number = number


def mebibytes() -> str:
    """The limit for one record, for messages."""
    return f"{MAX_RECORD_BYTES / (1 << 20):g} MiB"


class LineFile:
    """One file, plain or gzip, that is open for reading.

    Args:
        path: a file or a named pipe; None is standard input.
        advance: called with the number of stored bytes each time some more were read.

    Attributes:
        name: the file in messages.
        skip_long: skip lines that are over the limit; otherwise the first of them raises TooLong.

    Raises:
        SourceError: it cannot be opened.
    """

    def __init__(self, path: Path | None, advance: Callable[[int], None] = lambda size: None) -> None:
        self.name = STDIN if path is None else str(path)
        self.skip_long = False
        self._close = path is not None
        try:
            self._file = cast(BufferedReader, sys.stdin.buffer if path is None else path.open("rb"))
            self._stored = _Stored(self._file, advance)
        except OSError as error:
            raise SourceError(f"{self.name}: {reason(error)}; check the file and its permissions") from None
        packed = self._stored.compressed
        self._data = gzip.GzipFile(fileobj=cast("IO[bytes]", self._stored)) if packed else self._stored

    def close(self) -> None:
        if self._close:
            self._file.close()

    def stat(self) -> os.stat_result:
        """What the file system says of it now."""
        return os.fstat(self._file.fileno())

    def stored_position(self) -> int:
        """How far it was read, in stored bytes."""
        return self._file.tell()

    def read_at(self, start: int, size: int) -> bytes:
        """Up to ``size`` bytes from a position. Raises OSError, EOFError, zlib.error or ValueError."""
        self._data.seek(start)
        found = b""
        while len(found) < size and (more := self._data.read1(size - len(found))):
            found += more
        return found

    def lines(self, number: int = 0, offset: int = 0) -> Iterator[Line]:
        """The lines after line ``number``, which ends at ``offset``.

        Raises:
            Damaged: the file breaks off; what came before it was yielded.
            TooLong: a line is over the limit, and ``skip_long`` is not set.
        """
        pending = _Pending()
        start = offset
        damage: Damaged | None = None
        while True:
            try:
                chunk = self._chunk(start + pending.size)
            except Damaged as error:
                chunk, damage = b"", error
            if not chunk:
                break
            at = 0
            while (end := chunk.find(b"\n", at)) >= 0:
                number += 1
                if pending.size:
                    line = pending.line(number, start, chunk[at:end], True)
                else:
                    line = Line(number, start, start + end - at + 1, chunk[at:end], True)
                start, at = line.end, end + 1
                yield line
            if at < len(chunk):
                pending.add(chunk[at:])
            if pending.too_long and not self.skip_long:
                raise TooLong(number + 1)
        if pending.size:
            yield pending.line(number + 1, start, b"", False)
        if damage is not None:
            raise damage

    def _chunk(self, position: int) -> bytes:
        try:
            if self._data.tell() != position:
                self._data.seek(position)
            return self._data.read1(_CHUNK)
        except EOFError:
            damaged = not self._stored.deflated
            raise Damaged("the gzip data is " + ("damaged (unknown method)" if damaged else "cut off")) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise Damaged(f"the gzip data is damaged ({error})") from None
        except OSError as error:
            raise Damaged(f"reading stopped: {reason(error)}") from None


class _Pending:
    """A line that spans several chunks. Over the limit only its ends are kept."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._head = self._tail = b""
        self.size = 0

    @property
    def too_long(self) -> bool:
        return self.size > MAX_RECORD_BYTES

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        if len(self._head) < SAMPLE_BYTES:
            self._head += piece[: SAMPLE_BYTES - len(self._head)]
        enough = len(piece) >= SAMPLE_BYTES
        self._tail = piece[-SAMPLE_BYTES:] if enough else (self._tail + piece)[-SAMPLE_BYTES:]
        if self.too_long:
            self._pieces.clear()
        else:
            self._pieces.append(piece)

    def line(self, number: int, start: int, piece: bytes, ended: bool) -> Line:
        """The line that ends with ``piece``; what was pending is forgotten."""
        self.add(piece)
        data = self._head + self._tail if self.too_long else b"".join(self._pieces)
        line = Line(number, start, start + self.size + ended, data, ended, self.too_long)
        self._pieces, self._head, self._tail, self.size = [], b"", b"", 0
        return line


class _Stored:
    """The stored bytes, as they become available (a pipe may be slow), each of them reported once."""

    def __init__(self, file: BufferedReader, advance: Callable[[int], None]) -> None:
        self._file, self._advance = file, advance
        self._ready = file.read(len(_GZIP) + 1)
        self._position = self._furthest = 0
        self.compressed = self._ready.startswith(_GZIP)
        self.deflated = self._ready[len(_GZIP) :] in (b"", b"\x08")

    def read1(self, size: int = -1) -> bytes:
        """What there is, at most ``size``; nothing at the end only."""
        if self._ready:
            end = len(self._ready) if size < 0 else size
            data, self._ready = self._ready[:end], self._ready[end:]
        else:
            data = self._file.read1(size)
        self._position += len(data)
        if self._position > self._furthest:
            self._advance(self._position - self._furthest)
            self._furthest = self._position
        return data

    def read(self, size: int = -1) -> bytes:
        """For gzip, which takes less than two bytes at the start of a member for damage."""
        data = self.read1(size)
        return data + self.read1(1) if len(data) == 1 < size else data

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        self._position = self._file.seek(position, whence)
        self._ready = b""
        return self._position


def reason(error: OSError | ValueError) -> str:
    """What the system says is wrong."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
