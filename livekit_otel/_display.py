"""Makes text from outside safe to show in a terminal, a log, a spreadsheet or a JSON viewer.

Transcripts, names of tools and files, and server responses can contain characters that the displaying program
interprets: escape sequences move the cursor, write to the clipboard or disguise a link, bidirectional controls reorder
a line, a leading ``=`` starts a formula. All text that livekit_otel prints passes through one of these functions.
"""

from __future__ import annotations

import logging
import re
import traceback
from pathlib import Path

__all__ = ["InertFormatter", "InertLogs", "csv_cell", "escape_json", "mistake", "visible"]

_PACKAGE = Path(__file__).parent

#: Controls (C0, DEL, C1), surrogates, line separators, and all format characters except the two joiners, which Persian,
#: Indic scripts and emoji need. Also the code points that Unicode reserves for future invisible characters, but not the
#: variation selectors (U+E0100-U+E01EF). ``tests/test_terminal.py`` checks the ranges against ``unicodedata``.
_OBEYED = (
    "\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
#: The flags of England, Scotland and others consist of a black flag, tag characters and an end tag; they are kept.
_FLAG = "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f"
_IN_LINES = re.compile(f"({_FLAG})|[{_OBEYED}]")
_IN_ONE_LINE = re.compile(f"({_FLAG})|[\n{_OBEYED}]")
_SPACES = frozenset("\t\n\v\f\r\u2028\u2029")
_STAND_IN = "\ufffd"

#: The characters that start a formula in spreadsheets, including the full-width forms that Japanese versions accept.
_FORMULA = re.compile("[\\s\u200c\u200d]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
_NUMBER = re.compile(r"\s*[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?\s*")


def visible(text: object, *, lines: bool = False) -> str:
    """``text`` without characters that a terminal interprets: white space becomes a blank, all others U+FFFD.

    Letters of every script, combining marks, joiners and emoji stay as they are. The length does not change.

    Args:
        text: any object; it is converted with ``str``.
        lines: whether to keep line feeds, for text made up of lines that livekit_otel wrote.
    """
    plain = str(text)
    return plain if plain.isprintable() else (_IN_LINES if lines else _IN_ONE_LINE).sub(_stand_in, plain)


def _stand_in(found: re.Match[str]) -> str:
    return found[1] or (" " if found[0] in _SPACES else _STAND_IN)


def escape_json(text: str) -> str:
    r"""Equivalent JSON text with those characters escaped as ``\uXXXX``; line feeds between tokens are kept."""
    return _IN_LINES.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    if found[1]:
        return found[1]
    code = ord(found[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


def csv_cell(value: object) -> object:
    """A cell that no spreadsheet treats as a formula: formula-like text gets a leading apostrophe, as OWASP advises.

    Numbers are returned unchanged, also if they are strings; other text becomes one :func:`visible` line.
    """
    if value is None or isinstance(value, int | float):
        return value
    raw = str(value)
    text = visible(raw)
    formula = _FORMULA.match(raw) or _FORMULA.match(text)
    return f"'{text}" if formula and not _NUMBER.fullmatch(text) else text


class InertFormatter(logging.Formatter):
    """Formats log records, including tracebacks, as :func:`visible` lines."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), lines=True)


class InertLogs(logging.Filter):
    """Makes the records of livekit_otel's logger :func:`visible` for any formatter; ordinary records are unchanged."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            self._clean(record)
        except Exception:
            # logging itself reports a malformed record
            pass
        return True

    @staticmethod
    def _clean(record: logging.LogRecord) -> None:
        message = record.getMessage()
        clean = visible(message, lines=True)
        if clean != message:
            record.msg, record.args = clean, ()
        if record.exc_info and not record.exc_text:
            trace = logging.Formatter().formatException(record.exc_info)
            clean = visible(trace, lines=True)
            if clean != trace:
                record.exc_text = clean


def mistake(error: Exception) -> str:
    """One line for an exception that livekit_otel does not raise on purpose, with the place that a bug report needs."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(_PACKAGE)
    ]
    where = f" in {Path(frames[-1].filename).relative_to(_PACKAGE)}, line {frames[-1].lineno}" if frames else ""
    text = f"unexpected {type(error).__name__}{where}: {error}; this is a bug in livekit_otel, please report it"
    return " ".join(visible(text).split())
