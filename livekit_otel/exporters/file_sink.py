"""The trace file of one process: naming, locking during writes, rotation; and the clean-up of finished files."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, cast

from opentelemetry.exporter.otlp.json.file import FileSpanExporter
from opentelemetry.sdk.trace.export import SpanExporter

from .._private_files import open_private

try:
    import fcntl
except ImportError:  # pragma: no cover (Windows)
    fcntl = None  # type: ignore[assignment]

__all__ = ["FileSink", "clean", "file_exporter"]

_CLOEXEC = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NAME = re.compile(r"livekit-otel-\d{8}T\d{12}Z-(\d+)-\d{4,}\.jsonl")


def file_exporter(sink: FileSink) -> SpanExporter:
    """OpenTelemetry's file exporter, writing to ``sink``."""
    return cast(SpanExporter, FileSpanExporter(stream=cast("IO[str]", sink)))


class FileSink:
    """A text stream in which each write is one complete line of a file. Errors are stored in ``error``, not raised.

    The file stays locked while it is open here. The lock shows other processes, also in other containers, that the
    file is in use; it is released when the process is killed.
    """

    closed = False

    def __init__(self, directory: Path, number: int, max_bytes: int, *, group_readable: bool = False) -> None:
        self.directory, self.number = directory, number
        self.error: OSError | None = None
        self.on_rotated: Callable[[FileSink], None] = lambda sink: None
        self._max_bytes, self._group_readable = max_bytes, group_readable
        self._begin()

    def _begin(self) -> None:
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%fZ")
        self.path = self.directory / f"livekit-otel-{stamp}-{os.getpid()}-{self.number:04d}.jsonl"
        # exclusive: processes in containers that share a directory may have the same id
        self._fd = open_private(self.path, os.O_WRONLY | os.O_EXCL | os.O_APPEND, group_readable=self._group_readable)
        _lock(self._fd)
        self._size = 0
        self._since = time.monotonic()
        self._inode = os.fstat(self._fd).st_ino

    def write(self, text: str) -> int:
        data = text.encode("utf-8", "replace")
        try:
            if self._size and self._size + len(data) > self._max_bytes:
                os.close(self._fd)
                self._fd = -1
                self.number += 1
                self._begin()
                self.on_rotated(self)
            self._write(data)
        except OSError as error:
            self.error = error
        return len(text)

    def _write(self, data: bytes) -> None:
        done = 0
        try:
            while done < len(data):
                done += os.write(self._fd, data[done:])
        except OSError:
            # an incomplete line would corrupt the next one
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(data)

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self, *, keep_empty: bool = False) -> None:
        """Close the file; delete it if it is empty."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        with suppress(OSError):
            os.close(fd)
        if not self._size and not keep_empty:
            with suppress(OSError):
                self.path.unlink()

    def in_place(self) -> bool:
        """Whether the path still refers to this file."""
        try:
            return os.stat(self.path).st_ino == self._inode
        except OSError:
            return False

    def age(self) -> float:
        """Seconds since the file was created."""
        return time.monotonic() - self._since


def _lock(fd: int) -> None:
    if fcntl is None:  # pragma: no cover (Windows does not delete open files)
        return
    for _ in range(20):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            # another process is checking whether the file is in use
            time.sleep(0.001)
        except OSError:
            # the file system does not support locks: only age and size count
            return


def clean(directory: Path, current: Path, max_age: float | None, room: int | None) -> None:
    """Delete finished files older than ``max_age`` seconds, then the oldest until the rest fits into ``room`` bytes."""
    files: list[tuple[float, int, Path]] = []
    for entry in os.scandir(directory):
        if _NAME.fullmatch(entry.name):
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            files.append((found.st_mtime, found.st_size, Path(entry.path)))
    files.sort()
    total = sum(size for _, size, _ in files)
    oldest = None if max_age is None else time.time() - max_age
    for modified, size, path in files:
        aged = oldest is not None and modified < oldest
        if not aged and (room is None or total <= room):
            break
        if path != current and (aged or size) and _finished(path):
            with suppress(OSError):
                path.unlink()
                total -= size


def _finished(path: Path) -> bool:
    """Whether no live process writes to the file."""
    if fcntl is None:  # pragma: no cover (Windows does not delete open files)
        return True
    try:
        fd = os.open(path, os.O_RDONLY | _CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
