"""Stores acknowledged positions on disk: one line per batch, written and synced before the next batch is sent."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from .._private_files import open_private
from ..errors import LiveKitOtelError, OptionError

try:
    import fcntl
except ImportError:  # pragma: no cover (Windows)
    fcntl = None  # type: ignore[assignment]

__all__ = ["Position", "State", "default_path"]

_VERSION = 1
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_COMPACT_OVER = 1_000


class Position(msgspec.Struct, omit_defaults=True):
    """The position up to which a file was replayed.

    Attributes:
        offset: uncompressed bytes of the lines that are done; ``line`` is the number of these lines.
        skip: number of spans of the line at ``offset`` that are also done; ``mark`` identifies the last of them.
        head, tail: fingerprints of the first line and of the line before ``offset``; they detect that a file of the
            same name has other content.
        stat: device, inode, size and change time of the file when all of it was done; empty before that.
    """

    offset: int = 0
    skip: int = 0
    line: int = 0
    head: str = ""
    tail: str = ""
    mark: str = ""
    stat: str = ""


class _Header(msgspec.Struct, tag="replay"):
    version: int
    endpoint: str
    digest: str


class _Entry(msgspec.Struct, tag="file"):
    name: str
    position: Position


_decoder = msgspec.json.Decoder(_Header | _Entry)


def default_path(directory: Path, url: str) -> Path:
    """A file beside the source, one per endpoint; readers ignore names that begin with a dot."""
    return directory / f".livekit-otel-replay-{_digest(url)}"


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:12]


class State:
    """The positions of a source for one endpoint; ``endpoint`` is the name of the endpoint in messages.

    Raises:
        LiveKitOtelError: the file cannot be written, or another replay uses it.
        OptionError: the file belongs to another endpoint, or is not a state file.
    """

    def __init__(self, path: Path, url: str, endpoint: str, *, read_only: bool = False) -> None:
        self.path = path
        self.positions: dict[str, Position] = {}
        self._endpoint = endpoint
        self._header = _Header(_VERSION, endpoint, _digest(url))
        self._fd = -1
        try:
            if not read_only:
                self._fd = self._lock()
            whole, torn, lines = self._load()
            if not read_only:
                self._prepare(whole, torn, lines)
        except OSError as error:
            self.close()
            raise LiveKitOtelError(
                f"{path}: {error.strerror or error}; the replay stores its state there, choose another --state"
            ) from None
        except BaseException:
            self.close()
            raise

    def _lock(self) -> int:
        while True:
            fd = open_private(self.path, _FLAGS)
            try:
                if fcntl is not None:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(fd), os.stat(self.path)):
                    return fd
            except BlockingIOError:
                os.close(fd)
                raise LiveKitOtelError(
                    f"{self.path}: another replay to {self._endpoint} is running; wait for it, or give another --state"
                ) from None
            except FileNotFoundError:
                pass
            # the file was replaced in the meantime
            os.close(fd)

    def _load(self) -> tuple[int, bool, int]:
        """The size of the complete lines in bytes, whether an incomplete line follows, and the number of lines."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return 0, False, 0
        whole = data.rfind(b"\n") + 1
        lines = data[:whole].splitlines()
        for number, line in enumerate(lines, 1):
            try:
                entry = _decoder.decode(line)
                if (number == 1) != isinstance(entry, _Header):
                    raise msgspec.DecodeError("unexpected type of entry")
            except msgspec.DecodeError as error:
                raise OptionError(
                    f"{self.path}, line {number}: not the state of a replay ({error}); give another --state, or "
                    "delete it to begin again"
                ) from None
            if isinstance(entry, _Entry):
                self.positions[entry.name] = entry.position
            elif entry.version != _VERSION or entry.digest != self._header.digest:
                raise OptionError(
                    f"{self.path}: this is the state of a replay to {entry.endpoint}, not to {self._endpoint}; "
                    "give another --state"
                )
        return whole, whole < len(data), len(lines)

    def _prepare(self, whole: int, torn: bool, lines: int) -> None:
        if torn:
            # the process was killed during a write: that batch counts as not acknowledged
            os.ftruncate(self._fd, whole)
        if not whole:
            self._append([self._header])
            _sync_directory(self.path.parent)
        elif lines > _COMPACT_OVER and lines > 4 * len(self.positions):
            self._compact()

    def _compact(self) -> None:
        replacement = self.path.with_name(self.path.name + ".new")
        fd = open_private(replacement, _FLAGS | os.O_TRUNC)
        if fcntl is not None:
            fcntl.flock(fd, fcntl.LOCK_EX)
        old, self._fd = self._fd, fd
        entries = [_Entry(name, position) for name, position in self.positions.items()]
        self._append([self._header, *entries])
        os.replace(replacement, self.path)
        _sync_directory(self.path.parent)
        os.close(old)

    def record(self, positions: dict[str, Position]) -> None:
        """Store positions; they are on disk when this method returns."""
        changed = {name: one for name, one in positions.items() if self.positions.get(name) != one}
        if not changed:
            return
        try:
            self._append([_Entry(name, position) for name, position in changed.items()])
        except OSError as error:
            raise LiveKitOtelError(
                f"{self.path}: {error.strerror or error}; the last batch was sent but not recorded; it is sent again"
            ) from None
        self.positions.update(changed)

    def _append(self, entries: list[_Header | _Entry]) -> None:
        data = b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
        size = os.fstat(self._fd).st_size
        done = 0
        try:
            while done < len(data):
                done += os.write(self._fd, data[done:])
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, size)
            raise

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _sync_directory(path: Path) -> None:
    """Sync the directory: a new file is durable only once its directory entry is."""
    if os.name == "posix":
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
