"""Shared by all readers: their protocol, the problems that they report, and the stream that callers iterate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, Protocol

import msgspec

from .._display import visible
from ..spans import SpanRecord

__all__ = ["Context", "ListedSession", "OnProblem", "Problem", "Reader", "SpanStream"]

_KEPT_PROBLEMS = 100


class Problem(msgspec.Struct, frozen=True):
    """A part of a source that could not be read and was skipped.

    Attributes:
        where: the file or address.
        line: line number from 1; None for sources without lines.
        reason: what is wrong, and how it was handled.
        level: ``info`` for problems that are normal after a crash or in a mixed directory, else ``warning``.
    """

    where: str
    line: int | None
    reason: str
    level: Literal["warning", "info"] = "warning"

    def __str__(self) -> str:
        return visible(self.where + ("" if self.line is None else f", line {self.line}") + f": {self.reason}")


OnProblem = Callable[[Problem], None]


class Context(Protocol):
    """Passed to a reader: its settings, and callbacks for problems and progress."""

    all_scopes: bool
    native: Callable[[str], bool] | None
    bytes_total: int | None

    def problem(self, problem: Problem) -> None:
        """Report that something was skipped."""

    def advance(self, size: int) -> None:
        """Report that ``size`` more bytes of the source were read."""


class ListedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session in a server's list, without its report.

    Attributes:
        trace_id: the trace, or the first one.
        session_id, conversation_id: as in a report.
        started_at, ended_at: Unix time in seconds.
        turns: number of turns; None if unknown.
        close_reason: LiveKit's reason as recorded in the trace (``user_initiated``); empty if the call broke off.
        complete: whether the session was closed, and all spans that it counted are stored.
        flagged: number of turns with a flag, as recorded, by flag; None if unknown.
    """

    trace_id: str
    session_id: str
    conversation_id: str
    started_at: float
    ended_at: float
    turns: int | None
    close_reason: str
    complete: bool
    flagged: Mapping[str, int] | None


class Reader(Protocol):
    """Reads one kind of source.

    The call checks immediately what it can, such as whether the source exists, and returns an iterator for the rest.
    Errors of other libraries become SourceError.
    """

    def __call__(self, source: str, context: Context, /) -> Iterator[SpanRecord]: ...


class SpanStream(Iterator[SpanRecord]):
    """The span records of one source, and the problems found while reading it.

    Attributes:
        problems: the first hundred problems so far.
        problem_count: number of all problems so far.
        bytes_read, bytes_total: progress; the total is None if unknown.
        native: whether to also yield LiveKit's own spans of a trace, by its ID. Code that builds reports sets this
            before it reads the first span.
        on_advance: called with the number of bytes each time more were read.
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
        """Called by the reader: something could not be read and was left out."""
        self.problem_count += 1
        if len(self.problems) < _KEPT_PROBLEMS:
            self.problems.append(problem)
        if self._on_problem is not None:
            self._on_problem(problem)

    def advance(self, size: int) -> None:
        """Called by the reader: ``size`` more bytes of the source were read."""
        self.bytes_read += size
        if self.on_advance is not None:
            self.on_advance(size)
