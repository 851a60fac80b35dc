"""Reads the messages of an OTLP JSON file in order, each with its position.

A message takes one line, as file exporters write it, or several, as tools print it. A damaged line is reported and
skipped. If the writer was killed, the last line is cut off; its complete spans are kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Generic, Literal, TypeAlias, TypeVar

import msgspec

from .gathered import Gathered
from .lines import Damaged, Line, LineFile, TooLong, mebibytes
from .parse import Malformed, NotAMessage
from .repair import BOM, balance, salvage

__all__ = ["Document", "Documents", "Empty", "Level", "NotATrace"]

T = TypeVar("T")
Level: TypeAlias = Literal["warning", "info"]
#: After this many lines, or bytes, without a message, the file is not considered a trace.
_PATIENCE = 50
_PATIENCE_BYTES = 16 << 20
_WHAT_BECAME_OF_IT = re.compile(
    r"; ((the line|it|the JSON document that begins here) was skipped|the content before that was read)$"
)


class NotATrace(Exception):
    """The file is not a trace; the message gives the reason."""


class Empty(NotATrace):
    """The file is empty."""


class Document(msgspec.Struct, Generic[T], gc=False):
    """One line, or several lines that form one message.

    Attributes:
        line: the position and the bytes.
        message: the decoded message; None if the document was skipped, which is reported.
        whole: False if the last line is cut off and ``message`` holds only its complete spans.
    """

    line: Line
    message: T | None
    whole: bool = True


class Documents(Generic[T]):
    """Reads one file.

    Args:
        decode: converts bytes to a message; raises NotAMessage or Malformed (see :func:`parse`).
        report: called with a line (None for the whole file), a description of the problem, and its level.
        growing: returns whether a writer may still append to the file; then an incomplete last line is left for later.
        recognised: whether the file is known to be a trace. Until then, nothing is reported.

    Attributes:
        waiting: whether data at the end was left for later.
    """

    def __init__(
        self,
        file: LineFile,
        decode: Callable[[bytes], T],
        report: Callable[[Line | None, str, Level], None],
        *,
        growing: Callable[[], bool] = lambda: False,
        recognised: bool = False,
    ) -> None:
        self._file, self._decode_bytes, self._report, self._growing = file, decode, report, growing
        self._recognised = file.skip_long = recognised
        self._held: list[tuple[Line | None, str, Level]] = []
        self._held_bytes = 0
        self._last: Line | None = None
        self.waiting = False

    def read(self, number: int = 0, offset: int = 0) -> Iterator[Document[T]]:
        """Yield the documents after line ``number``, which ends at ``offset``. Raises NotATrace."""
        empty = True
        lines = self._file.lines(number, offset)
        try:
            for line in lines:
                self._last = line
                if not line.data or line.data.isspace():
                    continue
                if empty and not offset and b"\0" in line.data[:4096]:
                    raise NotATrace("this is a binary file, not a trace")
                empty = False
                yield from self._document(line, lines)
        except TooLong as error:
            raise NotATrace(f"not a trace (line {error.number}: {error})") from None
        except Damaged as error:
            if self._growing():
                self.waiting = True
            else:
                self._problem(self._last, f"{error}; the content before that was read", "warning")
        if not self._recognised and (self._held or not self.waiting):
            if empty and not self._held:
                raise Empty("the file is empty; check that spans were exported and flushed")
            raise NotATrace(f"not a trace ({self._why()})")

    def _document(self, line: Line, more: Iterator[Line]) -> Iterator[Document[T]]:
        """The document on this line, or on the lines from this one if together they form one message."""
        if line.too_long:
            yield self._skipped(line, f"it is longer than {mebibytes()}, the limit for one record")
            return
        try:
            message = self._decode(line)
        except NotAMessage as error:
            yield self._skipped(line, str(error))
        except Malformed as error:
            if not line.ended:
                yield from self._cut_off(line, str(error))
            elif balance(line.data) > 0 and line.data.removeprefix(BOM).lstrip()[:1] in (b"{", b"["):
                yield from self._over_many_lines(Gathered(line), more)
            else:
                yield self._skipped(line, str(error))
        else:
            yield self._found(line, message)

    def _over_many_lines(self, gathered: Gathered, more: Iterator[Line]) -> Iterator[Document[T]]:
        """Gather lines that may form one message until all brackets are closed."""
        damage: Damaged | None = None
        try:
            for line in more:
                self._last = line
                alone = line.data[:1] == b"{" and not gathered.is_list
                if alone and (message := self._message(line)) is not None:
                    yield from self._ended(gathered)
                    yield self._found(line, message)
                    return
                if gathered.add(line):
                    reason = f"the JSON document that begins here is longer than {mebibytes()}, the limit"
                    self._problem(gathered.whole(), f"{reason} for one record; it was skipped", "warning")
                # in the usual layout the last line begins with a bracket; other layouts are detected at the end
                if line.data[:1] in (b"}", b"]") and gathered.closed:
                    yield self._complete(gathered)
                    return
        except Damaged as error:
            damage = error
        yield from self._ended(gathered, final=True)
        if damage is not None:
            raise damage

    def _ended(self, gathered: Gathered, *, final: bool = False) -> Iterator[Document[T]]:
        """Decide about the gathered lines when another message begins or the input ends."""
        if gathered.closed:
            yield self._complete(gathered)
            return
        if final:
            line = gathered.whole(ended=False)
            if self._growing() or (not line.too_long and salvage(line.data.removeprefix(BOM)) is not None):
                yield from self._cut_off(line, "")
                return
        # the file does have one message per line, and these lines are damaged
        yield from self._one_by_one(gathered)

    def _complete(self, gathered: Gathered) -> Document[T]:
        line = gathered.whole()
        if not line.too_long:
            try:
                return self._found(line, self._decode(line))
            except (NotAMessage, Malformed) as error:
                self._problem(line, f"{error}; the JSON document that begins here was skipped", "warning")
        return Document(line, None)

    def _one_by_one(self, gathered: Gathered) -> Iterator[Document[T]]:
        if gathered.too_long:
            yield Document(gathered.whole(), None)
            return
        for line in gathered.lines():
            try:
                yield self._found(line, self._decode(line))
            except (NotAMessage, Malformed) as error:
                yield self._skipped(line, str(error))

    def _decode(self, line: Line) -> T:
        return self._decode_bytes(line.data.removeprefix(BOM))

    def _message(self, line: Line) -> T | None:
        """The message on a line, if the line decodes by itself."""
        try:
            return self._decode(line)
        except (NotAMessage, Malformed):
            return None

    def _found(self, line: Line, message: T, whole: bool = True) -> Document[T]:
        if not self._recognised:
            self._recognised = self._file.skip_long = True
            for problem in self._held:
                self._report(*problem)
            self._held.clear()
        return Document(line, message, whole)

    def _skipped(self, line: Line, reason: str) -> Document[T]:
        self._problem(line, f"{reason}; the line was skipped", "warning")
        return Document(line, None)

    def _cut_off(self, line: Line, reason: str) -> Iterator[Document[T]]:
        """Handle the last line when its writer was killed in the middle of it, or is still writing it."""
        if self._growing():
            self.waiting = True
            if self._recognised:
                self._report(line, "the last line is not complete yet; a later replay sends it", "info")
            return
        message = self._whole_spans(line)
        if message is not None:
            yield self._found(line, message, whole=False)
        elif balance(line.data) > 0:
            self._problem(
                line, "the last line is cut off (was the writer killed?) before its first complete span", "info"
            )
        else:
            yield self._skipped(line, reason)

    def _whole_spans(self, line: Line) -> T | None:
        data = salvage(line.data.removeprefix(BOM))
        try:
            return None if data is None else self._decode_bytes(data)
        except (NotAMessage, Malformed):
            return None

    def _problem(self, line: Line | None, reason: str, level: Level) -> None:
        if self._recognised:
            self._report(line, reason, level)
            return
        # until the file is known to be a trace, an unreadable line may simply not be OTLP
        self._held_bytes += line.end - line.start if line else 0
        if line is not None:
            line = Line(line.number, line.start, line.end, b"", line.ended)
        self._held.append((line, reason, level))
        if len(self._held) >= _PATIENCE or self._held_bytes > _PATIENCE_BYTES:
            raise NotATrace(f"not a trace ({self._why()})")

    def _why(self) -> str:
        if not self._held:
            return "no line with spans"
        line, reason, _ = self._held[0]
        reason = _WHAT_BECAME_OF_IT.sub("", reason)
        return reason if line is None else f"line {line.number}: {reason}"
