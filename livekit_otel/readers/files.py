"""Files as lines of bytes: paths, directories, standard input, gzip. Memory follows one line."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit

import msgspec

from ..errors import SourceError
from .remote import scheme_of

__all__ = ["STDIN", "Damaged", "Line", "find", "local", "read_lines"]

STDIN = "standard input"
_CHUNK = 1 << 18
_GZIP = b"\x1f\x8b"


class Line(msgspec.Struct, gc=False):
    """One line without its end. ``ended`` is false for a last line that has no end."""

    number: int
    data: bytes
    ended: bool


class Damaged(Exception):
    """The bytes of a file end or break off in the middle."""


def local(source: str) -> Path:
    """The path of a source, which may be a ``file://`` URL."""
    return Path(unquote(urlsplit(source).path)) if scheme_of(source) == "file" else Path(source)


def find(source: str) -> tuple[list[Path | None], bool]:
    """The files of a source in a stable order (None is standard input), and whether it is a directory."""
    if source == "-":
        return [None], False
    path = local(source)
    try:
        if path.is_dir():
            return _files_below(path), True
        path.stat()
    except FileNotFoundError:
        raise SourceError(f"{source}: no such file or directory; check the path") from None
    except (OSError, ValueError) as error:
        raise SourceError(f"{source}: {_reason(error)}; check the path and its permissions") from None
    return [path], False


def _files_below(path: Path) -> list[Path | None]:
    found: list[Path | None] = []
    denied: list[OSError] = []
    for folder, folders, names in os.walk(path, onerror=denied.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
    if denied and not found:
        raise SourceError(f"{path}: {_reason(denied[0])}; check the permissions of the directory")
    # opening one says why it cannot be read
    found += [Path(error.filename) for error in denied]
    if not found:
        raise SourceError(f"{path}: the directory holds no files; give the one that the trace exporter writes to")
    return found


def read_lines(path: Path | None, advance: Callable[[int], None]) -> Iterator[Line]:
    """The lines of a file.

    Raises:
        SourceError: the file cannot be opened.
        Damaged: it breaks off; what came before was yielded.
    """
    pieces: list[bytes] = []
    number = 0
    damage: Damaged | None = None
    chunks = _chunks(path, advance)
    while True:
        try:
            chunk = next(chunks, None)
        except Damaged as error:
            chunk, damage = None, error
        if chunk is None:
            break
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            number += 1
            pieces.append(chunk[start:end])
            yield Line(number, b"".join(pieces) if len(pieces) > 1 else pieces[0], True)
            pieces.clear()
            start = end + 1
        if start < len(chunk):
            pieces.append(chunk[start:])
    if pieces:
        yield Line(number + 1, b"".join(pieces), False)
    if damage is not None:
        raise damage


def _chunks(path: Path | None, advance: Callable[[int], None]) -> Iterator[bytes]:
    raw = _raw(path, advance)
    first = next(raw, b"")
    if first.startswith(_GZIP):
        yield from _gunzip(first, raw)
        return
    yield first
    yield from raw


def _raw(path: Path | None, advance: Callable[[int], None]) -> Iterator[bytes]:
    name = STDIN if path is None else str(path)
    try:
        file = cast(BufferedReader, sys.stdin.buffer if path is None else path.open("rb"))
    except OSError as error:
        raise SourceError(f"{name}: {_reason(error)}; check the file and its permissions") from None
    try:
        while chunk := file.read1(_CHUNK):
            advance(len(chunk))
            yield chunk
    except OSError as error:
        raise Damaged(f"reading stopped: {_reason(error)}") from None
    finally:
        if path is not None:
            file.close()


def _gunzip(data: bytes, more: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress any number of members, a bounded piece at a time."""
    member = zlib.decompressobj(wbits=31)
    try:
        while True:
            yield member.decompress(data, _CHUNK)
            data = member.unconsumed_tail
            if member.eof:
                data = (member.unused_data or next(more, b"")).lstrip(b"\0")
                if not data:
                    return
                member = zlib.decompressobj(wbits=31)
            elif not data and not (data := next(more, b"")):
                yield member.flush()
                if not member.eof:
                    raise Damaged("the gzip data is cut off")
    except zlib.error as error:
        raise Damaged(f"the gzip data is damaged ({error})") from None


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
