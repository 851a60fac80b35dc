"""Everything that the commands print or write passes through here, made harmless to terminals."""

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
from .._json import NOT_JSON
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

#: nesting levels up to which JSON is indented; LiveKit's own report has ten
_INDENTED = 32
#: nesting level at which values that are too deep for the encoder are cut
_DEEPEST = 200


def to_json(value: Any) -> str:
    """JSON for people and programs. Control characters are escaped; numbers that are not finite become null.

    Deeply nested values are written on one line, because indentation would grow with the square of the depth. Levels
    beyond the limit of Python's encoder become null.
    """
    indent = None if _is_deep(value) else 2
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except NOT_JSON:
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
    """Write text to standard output, or to a file that only its owner can read."""
    _write(visible(text, lines=True), output, "replace")


def write_json(value: Any, output: Path | None = None) -> None:
    """Write a value as JSON. Characters that standard output cannot encode are escaped."""
    _write(visible(to_json(value), lines=True), output, _ESCAPED)


def write_html(page: str, output: Path | None = None) -> None:
    """Write an HTML page, always as UTF-8: its ``meta`` element declares that encoding."""
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
    """Escape characters that an encoding lacks, as JSON does."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


_ESCAPED = "escaped-json"
codecs.register_error(_ESCAPED, _escape)


def shows_blocks() -> bool:
    """Whether standard output can encode the block characters of the bars."""
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")


def stdout_on_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def say(message: str) -> None:
    """Print one line on standard error."""
    if sys.stderr is not None:
        print(" ".join(visible(message).split()), file=sys.stderr)


def on_terminal() -> bool:
    """Whether standard error is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def inert_logs() -> Iterator[None]:
    """Print log messages of libraries as Python does without a handler, but with control characters escaped."""
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
