"""Readers: one module per kind of source, each a ``read`` function that yields span records and knows no meaning.

To add a backend, write ``readers/<name>.py`` with ``read(source, context)`` (see :class:`~.base.Reader`) and name its
URL scheme in ``SCHEMES``.
"""

from __future__ import annotations

import importlib
import os
import re
import time
from collections.abc import Iterator
from typing import cast

from ..errors import SourceError
from ..transport.address import scheme_of
from ..transport.credentials import shown
from .base import Context, ListedSession, OnProblem, Problem, Reader, SpanStream
from .remote import moment, with_time

__all__ = ["SCHEMES", "ListedSession", "Problem", "SpanStream", "between", "listed_sessions", "read_spans"]

#: URL scheme -> module of this package; servers also take ``+http`` and ``+https`` behind it, or ``s`` for TLS
SCHEMES = {
    "clickhouse": "clickhouse",
    "file": "files",
    "jaeger": "jaeger",
    "langfuse": "langfuse",
    "phoenix": "phoenix",
}
#: readers that list sessions without reading them -> the module that does
LISTS = {"clickhouse": "clickhouse_sessions"}


def read_spans(
    source: str | os.PathLike[str], *, all_scopes: bool = False, on_problem: OnProblem | None = None
) -> SpanStream:
    """Span records from ``source``, one after the other, in the order of storage; duplicates are not removed.

    Args:
        source: a file or a directory of files of OTLP JSON (plain or gzip), ``-`` for standard input, or a URL:
            ``clickhouse://``, ``jaeger://``, ``langfuse://`` or ``phoenix://``, with ``service``, ``session``,
            ``trace``, ``since``, ``until`` and ``limit`` as parameters. A file may also hold a session report of
            LiveKit's as JSON: it is one record, of which ``build_report`` makes the report.
        all_scopes: also yield spans that livekit_otel did not make.
        on_problem: called with each :class:`Problem` (a damaged line, say) when it is met. Reading continues after it.

    Returns:
        An iterator whose ``problems`` lists what could not be read so far; reports built from it repeat them.

    Raises:
        SourceError: the source is missing, unreadable or not a trace: here, or from the iterator once that is known.
        PartialReadError: a server stopped answering in the middle.
    """
    text = os.fspath(source)
    reader = _reader(text)
    # what callers may print holds no credentials
    return SpanStream(
        lambda _, context: reader(text, context), shown(text), all_scopes=all_scopes, on_problem=on_problem
    )


def listed_sessions(source: str, context: Context) -> Iterator[ListedSession] | None:
    """The sessions of a server that lists them without their spans; None where their reports have to be built."""
    module = LISTS.get(_module(source))
    return importlib.import_module(f".{module}", __package__).sessions(source, context) if module else None


def between(source: str, since: str | None, until: str | None) -> tuple[str, float | None, float | None]:
    """A source with the time that it is asked for, and the two moments in unix seconds.

    Servers get them as parameters of the address. ``since`` and ``until`` are times like ``2026-01-31T14:00:00Z``, or
    ``30m``, ``2h``, ``3d`` for so long ago.

    Raises:
        SourceError: one of them is no time, or stands in the address as well.
    """
    now = time.time_ns()
    asked = {name: one.strip() for name, one in (("since", since), ("until", until)) if one is not None}
    moments = {name: moment(one, now, shown(source)) for name, one in asked.items()}
    if len(moments) == 2 and moments["since"] >= moments["until"]:
        raise SourceError(f"{shown(source)}: since is not before until; swap or drop one of them")
    if asked and _module(source) != "files":
        source = with_time(source, moments)
    first, last = (moments[name] / 1e9 if name in moments else None for name in ("since", "until"))
    return source, first, last


def _reader(source: str) -> Reader:
    return cast(Reader, importlib.import_module(f".{_module(source)}", __package__).read)


def _module(source: str) -> str:
    scheme = scheme_of(source) or "file"
    name = re.sub(r"\+https?$", "", scheme)
    module = SCHEMES.get(name) or (SCHEMES.get(name[:-1]) if name.endswith("s") else None)
    if module is None or (module == "files" and scheme != "file"):
        known = ", ".join(f"{name}://" for name in sorted(SCHEMES))
        raise SourceError(f"{shown(source)}: no reader for {scheme}:// sources; give a path, or one of {known}")
    return module
