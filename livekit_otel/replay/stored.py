"""Stored files with their replay positions, and the check that a file still has the same content."""

from __future__ import annotations

import hashlib
import os
import time
import zlib
from pathlib import Path

from ..errors import SourceError
from ..otlp.lines import SAMPLE_BYTES, Line, LineFile
from .state import Position

__all__ = ["StoredFile", "advanced"]

#: An incomplete last line that has not changed for this long has lost its writer; a newer line may still grow.
_QUIET_SECONDS = 2.0


class StoredFile:
    """One file. ``name`` is the name under which its position is stored."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
            raise SourceError(f"{path}: a replay must be able to resume, which needs a regular file; give one")
        self.lines = LineFile(path)
        self._stat = self.lines.stat()
        self._heads: dict[str, bool] = {}
        self.size = self._stat.st_size

    def close(self) -> None:
        self.lines.close()

    def stat_key(self) -> str:
        """A key that changes when the file changes."""
        return stat_key(self._stat)

    def unchanged(self) -> bool:
        """Whether the file has not changed since it was opened."""
        return stat_key(self.lines.stat()) == self.stat_key()

    def growing(self) -> bool:
        """Whether another process may still write to the file."""
        return time.time() - self.lines.stat().st_mtime <= _QUIET_SECONDS

    def holds(self, position: Position) -> bool:
        """Whether the position was recorded for this content."""
        if not position.offset:
            return True
        try:
            return self._begins_with(position.head) and self._has(position.tail, position.offset)
        except (EOFError, OSError, ValueError, zlib.error):
            return False

    def _begins_with(self, head: str) -> bool:
        if head not in self._heads:
            self._heads[head] = self._has(head, int(head.partition(":")[0]))
        return self._heads[head]

    def _has(self, sample: str, end: int) -> bool:
        """Whether the bytes up to ``end`` match the fingerprint."""
        size = int(sample.partition(":")[0])
        return fingerprint(self.lines.read_at(end - size, size)) == sample


def advanced(position: Position, line: Line) -> Position:
    """The position after a line."""
    head = position.head
    if not position.offset:
        head = fingerprint(line.data[:SAMPLE_BYTES])
    # the line end is excluded: it may be missing, or be written later
    tail = line.data[-SAMPLE_BYTES:]
    return Position(line.end, 0, line.number, head, fingerprint(tail + b"\n" * line.ended))


def fingerprint(data: bytes) -> str:
    return f"{len(data)}:{hashlib.sha256(data).hexdigest()[:32]}"


def stat_key(found: os.stat_result) -> str:
    return f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"
