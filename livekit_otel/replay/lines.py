"""Stored files as lines with their places, from a remembered place on."""

from __future__ import annotations

import gzip
import hashlib
import os
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from ..errors import SourceError
from ..readers.files import Damaged
from .state import Position

__all__ = ["Line", "StoredFile", "advanced"]

_CHUNK = 1 << 18
_SAMPLE = 4096
#: A last line that is cut off and this old has lost its writer; a younger one may still be being written.
_QUIET_SECONDS = 2.0
_DAMAGE = (EOFError, OSError, zlib.error)


@dataclass
class Line:
    """One line: its number from 1, where it starts and where the next one does, its bytes, whether it was ended."""

    number: int
    start: int
    end: int
    data: bytes
    ended: bool


class StoredFile:
    """One file, plain or gzip. Places are in uncompressed bytes."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        try:
            self._raw = path.open("rb")
            self._stat = os.fstat(self._raw.fileno())
            compressed = self._raw.read(2) == b"\x1f\x8b"
            self._raw.seek(0)
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror or error}; check the file and its permissions") from None
        self._heads: dict[str, bool] = {}
        self.size = self._stat.st_size
        self._data = cast("IO[bytes]", gzip.GzipFile(fileobj=self._raw) if compressed else self._raw)

    def close(self) -> None:
        self._data.close()
        self._raw.close()

    def stat_key(self) -> str:
        """Changes when the file does."""
        return stat_key(self._stat)

    def unchanged(self) -> bool:
        """Whether nothing was written since it was opened."""
        return stat_key(os.fstat(self._raw.fileno())) == self.stat_key()

    def quiet(self) -> bool:
        """Whether nobody seems to be writing to it."""
        return time.time() - os.fstat(self._raw.fileno()).st_mtime > _QUIET_SECONDS

    def read_so_far(self) -> int:
        """Progress in bytes of the stored file."""
        return self._raw.tell()

    def holds(self, position: Position) -> bool:
        """Whether this is the content that the position was taken in."""
        if not position.offset:
            return True
        try:
            return self._begins_with(position.head) and self._has(position.tail, position.offset)
        except (*_DAMAGE, ValueError):
            return False

    def _begins_with(self, head: str) -> bool:
        if head not in self._heads:
            self._heads[head] = self._has(head, int(head.partition(":")[0]))
        return self._heads[head]

    def _has(self, sample: str, end: int) -> bool:
        """Whether the bytes up to ``end`` are those of the fingerprint."""
        size = int(sample.partition(":")[0])
        self._data.seek(end - size)
        return fingerprint(self._data.read(size)) == sample

    def lines(self, position: Position) -> Iterator[Line]:
        """The lines from the position on. Raises Damaged where the file breaks off, after what came before."""
        pieces: list[bytes] = []
        number, start = position.line, position.offset
        damage: Damaged | None = None
        seek: int | None = start
        while True:
            chunk, damage = self._chunk(seek)
            seek = None
            if not chunk:
                break
            at = 0
            while (end := chunk.find(b"\n", at)) >= 0:
                pieces.append(chunk[at:end])
                data = b"".join(pieces)
                pieces.clear()
                number += 1
                yield Line(number, start, start + len(data) + 1, data, True)
                start += len(data) + 1
                at = end + 1
            if at < len(chunk):
                pieces.append(chunk[at:])
        if pieces:
            data = b"".join(pieces)
            yield Line(number + 1, start, start + len(data), data, False)
        if damage is not None:
            raise damage

    def _chunk(self, seek: int | None) -> tuple[bytes, Damaged | None]:
        try:
            if seek is not None and self._data.tell() != seek:
                self._data.seek(seek)
            return cast("gzip.GzipFile", self._data).read1(_CHUNK), None
        except _DAMAGE as error:
            reason = "the gzip data is cut off" if isinstance(error, EOFError) else f"reading stopped: {error}"
            return b"", Damaged(reason)


def advanced(position: Position, line: Line) -> Position:
    """The position after a line."""
    head = position.head
    if not position.offset:
        head = fingerprint(line.data[:_SAMPLE])
    # the line's end is left out: it may be missing, or come later
    tail = line.data[-_SAMPLE:]
    ended = line.end - line.start - len(line.data)
    return Position(line.end, 0, line.number, head, fingerprint(tail + b"\n" * ended))


def fingerprint(data: bytes) -> str:
    return f"{len(data)}:{hashlib.sha256(data).hexdigest()[:32]}"


def stat_key(found: os.stat_result) -> str:
    return f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"
