"""What readers share: the protocol, the problems they tell of, and the stream that callers iterate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, Protocol

import msgspec

from .._display import visible
from ..spans import SpanRecord

__all__ = ["Context", "ListedSession", "OnProblem", "Problem", "Reader", "SpanStream"]

_KEPT_PROBLEMS = 100


class Problem(msgspec.Struct, frozen=True):
    """Something in a source that could not be read, and was skipped.

    Attributes:
        where: the file, or another name of the place.
        line: line number from 1, where there are lines.
        reason: what is wrong, and what became of it.
        level: ``info`` for what is normal after a crash or in a mixed directory, else ``warning``.
    """

    where: str
    line: int | None
    reason: str
    level: Literal["warning", "info"] = "warning"

    def __str__(self) -> str:
        return visible(self.where + ("" if self.line is None else f", line {self.line}") + f": {self.reason}")


OnProblem = Callable[[Problem], None]


class Context(Protocol):
    """What a reader is told, and what it tells."""

    all_scopes: bool
    native: Callable[[str], bool] | None
    bytes_total: int | None

    def problem(self, problem: Problem) -> None:
        """Something was passed over."""

    def advance(self, size: int) -> None:
        """So many bytes more of the source were read."""


class ListedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session as a server lists it, without its report.

    Attributes:
        session_id, conversation_id: as a report has them.
        started_at, ended_at: unix time in seconds.
        turns: how many; None where that is not known.
        close_reason: LiveKit's reason as the trace has it (``user_initiated``); empty when the call broke off.
        complete: whether it was closed, and all spans that it counted are there.
        flagged: how many of its turns have a flag, by the flag, as the session's close says it.
    """

    session_id: str
    conversation_id: str
    started_at: float
    ended_at: float
    turns: int | None
    close_reason: str
    complete: bool
    flagged: Mapping[str, int] = {}


class Reader(Protocol):
    """Reads one kind of source.

    Checks what it can at once (is it there?), and returns an iterator for the rest. Foreign errors become SourceError.
    """

    def __call__(self, source: str, context: Context, /) -> Iterator[SpanRecord]: ...


class SpanStream(Iterator[SpanRecord]):
    """The span records of one source, with what went wrong on the way.

    Attributes:
        problems: what was skipped so far, the first hundred of them.
        problem_count: how many there were.
        bytes_read, bytes_total: progress; the total is None where it is not known.
        native: of which traces, by their id, LiveKit's own spans are wanted, too; whoever builds reports sets it before
            the first span is read.
        on_advance: called with the number of bytes when some more were read.
    """

    def __init__(self, reader: Reader, source: str, *, all_scopes: bool, on_problem: OnProblem | None) -> None:
        self.source = source
        self.all_scopes = all_scopes
        self.native: Callable[[str], bool] | None = None
        self.problems: list[Problem] = []
        self.problem_count = 0
        self.bytes_read = 0
        self.bytes_total: int | None = None
        self.on_advance: Callable[[int], None] | None = None
        self._on_problem = on_problem
        self._records = iter(reader(source, self))

    def __iter__(self) -> SpanStream:
        return self

    def __next__(self) -> SpanRecord:
        return next(self._records)

    def problem(self, problem: Problem) -> None:
        """For the reader: something could not be read, and was left out."""
        self.problem_count += 1
        if len(self.problems) < _KEPT_PROBLEMS:
            self.problems.append(problem)
        if self._on_problem is not None:
            self._on_problem(problem)

    def advance(self, size: int) -> None:
        """For the reader: ``size`` bytes more of the source were read."""
        self.bytes_read += size
        if self.on_advance is not None:
            self.on_advance(size)
