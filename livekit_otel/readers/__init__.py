"""Readers: one module per kind of source, each a ``read`` function that yields span records and knows no meaning.

To add a backend, write ``readers/<name>.py`` with ``read(source, context)`` (see :class:`~.base.Reader`) and name its
URL scheme in ``SCHEMES``.
"""

from __future__ import annotations

import importlib
import os
import re
from typing import cast

from ..errors import SourceError
from ..transport.address import scheme_of
from ..transport.credentials import shown
from .base import OnProblem, Problem, Reader, SpanStream

__all__ = ["SCHEMES", "Problem", "SpanStream", "read_spans"]

#: URL scheme -> module of this package; servers also take ``+http`` and ``+https`` behind it, or ``s`` for TLS
SCHEMES = {
    "clickhouse": "clickhouse",
    "file": "files",
    "jaeger": "jaeger",
    "langfuse": "langfuse",
    "phoenix": "phoenix",
}


def read_spans(
    source: str | os.PathLike[str], *, all_scopes: bool = False, on_problem: OnProblem | None = None
) -> SpanStream:
    """Span records from ``source``, one after the other, in the order of storage; duplicates are not removed.

    Args:
        source: a file or a directory of files of OTLP JSON (plain or gzip), ``-`` for standard input, or a URL:
            ``clickhouse://``, ``jaeger://``, ``langfuse://`` or ``phoenix://``, with ``service``, ``session``,
            ``trace``, ``since``, ``until`` and ``limit`` as parameters.
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


def _reader(source: str) -> Reader:
    scheme = scheme_of(source) or "file"
    name = re.sub(r"\+https?$", "", scheme)
    module = SCHEMES.get(name) or (SCHEMES.get(name[:-1]) if name.endswith("s") else None)
    if module is None or (module == "files" and scheme != "file"):
        known = ", ".join(f"{name}://" for name in sorted(SCHEMES))
        raise SourceError(f"{shown(source)}: no reader for {scheme}:// sources; give a path, or one of {known}")
    return cast(Reader, importlib.import_module(f".{module}", __package__).read)
