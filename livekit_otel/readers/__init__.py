"""Readers of trace sources. Each module reads one kind of source with a ``read`` function that yields span records.

Readers do not interpret the spans. To add a backend, write ``readers/<name>.py`` with ``read(source, context)`` (see
:class:`~.base.Reader`) and add its URL scheme to ``SCHEMES``.
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

#: URL scheme -> module of this package. Schemes of servers also accept the suffixes ``+http``, ``+https`` and ``s``
SCHEMES = {
    "clickhouse": "clickhouse",
    "file": "files",
    "jaeger": "jaeger",
    "langfuse": "langfuse",
    "phoenix": "phoenix",
}
#: readers that can list sessions without reading their spans -> the module that lists them
LISTS = {"clickhouse": "clickhouse_sessions"}


def read_spans(
    source: str | os.PathLike[str], *, all_scopes: bool = False, on_problem: OnProblem | None = None
) -> SpanStream:
    """Read span records from ``source``, in the order of storage. Duplicates are not removed.

    Args:
        source: an OTLP JSON file (plain or gzip), a directory of such files, ``-`` for standard input, or a URL:
            ``clickhouse://``, ``jaeger://``, ``langfuse://`` or ``phoenix://``, with ``service``, ``session``,
            ``trace``, ``since``, ``until`` and ``limit`` as parameters. A file may also hold a
            session report of LiveKit as JSON: it becomes one record, from which ``build_report`` makes the report.
        all_scopes: also yield spans that livekit_otel did not record.
        on_problem: called with each :class:`Problem`, for example a damaged line. Reading continues afterwards.

    Returns:
        An iterator. Its ``problems`` list what could not be read so far; reports built from it repeat them.

    Raises:
        SourceError: the source is missing, unreadable or not a trace. Raised here, or by the iterator once it is known.
        PartialReadError: a server failed after it had returned spans.
    """
    text = os.fspath(source)
    reader = _reader(text)
    # callers may print this, so it contains no credentials
    return SpanStream(
        lambda _, context: reader(text, context), shown(text), all_scopes=all_scopes, on_problem=on_problem
    )


def listed_sessions(source: str, context: Context) -> Iterator[ListedSession] | None:
    """The sessions of a server that can list them without their spans; None if reports are needed for the list."""
    module = LISTS.get(_module(source))
    return importlib.import_module(f".{module}", __package__).sessions(source, context) if module else None


def between(source: str, since: str | None, until: str | None) -> tuple[str, float | None, float | None]:
    """The source limited to a period, and the two limits in Unix seconds.

    Servers get the limits as parameters of the address. ``since`` and ``until`` are times like
    ``2026-01-31T14:00:00Z``, or durations before now: ``30m``, ``2h``, ``3d``.

    Raises:
        SourceError: a value is not a time, or the address already has that parameter.
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
