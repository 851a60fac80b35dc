"""Jaeger's query API, version 3: ``jaeger://host:16686?service=agent&since=2h``; ``jaegers://`` for TLS.

Credentials for a proxy in front of Jaeger come from the URL (``jaeger://user:password@host``) or ``JAEGER_TOKEN``
(bearer). A search returns whole traces, the newest ``limit`` of a service. Releases before 2.19 ignore attributes in a
search; for them, the reader searches with the API of version 1, which later releases remove.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from .. import attributes as attr
from .._json import NOT_JSON
from ..errors import SourceError
from ..otlp.decode import records
from ..otlp.message import Message, decode_message
from ..spans import SpanRecord
from ..transport.auth import Bearer, basic
from .backend import Backend, NotFound
from .base import Context, Problem
from .remote import Remote, parse, restored, rfc3339

__all__ = ["read"]

_WHAT = "Jaeger"
#: The service name under which Jaeger traces itself.
_OWN_SERVICE = "jaeger"


class _Services(msgspec.Struct):
    services: list[str] | None = None


class _Found(msgspec.Struct):
    traceID: str


class _FoundV1(msgspec.Struct):
    data: list[_Found] | None = None


class _Error(msgspec.Struct):
    error: dict[str, msgspec.Raw]


def read(source: str, context: Context) -> Iterator[SpanRecord]:
    """Span records of the traces that the URL asks for; see :mod:`.remote` for its parameters."""
    remote = parse(source, host="localhost", port=16686, secure=False)
    token = os.environ.get("JAEGER_TOKEN", "")
    auth = basic(remote.user, remote.password) if remote.user else Bearer(token) if token else None
    keys = "the user and password in the address, or JAEGER_TOKEN"
    base = "/".join((remote.base, *remote.path))
    return _Search(remote, Backend(remote.shown, base, _WHAT, context, keys=keys, auth=auth), context).records()


def _nothing(reason: str) -> None:
    """Ignore problems of a search: reading the traces reports them again."""


class _Search:
    def __init__(self, remote: Remote, backend: Backend, context: Context) -> None:
        self._remote, self._backend, self._context = remote, backend, context

    def records(self) -> Iterator[SpanRecord]:
        remote, backend = self._remote, self._backend
        for message in self._trace(remote.trace) if remote.trace else self._traces():
            for record in self._records(message):
                if remote.wants(record):
                    backend.spans += 1
                    backend.partial = True
                    yield record
        if not backend.spans:
            raise self._nothing()

    def _records(self, message: Message) -> Iterator[SpanRecord]:
        def complain(reason: str) -> None:
            self._context.problem(Problem(self._remote.shown, None, reason))

        context = self._context
        for record in records(message, all_scopes=context.all_scopes, complain=complain, native=context.native):
            yield msgspec.structs.replace(record, attributes=restored(record.attributes))

    def _trace(self, trace_id: str) -> Iterator[Message]:
        parameters = {"rawTraces": "true", "raw_traces": "true"}
        try:
            yield self._decode(self._backend.get(f"/api/v3/traces/{trace_id}", parameters, missing=True))
        except NotFound as answer:
            self._check_missing(answer)

    def _traces(self) -> Iterator[Message]:
        services = [self._remote.service] if self._remote.service else self._services()
        session = self._remote.session
        if session:
            for name in (attr.SESSION_ID, attr.BACKEND_SESSION_ID):
                found = False
                for service in services:
                    for message in self._of_service(service, name, session):
                        found = True
                        yield message
                if found:
                    return
        else:
            for service in services:
                for schema in attr.SCHEMAS:
                    yield from self._of_service(service, attr.SCHEMA, str(schema))
        if self._context.native is not None or self._context.all_scopes:
            yield from self._native(services)

    def _native(self, services: list[str]) -> Iterator[Message]:
        """Traces of calls that only LiveKit traced, found by the names of their spans."""
        attributes = {attr.CONVERSATION_ID: self._remote.session} if self._remote.session else {}
        for service in services:
            known: set[str] = set()
            most = 0
            # a call that still runs, or that was cut, has no span with the first name
            for name in attr.NATIVE_SIGNS:
                message = self._search(service, attributes, name)
                if message is not None:
                    found = {record.trace_id for record in records(message, all_scopes=True, complain=_nothing)}
                    most = max(most, len(found))
                    if not found <= known:
                        known |= found
                        yield message
            self._check_limit(service, most)

    def _of_service(self, service: str, name: str, value: str) -> Iterator[Message]:
        """Traces of a service that have a span with this attribute."""
        message = self._search(service, {name: value})
        if message is None:
            return
        matching: dict[str, bool] = {}
        for record in records(message, all_scopes=True, complain=_nothing):
            matches = str(record.attributes.get(name, "")) == value
            matching[record.trace_id] = matching.get(record.trace_id, False) or matches
        if all(matching.values()):
            self._check_limit(service, len(matching))
            yield message
            return
        ids = self._search_v1(service, {name: value})
        self._check_limit(service, len(ids))
        for trace_id in ids:
            yield from self._trace(trace_id)

    def _check_limit(self, service: str, traces: int) -> None:
        limit = self._remote.limit
        if traces >= limit:
            reason = f"the search stopped at limit={limit} traces of {service!r}: raise it, or set since=, until="
            self._context.problem(Problem(self._remote.shown, None, reason))

    def _search_v1(self, service: str, attributes: dict[str, str]) -> list[str]:
        """IDs of traces, from the API of old releases."""
        remote = self._remote
        parameters: dict[str, str | int] = {
            "service": service,
            "tags": msgspec.json.encode(attributes).decode(),
            "start": remote.since_ns // 1000,
            "end": remote.until_ns // 1000,
            "limit": remote.limit,
        }
        found = self._backend.json("/api/traces", parameters, _FoundV1).data or []
        return [trace.traceID.zfill(32) for trace in found]

    def _search(self, service: str, attributes: dict[str, str], name: str = "") -> Message | None:
        remote = self._remote
        since, until = rfc3339(remote.since_ns), rfc3339(remote.until_ns)
        parameters = {
            "query.serviceName": service,
            "query.startTimeMin": since,
            "query.startTimeMax": until,
            "query.searchDepth": str(remote.limit),
            "query.rawTraces": "true",
            "query.attributes": msgspec.json.encode(attributes).decode(),
            # the name in releases before 2.19
            "query.service_name": service,
            "query.start_time_min": since,
            "query.start_time_max": until,
            "query.num_traces": str(remote.limit),
            "query.raw_traces": "true",
            **({"query.operationName": name, "query.operation_name": name} if name else {}),
        }
        try:
            return self._decode(self._backend.get("/api/v3/traces", parameters, missing=True))
        except NotFound as answer:
            self._check_missing(answer)
            return None

    def _services(self) -> list[str]:
        found = self._backend.json("/api/v3/services", None, _Services).services or []
        return [name for name in found if name != _OWN_SERVICE]

    def _decode(self, data: bytes) -> Message:
        message = self._backend.decode(data, decode_message)
        if not isinstance(message, Message) or not message.known:
            raise self._backend.error(f"this is not a response of {_WHAT}; check the address, port and path")
        return message

    def _check_missing(self, answer: NotFound) -> None:
        """Raise an error unless the 404 is Jaeger's response for an empty result."""
        try:
            msgspec.json.decode(answer.body, type=_Error)
        except NOT_JSON:
            raise self._backend.error(
                f"{_WHAT} answered 404; is this the address of its query service? check host, port and path"
            ) from None

    def _nothing(self) -> SourceError:
        remote = self._remote
        if remote.trace:
            return remote.nothing(_WHAT, "check the id")
        services = self._services()
        if remote.service and remote.service not in services:
            known = f"there are: {', '.join(services[:10])}" if services else "there is none"
            return SourceError(f"{remote.shown}: Jaeger knows no service {remote.service!r}; {known}")
        return remote.nothing(_WHAT, "check that the call was traced with livekit_otel and exported to here")
