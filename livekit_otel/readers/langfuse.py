"""Langfuse's public API: ``langfuse://cloud.langfuse.com?since=2h``; ``langfuse+http://`` for a server without TLS.

Keys come from ``LANGFUSE_PUBLIC_KEY`` and ``LANGFUSE_SECRET_KEY``, or from the URL (``langfuse://PUBLIC:SECRET@host``).
If the URL has no host, it comes from ``LANGFUSE_BASE_URL`` or ``LANGFUSE_HOST``. Langfuse stores spans a moment after
it has accepted them. Version 4 serves ``/v2/observations``, version 3 ``/observations``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import msgspec

from .. import attributes as attr
from ..errors import SourceError
from ..spans import SpanRecord
from ..transport.auth import basic
from .backend import Backend, NotFound
from .base import Context, Problem
from .langfuse_records import Observation, to_record
from .remote import Remote, parse, rfc3339

__all__ = ["read"]

_WHAT = "Langfuse"
_CLOUD = "https://cloud.langfuse.com"
_V2 = "/api/public/v2/observations"
_V1 = "/api/public/observations"
_TRACES_V1 = "/api/public/traces"
_PAGE, _PAGE_V1 = 500, 100
#: Without ``io``, Langfuse cuts the metadata, which contains our attributes, at 200 characters.
_ALL = "core,basic,time,io,metadata,model,usage,trace_context"
_SOME = "core,basic,metadata"
#: Spans that sessions are found by. A crash can lose any of them, but hardly all.
_SIGNS = (attr.KIND_SESSION_START, attr.KIND_TURN, attr.KIND_SESSION_END)


class _Meta(msgspec.Struct, frozen=True):
    cursor: str | None = None
    page: int = 1
    totalPages: int = 1


class _Page(msgspec.Struct):
    data: list[Observation]
    meta: _Meta = _Meta()


def read(source: str, context: Context) -> Iterator[SpanRecord]:
    """Span records of the sessions that the URL asks for; see :mod:`.remote` for its parameters."""
    host = os.environ.get("LANGFUSE_BASE_URL") or os.environ.get("LANGFUSE_HOST") or _CLOUD
    remote = parse(source, host=host, port=None, secure=True)
    public = remote.user or os.environ.get("LANGFUSE_PUBLIC_KEY", "")
    secret = remote.password or os.environ.get("LANGFUSE_SECRET_KEY", "")
    if not public or not secret:
        raise SourceError(
            f"{remote.shown}: no keys for Langfuse; set LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, or give them as "
            "langfuse://PUBLIC:SECRET@host"
        )
    keys = "LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, and that they belong to this server"
    base = "/".join((remote.base, *remote.path))
    backend = Backend(remote.shown, base, _WHAT, context, keys=keys, auth=basic(public, secret))
    return _Search(remote, backend, context).records()


class _Search:
    def __init__(self, remote: Remote, backend: Backend, context: Context) -> None:
        self._remote, self._backend, self._context = remote, backend, context
        self._v2: bool | None = None

    def records(self) -> Iterator[SpanRecord]:
        remote, backend = self._remote, self._backend
        for trace_id in [remote.trace] if remote.trace else self._traces():
            for observation in self._observations({"traceId": trace_id}, _ALL):
                record = self._record(observation)
                if record is not None and remote.wants(record):
                    backend.spans += 1
                    backend.partial = True
                    yield record
        if not backend.spans:
            hint = (
                "check that the keys belong to the right project, and wait a moment after a call: Langfuse stores late"
            )
            raise remote.nothing(_WHAT, hint)

    def _record(self, observation: Observation) -> SpanRecord | None:
        try:
            record = to_record(observation)
        except ValueError as error:
            self._context.problem(Problem(self._remote.shown, None, f"a span was skipped: {error}"))
            return None
        others = self._context.all_scopes or self._context.native is not None
        return record if others or attr.KIND in record.attributes else None

    def _traces(self) -> list[str]:
        """IDs of the newest traces with matching sessions."""
        remote = self._remote
        window = {"fromStartTime": rfc3339(remote.since_ns), "toStartTime": rfc3339(remote.until_ns)}
        if not remote.session:
            return self._newest([{**window, "name": name} for name in self._signs()])
        return self._of_session(window if remote.bounded else {}) or self._newest(
            [{"filter": self._filter(name)} for name in _SIGNS]
        )

    def _signs(self) -> tuple[str, ...]:
        """Names of spans that sessions are found by, with LiveKit's own if these are wanted."""
        others = self._context.native is not None or self._context.all_scopes
        return (*_SIGNS, *attr.NATIVE_SIGNS) if others else _SIGNS

    def _of_session(self, window: dict[str, str]) -> list[str]:
        """Traces with this ``session.id``, which Langfuse stores as its session."""
        remote = self._remote
        try:
            searches = [{**window, "sessionId": remote.session, "name": name} for name in self._signs()]
            return self._newest(searches, v1=False)
        except NotFound:
            traces = self._pages(_TRACES_V1, {"sessionId": remote.session, "limit": _PAGE_V1})
            return list(dict.fromkeys(trace.id for trace in traces))

    def _filter(self, name: str) -> str:
        """A filter for the spans of a session by our own ID, which is in the metadata."""
        remote = self._remote
        in_v2 = {"key": f"attributes.{attr.SESSION_ID}", "operator": "="}
        in_v1 = {"key": "attributes", "operator": "contains"}
        conditions: list[dict[str, Any]] = [
            {"type": "stringObject", "column": "metadata", "value": remote.session, **(in_v2 if self._v2 else in_v1)},
            {"type": "string", "column": "name", "operator": "=", "value": name},
            {"type": "datetime", "column": "startTime", "operator": ">=", "value": rfc3339(remote.since_ns)},
            {"type": "datetime", "column": "startTime", "operator": "<", "value": rfc3339(remote.until_ns)},
        ]
        return msgspec.json.encode(conditions).decode()

    def _newest(self, searches: list[dict[str, Any]], *, v1: bool = True) -> list[str]:
        found: dict[str, str] = {}
        for search in searches:
            of_this: set[str] = set()
            for observation in self._observations(search, _SOME, v1=v1):
                record = self._record(observation)
                if record is None or not self._of_service(record):
                    continue
                of_this.add(record.trace_id)
                found[record.trace_id] = max(found.get(record.trace_id, ""), observation.startTime)
                if len(of_this) > self._remote.limit:
                    break
        newest = sorted(found, key=lambda trace_id: found[trace_id], reverse=True)
        if len(newest) > self._remote.limit:
            reason = f"only the newest {self._remote.limit} traces were read; for others raise limit= or set until="
            self._context.problem(Problem(self._remote.shown, None, reason))
        return newest[: self._remote.limit]

    def _of_service(self, record: SpanRecord) -> bool:
        return not self._remote.service or record.resource.get(attr.SERVICE_NAME) == self._remote.service

    def _observations(self, search: dict[str, Any], fields: str, *, v1: bool = True) -> Iterator[Observation]:
        """All matching observations, from the API that exists. Raises NotFound if it is the old one and not ``v1``."""
        if self._v2 is not False:
            try:
                yield from self._pages(_V2, {**search, "fields": fields, "limit": _PAGE})
                return
            except NotFound:
                if self._v2:
                    raise self._backend.error("Langfuse answered 404 in the middle of the pages; try again") from None
                self._v2 = False
        if not v1:
            raise NotFound(b"")
        try:
            yield from self._pages(_V1, {**search, "limit": _PAGE_V1})
        except NotFound:
            raise self._backend.error("no Langfuse API at that address; check host, port and path") from None

    def _pages(self, path: str, parameters: dict[str, Any]) -> Iterator[Observation]:
        asked: set[str] = set()
        while True:
            page = self._backend.json(path, parameters, _Page, missing=True)
            self._v2 = path == _V2
            yield from page.data
            if page.meta.cursor:
                parameters = {**parameters, "cursor": page.meta.cursor}
            elif page.data and page.meta.page < page.meta.totalPages:
                parameters = {**parameters, "page": page.meta.page + 1}
            else:
                return
            mark = str(page.meta.cursor or page.meta.page)
            if mark in asked:
                raise self._backend.error("Langfuse returns the same page repeatedly; try again, or report it")
            asked.add(mark)
