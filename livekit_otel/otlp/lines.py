"""Files as lines of bytes with their positions: paths, standard input, named pipes; plain or gzip.

Memory use is bounded by the length of one line, which is limited. Positions count uncompressed bytes.
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
#: The maximum length of a line, or of a JSON document over several lines.
MAX_RECORD_BYTES = 128 << 20
#: Bytes kept from each end of a longer line.
SAMPLE_BYTES = 4096
_CHUNK = 1 << 18
_GZIP = b"\x1f\x8b"


class Line(msgspec.Struct, gc=False):
    """One line.

    Attributes:
        number: line number, from 1.
        start, end: where the line and the next line start, in uncompressed bytes.
        data: the bytes without the line end; for a line over the limit, its first and last 4,096 bytes.
        ended: whether the line has a line end; only the last line of a file may lack it.
        too_long: whether the line exceeds the limit.
    """

    number: int
    start: int
    end: int
    data: bytes
    ended: bool
    too_long: bool = False


class Damaged(Exception):
    """The data is damaged or ends too early."""


class TooLong(Exception):
    """A line exceeds the limit, in a file that is not known to be a trace. ``number`` is the line number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"the line is longer than {mebibytes()}, the limit for one record")
        self.number = number


def mebibytes() -> str:
    """The limit for one record, as text for messages."""
    return f"{MAX_RECORD_BYTES / (1 << 20):g} MiB"


class LineFile:
    """One file, plain or gzip, open for reading.

    Args:
        path: a file or a named pipe; None for standard input.
        advance: called after each read with the number of stored bytes that were read.

    Attributes:
        name: the name of the file in messages.
        skip_long: whether to skip lines over the limit; if not, the first such line raises TooLong.

    Raises:
        SourceError: the file cannot be opened.
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
        """The current status from the file system."""
        return os.fstat(self._file.fileno())

    def stored_position(self) -> int:
        """The number of stored bytes read so far."""
        return self._file.tell()

    def read_at(self, start: int, size: int) -> bytes:
        """Up to ``size`` bytes from a position. Raises OSError, EOFError, zlib.error or ValueError."""
        self._data.seek(start)
        found = b""
        while len(found) < size and (more := self._data.read1(size - len(found))):
            found += more
        return found

    def lines(self, number: int = 0, offset: int = 0) -> Iterator[Line]:
        """Yield the lines after line ``number``, which ends at ``offset``.

        Raises:
            Damaged: the rest of the file cannot be read; the lines before were yielded.
            TooLong: a line exceeds the limit and ``skip_long`` is not set.
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
    """A line that spans several chunks. If it exceeds the limit, only its first and last bytes are kept."""

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
        """Complete the line with ``piece`` and return it; the pending data is cleared."""
        self.add(piece)
        data = self._head + self._tail if self.too_long else b"".join(self._pieces)
        line = Line(number, start, start + self.size + ended, data, ended, self.too_long)
        self._pieces, self._head, self._tail, self.size = [], b"", b"", 0
        return line


class _Stored:
    """The stored bytes as they become available (a pipe may be slow); each byte is reported once."""

    def __init__(self, file: BufferedReader, advance: Callable[[int], None]) -> None:
        self._file, self._advance = file, advance
        self._ready = file.read(len(_GZIP) + 1)
        self._position = self._furthest = 0
        self.compressed = self._ready.startswith(_GZIP)
        self.deflated = self._ready[len(_GZIP) :] in (b"", b"\x08")

    def read1(self, size: int = -1) -> bytes:
        """The bytes that are available, at most ``size``; empty only at the end."""
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
        """For gzip, which reports damage if it gets fewer than two bytes at the start of a member."""
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
    """The operating system's description of an error."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
