"""What must hold of every run, and the streams in which commands run."""

from __future__ import annotations

import csv
import errno
import io
import json
import re
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from livekit_otel.cli import main
from livekit_otel.cli.turns import COLUMNS

__all__ = ["Wrong", "command", "limits", "strict_json"]

SECONDS = 5.0
#: beyond this a run is stuck
_STUCK = 60
#: what a run may add to the memory: by itself, and for each byte of its input
MEMORY, MEMORY_PER_BYTE = 48 << 20, 40
#: characters that may be printed: by themselves, and for each byte of the input
OUTPUT, OUTPUT_PER_BYTE = 200_000, 40
_DATA = re.compile(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', re.DOTALL)
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Wrong(AssertionError):
    """Something that must hold did not."""


@contextmanager
def limits(size: int) -> Iterator[None]:
    """Time and memory of a run whose input has this many bytes."""

    def stuck(*_: object) -> None:
        raise Wrong(f"no end after {_STUCK} s")

    before, previous = _peak(forget=True), signal.signal(signal.SIGALRM, stuck)
    signal.alarm(_STUCK)
    begin = time.process_time()
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    took, grown = time.process_time() - begin, _peak() - before
    if took > SECONDS:
        raise Wrong(f"took {took:.1f} s for {size:,} bytes")
    if grown > MEMORY + MEMORY_PER_BYTE * size:
        raise Wrong(f"took {grown >> 20} MiB for {size:,} bytes")


def _peak(*, forget: bool = False) -> int:
    """The most memory so far; with ``forget`` counted anew from here, where the system can do that (Linux)."""
    try:
        if forget:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    except OSError:
        found = None
    if found is not None:
        return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def strict_json(text: str) -> Any:
    """A JSON document that has no constants of JavaScript and can be written as UTF-8."""

    def refuse(constant: str) -> None:
        raise Wrong(f"{constant} is not JSON")

    text.encode()
    return json.loads(text, parse_constant=refuse)


class _Raw(io.BytesIO):
    def __init__(self, error: int | None) -> None:
        super().__init__()
        self._error = error

    def write(self, data: Any) -> int:
        if self._error is not None:
            raise OSError(self._error, "as it is")
        return super().write(data)


class _Stream(io.TextIOWrapper):
    def __init__(self, encoding: str = "utf-8", *, terminal: bool = False, error: int | None = None) -> None:
        self.raw_bytes = _Raw(error)
        self._terminal = terminal
        super().__init__(self.raw_bytes, encoding=encoding, write_through=True)

    def isatty(self) -> bool:
        return self._terminal

    def text(self, encoding: str | None = None) -> str:
        return self.raw_bytes.getvalue().decode(encoding or self.encoding)


#: standard output as a pipe, a pipe of ASCII, a terminal, a full disk, a pipe that nobody reads, and closed
OUTPUTS = ("pipe", "pipe", "pipe", "pipe", "ascii", "terminal", "full", "broken", "closed")


def _output(kind: str) -> _Stream | None:
    if kind == "closed":
        return None
    error = {"full": errno.ENOSPC, "broken": errno.EPIPE}.get(kind)
    return _Stream("ascii" if kind == "ascii" else "utf-8", terminal=kind == "terminal", error=error)


def command(
    arguments: list[str], *, size: int, output: str = "pipe", stdin: bytes = b"", failure: int = 1
) -> str | None:
    """Run a command in this process and hold its output against its format; returns what it printed, if it worked.

    ``size`` is the number of bytes that it reads, ``failure`` its exit code if it could not do its work.
    """
    out, err = _output(output), _Stream(terminal=output == "terminal")
    kept = sys.stdout, sys.stderr, sys.stdin
    sys.stdout, sys.stderr, sys.stdin = out, err, io.TextIOWrapper(io.BytesIO(stdin))
    try:
        code = main(arguments)
    finally:
        sys.stdout, sys.stderr, sys.stdin = kept
    said = err.text()
    if "a bug in livekit_otel" in said or code not in range(failure + 1):
        raise Wrong(f"exit code {code}: {said}")
    if code == failure and "livekit-otel: " not in said:
        raise Wrong(f"exit code {code} and nothing said of it: {said!r}")
    if output in ("full", "closed") and code == 0:
        raise Wrong("exit code 0, and nothing could be written")
    if output in ("full", "broken", "closed"):
        return None
    # a page is UTF-8 wherever it goes
    text = out.text("utf-8" if "html" in arguments else None) if out is not None else ""
    if len(text) > OUTPUT + OUTPUT_PER_BYTE * size:
        raise Wrong(f"printed {len(text):,} characters for {size:,} bytes")
    if output == "pipe" and _OBEYED.search(text + said):
        raise Wrong("a terminal would obey something of it")
    if code != failure and output == "pipe":
        _check(arguments, text)
    return text if code != failure else None


def _check(arguments: list[str], text: str) -> None:
    format_ = arguments[arguments.index("-f") + 1] if "-f" in arguments else "text"
    if format_ == "json":
        strict_json(text)
    elif format_ == "html":
        for data in _DATA.findall(text):
            strict_json(data)
    elif format_ == "csv":
        csv.field_size_limit(sys.maxsize)  # words of a million characters are one field
        if {len(row) for row in csv.reader(io.StringIO(text))} != {len(COLUMNS)}:
            raise Wrong("rows of another length")
    elif not text:
        raise Wrong("nothing was printed")
