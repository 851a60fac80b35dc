"""Applies the user's ``redact`` to whole texts. What it fails on is withheld; a fault of it never reaches the call."""

from __future__ import annotations

import json
import re
from asyncio import CancelledError
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from ..containment import report
from .kinds import AGENT, ERROR, USER

__all__ = ["WITHHELD", "Redact", "Redaction"]

#: ``(text, kind) -> text``
Redact: TypeAlias = Callable[[str, str], str]

#: what stands for a text that ``redact`` failed on
WITHHELD = "[WITHHELD]"
_CUT = "…"
_MAX_KNOWN = 256
_LONGEST_KNOWN = 8_000
_MAX_PIECES = 32
_MAX_SAID = 500
#: strings and numbers of a JSON document; in one that parses, strings begin and end where this says
_JSON_VALUES = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*', re.DOTALL)
#: numbers with fewer digits before the point identify nobody
_NUMBER = re.compile(r"-?\d{7,}(\.\d+)?")
_WORD = re.compile(r"\S+")
#: a word that may be part of a number, an address or an IBAN that was cut off
_PART = re.compile(r"\S*[\d@+]\S*|[A-Z]{1,4}|\w|\W+")


class Redaction:
    """The user's ``redact`` for one session, with the results of the latest texts: most are recorded in several places.

    Attributes:
        failed: how many texts were withheld because ``redact`` raised, or returned something else than a string.
    """

    def __init__(self, redact: Redact) -> None:
        self._redact = redact
        self._known: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._pieces: deque[str] = deque(maxlen=_MAX_PIECES)
        self._endings: deque[str] = deque(maxlen=_MAX_PIECES)
        #: what the user said last, and as much of what came before as a number may be spread over
        self._last = self._said = ""
        #: texts of the user that complete what an earlier one began -> what is recorded of them
        self._completing: OrderedDict[str, str] = OrderedDict()
        self.failed = 0

    def said(self, text: str, *, again: bool = False) -> None:
        """The user said this, after what :meth:`said` was called with before. Where more is found in all of it together
        than in each, what this one begins with is withheld wherever it is recorded: the rest has been recorded.

        ``again``: it may be what the last call was for.
        """
        if not text or (again and text == self._last):
            return
        before, self._last = self._said, text
        self._said = f"{before} {text}"[-_MAX_SAID:].lstrip()
        if not before or self.pieces((before, text), USER) is not None:
            return
        start = 0
        for word in _WORD.finditer(text):
            if not _PART.fullmatch(word.group()):
                break
            start = word.end()
        if start:
            self._completing[text] = f"{_CUT} {self.text(text[start:].lstrip(), USER)}".rstrip()
            if len(self._completing) > _MAX_KNOWN:
                self._completing.popitem(last=False)

    def broke_off(self, text: str) -> None:
        """An answer broke off where this does. LiveKit does not mark its message: it is known by its last word."""
        self._endings.extend(_last_word(text))

    def withhold(self, piece: str) -> None:
        """A piece of a text was withheld: an error that quotes it soon is, too."""
        if piece:
            self._pieces.append(piece)

    def text(self, text: str, kind: str) -> str:
        """A whole text. In a JSON document each string and number is redacted, so that it stays one."""
        if not text:
            return ""
        text = str.__str__(text)
        if kind == ERROR and any(piece in text for piece in self._pieces):
            return WITHHELD
        if kind == USER and text in self._completing:
            return self._completing[text]
        if kind == AGENT and self._endings and any(word in self._endings for word in _last_word(text)):
            return self.cut_off(text, kind)
        return self._whole(text, kind)

    def _whole(self, text: str, kind: str) -> str:
        known = self._known.get((text, kind))
        if known is not None:
            self._known.move_to_end((text, kind))
            return known
        found = self._in_json(text, kind) if _is_json(text) else self._call(text, kind)
        if len(text) <= _LONGEST_KNOWN:
            self._known[text, kind] = found
            if len(self._known) > _MAX_KNOWN:
                self._known.popitem(last=False)
        return found

    def cut_off(self, text: str, kind: str) -> str:
        """A text that ends in the middle. What it ends with may be the beginning of something that cannot be detected:
        its last word is withheld, and with it the words before that look like parts of a number or an address."""
        end = 0
        words = [found.span() for found in _WORD.finditer(text)][:-1]
        while words:
            start, stop = words.pop()
            if not _PART.fullmatch(text, start, stop):
                end = stop
                break
        return f"{self._whole(text[:end], kind) if end else ''} {_CUT}".lstrip() if text.strip() else ""

    def pieces(self, texts: Sequence[str], kind: str) -> list[str] | None:
        """Texts that follow each other, each redacted; None where more is found in all of them together."""
        each = [self.text(one, kind) for one in texts]
        return each if len(each) < 2 or " ".join(each) == self.text(" ".join(texts), kind) else None

    def value(self, value: Any, kind: str) -> Any:
        """A JSON-like value: all strings in it, keys included, and numbers of seven digits or more."""
        if isinstance(value, str):
            return self.text(value, kind)
        if isinstance(value, Mapping):
            out: dict[str, Any] = {}
            seen: Counter[str] = Counter()
            for key, one in value.items():
                name = shown = self.text(str(key), kind)
                # keys that become equal are counted; one that is there already may look like that, too
                while name in out:
                    seen[shown] += 1
                    name = f"{shown} ({seen[shown] + 1})"
                out[name] = self.value(one, kind)
            return out
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(one, kind) for one in value]
        if isinstance(value, int | float) and not isinstance(value, bool) and (text := _digits(str(value))):
            found = self.text(text, kind)
            return value if found == text else found
        return value

    def _call(self, text: str, kind: str) -> str:
        try:
            found: object = self._redact(text, kind)
            if not isinstance(found, str):
                raise TypeError
            return str.__str__(found)
        except (Exception, CancelledError) as error:
            self.failed += 1
            report("redact", error)
            return WITHHELD

    def _in_json(self, text: str, kind: str) -> str:
        def replaced(found: re.Match[str]) -> str:
            token = found.group()
            if token[0] != '"':
                value = _digits(token)
                if not value:
                    return token
            else:
                value = json.loads(token, strict=False)
            redacted = self.text(value, kind)
            return token if redacted == value else json.dumps(redacted, ensure_ascii=False)

        return _JSON_VALUES.sub(replaced, text)


def _digits(number: str) -> str:
    """A number that may identify somebody, by its digits: also where it is written as ``4.1e15`` or ends in ``.0``."""
    if "e" in number.lower() or number.endswith(".0"):
        with suppress(ValueError, OverflowError):
            if (value := float(number)).is_integer():
                number = str(int(value))
    return number if _NUMBER.fullmatch(number) else ""


def _last_word(text: str) -> list[str]:
    """As a list: empty where there is none."""
    return text.rstrip().rsplit(maxsplit=1)[-1:]


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
