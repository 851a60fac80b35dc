"""Finds the files of a source: one file, the files in a directory, or standard input."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec

from ..errors import SourceError
from .lines import reason

__all__ = ["Found", "find"]

_KINDS = {
    stat.S_IFIFO: "a named pipe; pass it as the source to read it",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


#: endings of files that are never OTLP, however large: recordings, pages, pictures, archives, programs, databases
_OTHER = frozenset(
    (
        *("wav", "mp3", "ogg", "oga", "opus", "flac", "m4a", "mp4", "webm", "mkv"),
        *("html", "htm", "css", "js", "map", "md", "rst", "csv", "pdf", "ipynb"),
        *("png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "zip", "tar", "tgz", "whl", "7z"),
        *("py", "pyc", "so", "toml", "yaml", "yml", "ini", "cfg", "lock", "sqlite", "db", "parquet"),
    )
)


class Found(msgspec.Struct, frozen=True):
    """The files of a source.

    Attributes:
        paths: in a stable order; None stands for standard input.
        directory: whether the source is a directory.
        skipped: other entries of the directory, each with the reason why it is not read.
    """

    paths: list[Path | None]
    directory: bool = False
    skipped: list[tuple[Path, str]] = []

    @property
    def size(self) -> int | None:
        """Total stored size in bytes; None if one of the files has no known size."""
        paths = [path for path in self.paths if path is not None and os.path.isfile(path)]
        return sum(path.stat().st_size for path in paths) if len(paths) == len(self.paths) else None


def find(path: Path | None, name: str) -> Found:
    """Find the files of a path; None stands for standard input. ``name`` is the name of the source in messages.

    Raises:
        SourceError: there are no files.
    """
    if path is None:
        return Found([None])
    try:
        if path.is_dir():
            return _below(path)
        path.stat()
    except FileNotFoundError:
        raise SourceError(f"{name}: no such file or directory; check the path") from None
    except (OSError, ValueError) as error:
        raise SourceError(f"{name}: {reason(error)}; check the path and its permissions") from None
    return Found([path])


def _below(path: Path) -> Found:
    paths: list[Path | None] = []
    skipped: list[tuple[Path, str]] = []
    denied: list[OSError] = []
    for folder, folders, names in os.walk(path, onerror=denied.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for one in (Path(folder, name) for name in sorted(names) if not name.startswith(".")):
            kind = _kind(one) or _other(one)
            if kind is None:
                paths.append(one)
            else:
                skipped.append((one, f"skipped: it is {kind}"))
    if denied and not paths:
        raise SourceError(f"{path}: {reason(denied[0])}; check the permissions of the directory")
    # opening these paths later gives the reason
    paths += [Path(error.filename or path) for error in denied]
    if not paths and skipped:
        hint = "give the one that the trace exporter writes to"
        raise SourceError(f"{path}: none of the {len(skipped)} files in the directory is a trace; {hint}")
    if not paths:
        raise SourceError(f"{path}: the directory contains no files; give the one that the trace exporter writes to")
    return Found(paths, True, skipped)


def _other(path: Path) -> str | None:
    """What a file is by its name, if a file of that name cannot be a trace."""
    ending = path.suffix.lower().removeprefix(".")
    return f"a .{ending} file; to read it all the same, pass it as the source" if ending in _OTHER else None


def _kind(path: Path) -> str | None:
    """The kind of a path that could block when opened or that has no end; None for any other path."""
    try:
        return _KINDS.get(stat.S_IFMT(path.stat().st_mode))
    except OSError:
        # opening it gives the reason
        return None
