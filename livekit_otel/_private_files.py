"""Files that hold what people said: only their owner may read them, from the moment they exist.

Every file and directory that livekit_otel makes is made here. The mode is given when it is made, so that there is no
moment in which others can open it; what already exists keeps the mode that somebody gave it.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

__all__ = ["make_directory", "open_private", "write_private"]

_ALWAYS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_GROUP_FILE, _GROUP_DIRECTORY = 0o040, 0o050


def open_private(path: str | os.PathLike[str], flags: int, *, group_readable: bool = False) -> int:
    """``os.open`` with ``O_CREAT``: a new file has mode 0600, or 0640 for ``group_readable``, whatever the umask.

    Raises:
        OSError: as ``os.open`` does.
    """
    mode = 0o600 | (_GROUP_FILE if group_readable else 0)
    flags |= os.O_CREAT | _ALWAYS
    try:
        fd = os.open(path, flags | os.O_EXCL, mode)
    except OSError as error:
        if flags & os.O_EXCL or error.errno != errno.EEXIST:
            raise
        # it is there, or is a link
        return os.open(path, flags, mode)
    if os.name == "posix" and stat.S_IMODE(os.fstat(fd).st_mode) != mode:
        # what the umask took away; a file system without modes refuses
        with suppress(OSError):
            os.fchmod(fd, mode)
    return fd


def write_private(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole file; one that exists is overwritten in place.

    Raises:
        OSError: it cannot be written.
    """
    with os.fdopen(open_private(path, os.O_WRONLY | os.O_TRUNC), "wb") as file:
        file.write(data)


def make_directory(path: Path, *, group_readable: bool = False) -> None:
    """Make ``path`` and what is missing above it, mode 0700 (``group_readable``: 0750) whatever the umask.

    Raises:
        OSError: it cannot be made, or is a file.
    """
    mode = 0o700 | (_GROUP_DIRECTORY if group_readable else 0)
    try:
        os.mkdir(path, mode)
    except FileNotFoundError:
        if path.parent == path:
            raise
        make_directory(path.parent, group_readable=group_readable)
        make_directory(path, group_readable=group_readable)
        return
    except OSError:
        # a read-only file system refuses also what exists
        if path.is_dir():
            return
        raise
    found = stat.S_IMODE(os.stat(path).st_mode)
    if os.name == "posix" and found & 0o777 != mode:
        # a set-group-id bit is the directory above's, and stays
        with suppress(OSError):
            os.chmod(path, found & ~0o777 | mode)
