"""Checks whether ``rotating_files`` can write to a directory."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .model import Check

__all__ = ["check"]

_AREA = "files"
_MIB = 1 << 20
#: the default limit of ``rotating_files``
_ROOM = 1024 * _MIB


def check(directory: str | None) -> Iterator[Check]:
    """Check the directory, if one is given. Leaves no files behind."""
    if directory is None:
        return
    path = Path(directory).absolute()
    if os.path.isfile(path):
        yield Check(_AREA, "problem", f"{path} is a file", "give rotating_files a directory")
        return
    # the first export creates the directory and its parents
    place = next(one for one in (path, *path.parents) if os.path.exists(one))
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
        free = shutil.disk_usage(place).free
    except OSError as error:
        reason = error.strerror or str(error)
        who = f"user {os.getuid()}" if hasattr(os, "getuid") else "this user"
        fix = f"choose another directory, or let {who} write to {place}"
        yield Check(_AREA, "problem", f"{path} cannot be written to: {reason}", fix)
        return
    made = "can be written to" if place == path else "does not exist yet, and can be created"
    if free < _ROOM:
        fix = f"free some space, or pass rotating_files a max_total_bytes below {free // _MIB} MiB"
        yield Check(_AREA, "note", f"{path} {made}, with {free // _MIB:,} MiB free; files take up to 1,024 MiB", fix)
    else:
        yield Check(_AREA, "ok", f"{path} {made}; {free // _MIB:,} MiB are free")
