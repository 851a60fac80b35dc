"""Phoenix's spans API: ``phoenix://host:6006/project?since=2h``; ``phoenixs://`` for TLS.

The key comes from ``PHOENIX_API_KEY`` or the URL (``phoenix://:KEY@host/project``). Phoenix stores spans a moment after
it has accepted them, does not store resources and scopes, and uses its own spelling of OTLP.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from .. import attributes as attr
from ..errors import SourceError
from ..otlp.decode import records
from ..otlp.message import decode_message
from ..spans import SpanRecord
from ..transport.auth import Bearer
from .backend import Backend, NotFound
from .base import Context, Problem
from .remote import Remote, parse, restored, rfc3339

__all__ = ["read"]

_WHAT = "Phoenix"
_PAGE = 1_000
#: Spans that sessions are found by. A crash can lose any of them, but hardly all.
_SIGNS = (attr.KIND_SESSION_START, attr.KIND_TURN, attr.KIND_SESSION_END)


class _Page(msgspec.Struct):
    data: list[dict[str, Any]]
    next_cursor: str | None = None


def read(source: str, context: Context) -> Iterator[SpanRecord]:
    """Span records of the sessions that the URL asks for; see :mod:`.remote` for its parameters."""
    remote = parse(source, host="localhost", port=6006, secure=False)
    if remote.service:
        raise SourceError(
            f"{remote.shown}: Phoenix does not store service names; leave service= out, and name the project"
        )
    key = remote.password or remote.user or os.environ.get("PHOENIX_API_KEY", "")
    base = "/".join((remote.base, *remote.path[:-1]))
    keys = "PHOENIX_API_KEY"
    backend = Backend(remote.shown, base, _WHAT, context, keys=keys, auth=Bearer(key) if key else None)
    return _Search(remote, backend, context).records()


class _Search:
    def __init__(self, remote: Remote, backend: Backend, context: Context) -> None:
        self._remote, self._backend, self._context = remote, backend, context
        self._project = remote.path[-1] if remote.path else "default"
        self._path = f"/v1/projects/{quote(self._project, safe='')}/spans/otlpv1"

    def records(self) -> Iterator[SpanRecord]:
        remote = self._remote
        for trace_id in [remote.trace] if remote.trace else self._traces():
            for record in self._spans({"trace_id": [trace_id]}):
                if remote.wants(record):
                    self._backend.spans += 1
                    self._backend.partial = True
                    yield record
        if not self._backend.spans:
            hint = f"check the project ({self._project!r}), and wait a moment after a call: Phoenix stores spans late"
            raise remote.nothing(_WHAT, hint)

    def _traces(self) -> list[str]:
        """IDs of the newest traces with matching sessions."""
        remote = self._remote
        window = {"start_time": rfc3339(remote.since_ns), "end_time": rfc3339(remote.until_ns)}
        if not remote.session:
            found = [*self._newest({**window, "name": list(_SIGNS)}), *self._native(window)]
            return list(dict.fromkeys(found))
        value = msgspec.json.encode(remote.session).decode()
        names = (attr.SESSION_ID, attr.BACKEND_SESSION_ID)
        searches = ({**window, "attribute": [f"{name}:{value}"]} for name in names)
        own = next(filter(None, map(self._newest, searches)), [])
        return own or self._native({**window, "attribute": [f"{attr.CONVERSATION_ID}:{value}"]})

    def _native(self, search: Mapping[str, Any]) -> list[str]:
        """IDs of the newest traces of calls that only LiveKit traced."""
        if self._context.native is None and not self._context.all_scopes:
            return []
        return self._newest({**search, "name": list(attr.NATIVE_SIGNS)}, ours=False)

    def _newest(self, search: Mapping[str, Any], *, ours: bool = True) -> list[str]:
        found: dict[str, None] = {}
        for record in self._spans(search):
            if (attr.SESSION_ID in record.attributes) is ours and record.trace_id not in found:
                if len(found) == self._remote.limit:
                    reason = f"only the newest {len(found)} traces were read; for others raise limit= or set until="
                    self._context.problem(Problem(self._remote.shown, None, reason))
                    break
                found[record.trace_id] = None
        return list(found)

    def _spans(self, search: Mapping[str, Any]) -> Iterator[SpanRecord]:
        parameters: dict[str, Any] = {**search, "limit": _PAGE}
        cursors: set[str] = set()
        while True:
            page = self._page(parameters)
            yield from self._records(page.data)
            if not page.next_cursor:
                return
            if page.next_cursor in cursors:
                raise self._backend.error("Phoenix returns the same page repeatedly; try again, or report it")
            cursors.add(page.next_cursor)
            parameters["cursor"] = page.next_cursor

    def _page(self, parameters: Mapping[str, Any]) -> _Page:
        try:
            return self._backend.json(self._path, parameters, _Page, missing=True)
        except NotFound as answer:
            known = b'"detail"' in answer.body or b"roject" in answer.body
            reason = f"Phoenix has no project {self._project!r}; give it as the last part of the path"
            other = "no Phoenix with this API at that address; check host, port and version"
            raise self._backend.error(reason if known and b"Not Found" not in answer.body else other) from None

    def _records(self, spans: list[dict[str, Any]]) -> Iterator[SpanRecord]:
        """Rewrite the spans as OTLP JSON, so that the shared decoder can read them."""

        def complain(reason: str) -> None:
            self._context.problem(Problem(self._remote.shown, None, reason))

        scopes = _scopes(spans, complain)
        if not self._context.all_scopes and self._context.native is None:
            scopes.pop()
        data = msgspec.json.encode({"resourceSpans": [{"scopeSpans": scopes}]})
        message = self._backend.decode(data, decode_message)
        context = self._context
        for record in records(message, all_scopes=context.all_scopes, complain=complain, native=context.native):
            yield msgspec.structs.replace(
                record,
                # stored to the microsecond, and returned as a slightly inexact float
                start_ns=round(record.start_ns, -3),
                end_ns=round(record.end_ns, -3),
                attributes=restored(record.attributes),
            )


def _scopes(spans: list[dict[str, Any]], complain: Callable[[str], None]) -> list[dict[str, Any]]:
    """Group the spans into ours and others, because Phoenix does not store scopes."""
    ours: list[Any] = []
    others: list[Any] = []
    for span in spans:
        pairs = span.get("attributes")
        names = [pair.get("key") for pair in pairs if isinstance(pair, dict)] if isinstance(pairs, list) else []
        try:
            (ours if attr.KIND in names else others).append(_camel(span))
        except RecursionError:
            complain("a span was skipped: its values are nested too deeply")
    return [{"scope": {"name": attr.SCOPE}, "spans": ours}, {"scope": {"name": ""}, "spans": others}]


def _camel(value: Any) -> Any:
    """Convert the keys of protobuf fields to their JSON spelling: ``start_time_unix_nano`` → ``startTimeUnixNano``."""
    if isinstance(value, dict):
        return {_name(key): _camel(one) for key, one in value.items()}
    return [_camel(one) for one in value] if isinstance(value, list) else value


def _name(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(map(str.capitalize, rest))
