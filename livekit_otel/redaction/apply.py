"""Applies the user's ``redact`` to complete texts. If it fails, the text is withheld; no error reaches the call."""

from __future__ import annotations

import json
import re
from asyncio import CancelledError
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from .._json import NOT_JSON
from ..containment import report
from .kinds import AGENT, ERROR, USER

__all__ = ["WITHHELD", "Redact", "Redaction"]

#: ``(text, kind) -> text``
Redact: TypeAlias = Callable[[str, str], str]

#: replaces a text for which ``redact`` failed
WITHHELD = "[WITHHELD]"
_CUT = "…"
_MAX_KNOWN = 256
_LONGEST_KNOWN = 8_000
_MAX_PIECES = 32
_MAX_SAID = 500
#: strings and numbers of a JSON document; in a valid document, strings start and end where this pattern matches
_JSON_VALUES = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*', re.DOTALL)
#: numbers with fewer digits before the decimal point do not identify anybody
_NUMBER = re.compile(r"-?\d{7,}(\.\d+)?")
_WORD = re.compile(r"\S+")
#: a word that may be part of a number, an address or an IBAN that is cut off
_PART = re.compile(r"\S*[\d@+]\S*|[A-Z]{1,4}|\w|\W+")


class Redaction:
    """The user's ``redact`` for one session, with a cache of recent results: most texts are recorded several times.

    Attributes:
        failed: number of texts that were withheld because ``redact`` raised, or returned a value that is not a string.
    """

    def __init__(self, redact: Redact) -> None:
        self._redact = redact
        self._known: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._pieces: deque[str] = deque(maxlen=_MAX_PIECES)
        self._endings: deque[str] = deque(maxlen=_MAX_PIECES)
        #: the user's last text, and enough of the text before it to contain a number spread over several texts
        self._last = self._said = ""
        #: texts of the user that complete the beginning in an earlier text -> the text to record
        self._completing: OrderedDict[str, str] = OrderedDict()
        self.failed = 0

    def said(self, text: str, *, again: bool = False) -> None:
        """Record that the user said ``text``. If ``redact`` finds more in it together with the previous text than
        in each alone, the beginning of ``text`` is withheld everywhere; the previous text is already recorded.

        ``again``: the text may be the same utterance as in the last call.
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
        """An answer broke off at the end of ``text``. LiveKit does not mark its message; its last word does."""
        self._endings.extend(_last_word(text))

    def withhold(self, piece: str) -> None:
        """Record that a fragment of a text was withheld, so that an error that quotes it soon is withheld too."""
        if piece:
            self._pieces.append(piece)

    def text(self, text: str, kind: str) -> str:
        """Redact a complete text. In a JSON document, each string and number is redacted, so that it stays valid."""
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
        """Redact a text that is cut off. Its end may be the start of something that can no longer be detected, so the
        last word is withheld, and with it preceding words that look like parts of a number or an address."""
        end = 0
        words = [found.span() for found in _WORD.finditer(text)][:-1]
        while words:
            start, stop = words.pop()
            if not _PART.fullmatch(text, start, stop):
                end = stop
                break
        return f"{self._whole(text[:end], kind) if end else ''} {_CUT}".lstrip() if text.strip() else ""

    def pieces(self, texts: Sequence[str], kind: str) -> list[str] | None:
        """Redact consecutive texts one by one; None if ``redact`` finds more in all of them together."""
        each = [self.text(one, kind) for one in texts]
        return each if len(each) < 2 or " ".join(each) == self.text(" ".join(texts), kind) else None

    def value(self, value: Any, kind: str) -> Any:
        """Redact a JSON-like value: all its strings, including keys, and numbers of seven digits or more."""
        if isinstance(value, str):
            return self.text(value, kind)
        if isinstance(value, Mapping):
            out: dict[str, Any] = {}
            seen: Counter[str] = Counter()
            for key, one in value.items():
                name = shown = self.text(str(key), kind)
                # number keys that become equal; a number may already be taken by another key
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
    """The digits of a number that may identify somebody, also if it is written as ``4.1e15`` or ends in ``.0``."""
    if "e" in number.lower() or number.endswith(".0"):
        with suppress(ValueError, OverflowError):
            if (value := float(number)).is_integer():
                number = str(int(value))
    return number if _NUMBER.fullmatch(number) else ""


def _last_word(text: str) -> list[str]:
    """The last word in a list; an empty list if there is none."""
    return text.rstrip().rsplit(maxsplit=1)[-1:]


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except NOT_JSON:
        return False
    return True
