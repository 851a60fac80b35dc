"""The edge: everything that the commands print or write passes here, and nothing of it is obeyed by a terminal."""

from __future__ import annotations

import codecs
import json
import logging
import math
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .._display import InertFormatter, escape_json, visible
from .._private_files import write_private
from ..errors import LiveKitOtelError

__all__ = [
    "inert_logs",
    "on_terminal",
    "say",
    "shows_blocks",
    "stdout_on_terminal",
    "to_json",
    "write",
    "write_html",
    "write_json",
]

#: levels that are indented; a report of LiveKit's has ten
_INDENTED = 32
#: levels that what is too deep for the encoder is cut at
_DEEPEST = 200


def to_json(value: Any) -> str:
    """JSON for people and programs; what a terminal would obey is escaped, what is not finite is null.

    What is nested very deep is on one line, as indents would take the square of its length; beyond what Python's
    encoder can do it is null.
    """
    indent = None if _is_deep(value) else 2
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        text = json.dumps(_finite(value, _DEEPEST), indent=indent, ensure_ascii=False)
    return escape_json(text) + "\n"


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_INDENTED):
        level = [one for outer in level if isinstance(outer, dict | list | tuple) for one in _inside(outer)]
    return bool(level)


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _finite(value: Any, deepest: int) -> Any:
    if not deepest:
        return None
    if isinstance(value, dict):
        return {name: _finite(one, deepest - 1) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one, deepest - 1) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write(text: str, output: Path | None = None) -> None:
    """Lines, to a file that only its owner can read, or to standard output."""
    _write(visible(text, lines=True), output, "replace")


def write_json(value: Any, output: Path | None = None) -> None:
    """A value as JSON; what standard output cannot hold is escaped."""
    _write(visible(to_json(value), lines=True), output, _ESCAPED)


def write_html(page: str, output: Path | None = None) -> None:
    """A page, which is UTF-8 wherever it goes, as it says itself."""
    if output is None and sys.stdout is not None and hasattr(sys.stdout, "buffer"):
        sys.stdout.flush()
        sys.stdout.buffer.write(visible(page, lines=True).encode("utf-8", "replace"))
        sys.stdout.buffer.flush()
    else:
        write(page, output)


def _write(text: str, output: Path | None, errors: str) -> None:
    if output is None:
        if sys.stdout is None:
            raise LiveKitOtelError("standard output is closed; open it, or choose a file with -o")
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.encode(encoding, errors).decode(encoding))
        sys.stdout.flush()
        return
    try:
        write_private(output, text.encode("utf-8", "replace"))
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None)) or str(error)
        raise LiveKitOtelError(f"{output}: cannot be written: {reason}; choose another -o") from None


def _escape(error: UnicodeError) -> tuple[str, int]:
    """What an encoding cannot hold, as JSON escapes it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


_ESCAPED = "escaped-json"
codecs.register_error(_ESCAPED, _escape)


def shows_blocks() -> bool:
    """Whether standard output can show what bars are drawn with."""
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")


def stdout_on_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def say(message: str) -> None:
    """One line on standard error."""
    if sys.stderr is not None:
        print(" ".join(visible(message).split()), file=sys.stderr)


def on_terminal() -> bool:
    """Whether somebody watches standard error."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def inert_logs() -> Iterator[None]:
    """What libraries log reaches the terminal as it does without a handler, but is not obeyed by it."""
    if logging.root.handlers:
        yield
        return
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(InertFormatter())
    logging.root.addHandler(handler)
    try:
        yield
    finally:
        logging.root.removeHandler(handler)
