"""Text from outside, as a terminal, a log, a spreadsheet or a JSON viewer may show it.

Words of callers, names of tools and files, and answers of servers can hold characters that the program which displays
them obeys: escape sequences move the cursor, write to the clipboard or disguise a link, bidirectional controls reorder
a line, a leading ``=`` is a formula. Everything that livekit_otel prints passes one of these functions.
"""

from __future__ import annotations

import logging
import re
import traceback
from pathlib import Path

__all__ = ["InertFormatter", "InertLogs", "csv_cell", "escape_json", "mistake", "visible"]

_PACKAGE = Path(__file__).parent

#: Controls (C0, DEL, C1), surrogates, line separators, and all format characters but the two joiners, which Persian,
#: Indic scripts and emoji need. With them what Unicode reserves for invisible characters of later versions; not the
#: variation selectors (U+E0100-U+E01EF). ``tests/test_terminal.py`` holds the ranges against ``unicodedata``.
_OBEYED = (
    "\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
#: The flags of England, Scotland and others are a black flag, letters as tag characters, and an end: kept as a whole.
_FLAG = "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f"
_IN_LINES = re.compile(f"({_FLAG})|[{_OBEYED}]")
_IN_ONE_LINE = re.compile(f"({_FLAG})|[\n{_OBEYED}]")
_SPACES = frozenset("\t\n\v\f\r\u2028\u2029")
_STAND_IN = "\ufffd"

#: What spreadsheets take for the beginning of a formula, also as the wide forms that Japanese ones read.
_FORMULA = re.compile("[\\s\u200c\u200d]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
_NUMBER = re.compile(r"\s*[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?\s*")


def visible(text: object, *, lines: bool = False) -> str:
    """``text`` without a character that a terminal obeys: white space becomes a blank, all others U+FFFD.

    Letters of every script, combining marks, joiners and emoji stay as they are, and so does the length.

    Args:
        text: anything; its ``str`` is taken.
        lines: whether line feeds stay, for what consists of lines of ours.
    """
    plain = str(text)
    return plain if plain.isprintable() else (_IN_LINES if lines else _IN_ONE_LINE).sub(_stand_in, plain)


def _stand_in(found: re.Match[str]) -> str:
    return found[1] or (" " if found[0] in _SPACES else _STAND_IN)


def escape_json(text: str) -> str:
    r"""JSON text of the same value in which those characters are ``\uXXXX``; line feeds between its tokens stay."""
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
    """A cell that no spreadsheet takes for a formula: text like one gets an apostrophe in front, as OWASP advises.

    Numbers stay numbers, also where they are text; other text is one :func:`visible` line.
    """
    if value is None or isinstance(value, int | float):
        return value
    raw = str(value)
    text = visible(raw)
    formula = _FORMULA.match(raw) or _FORMULA.match(text)
    return f"'{text}" if formula and not _NUMBER.fullmatch(text) else text


class InertFormatter(logging.Formatter):
    """Formats records, tracebacks included, as :func:`visible` lines."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), lines=True)


class InertLogs(logging.Filter):
    """Makes the records of our own logger :func:`visible`, whoever formats them; ordinary ones are left untouched."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            self._clean(record)
        except Exception:
            # logging itself says what is wrong with a record
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
    """One line for an error that this package did not raise on purpose, with the place that a report of it needs."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(_PACKAGE)
    ]
    where = f" in {Path(frames[-1].filename).relative_to(_PACKAGE)}, line {frames[-1].lineno}" if frames else ""
    text = f"unexpected {type(error).__name__}{where}: {error}; this is a mistake in livekit_otel, please report it"
    return " ".join(visible(text).split())
