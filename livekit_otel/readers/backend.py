"""HTTP requests to a backend: decoded responses, and errors in one line without credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec
from requests.auth import AuthBase

from .._json import NOT_JSON
from ..errors import PartialReadError, SourceError
from ..otlp.repair import without_lone_surrogates
from ..transport.client import Answer, Client, Parameters, Unanswered
from ..transport.credentials import secrets_of, shown
from ..transport.failure import Failure
from ..transport.retry import READING
from .base import Context

__all__ = ["Backend", "NotFound"]

T = TypeVar("T")

_CONNECT_SECONDS = 10.0
_READ_SECONDS = 60.0
_LONGEST_ANSWER = 512 << 20
_LONGEST_LINE = 128 << 20


class NotFound(Exception):
    """A 404 response to a request for which the caller allows it. ``body`` is the body of the response."""

    def __init__(self, body: bytes) -> None:
        super().__init__("not found")
        self.body = body


class Backend:
    """Client of one server. Once spans were read (``partial = True``), failures are PartialReadErrors.

    Args:
        shown_source: the source without credentials, for messages.
        base: address of the server, without a trailing slash.
        what: name of the server, for messages.
        keys: what to check if the server rejects the credentials, for messages.
    """

    def __init__(
        self, shown_source: str, base: str, what: str, context: Context, *, keys: str, auth: AuthBase | None = None
    ) -> None:
        self.shown, self.what = shown_source, what
        self.partial = False
        self.spans = 0
        self._base, self._keys, self._context = base, keys, context
        self._where = shown(base)
        self._client = Client(
            READING,
            timeout=(_CONNECT_SECONDS, _READ_SECONDS),
            longest=_LONGEST_ANSWER,
            headers={"Accept": "application/json"},
            auth=auth,
            secrets=secrets_of(base),
        )

    def get(self, path: str, parameters: Parameters | None = None, *, missing: bool = False) -> bytes:
        """The body of a 200 response.

        Raises:
            NotFound: the status is 404, and ``missing`` allows that.
            SourceError: there was no successful response after retries.
        """
        try:
            answer = self._client.send("GET", self._base + path, parameters=parameters)
        except Unanswered as unanswered:
            raise self.error(self._why(unanswered)) from None
        self._context.advance(len(answer.body))
        if answer.status == 404 and missing:
            raise NotFound(answer.body)
        if answer.status != 200:
            raise self.error(f"{self._reason(answer)}; {self._advice(answer.status)}")
        if answer.cut:
            size = f"{_LONGEST_ANSWER >> 20} MiB"
            raise self.error(f"the response of {self.what} exceeds {size}; reduce it with limit=, since= or until=")
        return answer.body

    def json(self, path: str, parameters: Parameters | None, type: type[T], *, missing: bool = False) -> T:
        """The decoded body of a 200 response."""
        return self.decode(
            self.get(path, parameters, missing=missing), lambda data: msgspec.json.decode(data, type=type)
        )

    def lines(self, path: str, parameters: Parameters) -> Iterator[bytes]:
        """Yield the lines of a 200 response as they arrive. Needs memory for the longest line only.

        Raises:
            SourceError: there was no successful response after retries, or it broke off.
        """
        try:
            answer = self._client.stream(self._base + path, parameters=parameters)
        except Unanswered as unanswered:
            raise self.error(self._why(unanswered)) from None
        if isinstance(answer, Answer):
            raise self.error(f"{self._reason(answer)}; {self._advice(answer.status)}")
        rest = bytearray()
        try:
            for piece in answer:
                self._context.advance(len(piece))
                rest += piece
                if b"\n" in piece:
                    *whole, last = bytes(rest).split(b"\n")
                    yield from whole
                    rest = bytearray(last)
                if len(rest) > _LONGEST_LINE:
                    raise self.error(f"a row in the response of {self.what} exceeds {_LONGEST_LINE >> 20} MiB")
        except Unanswered as broken:
            raise self.error(self._failed(broken.failure) if broken.failure else "no response") from None
        if rest:
            yield bytes(rest)

    def decode(self, data: bytes, decode: Callable[[bytes], T]) -> T:
        """Decode a response. Raises SourceError if it does not have the form of this server's responses."""
        try:
            try:
                return decode(data)
            except msgspec.DecodeError:
                return decode(without_lone_surrogates(data))
        except NOT_JSON as error:
            page = data.lstrip()[:1] == b"<"
            found = "a web page" if page else f"something else ({error})"
            raise self.error(
                f"this is not a response of {self.what}, but {found}; check the address, port and path"
            ) from None

    def error(self, reason: str) -> SourceError:
        """The error for ``reason``: a PartialReadError if spans were read before."""
        if not self.partial:
            return SourceError(f"{self.shown}: {reason}")
        return PartialReadError(
            f"{self.shown}: reading broke off after {self.spans:,} spans, not all are here: {reason}"
        )

    def _why(self, unanswered: Unanswered) -> str:
        """Why there is no successful response, and what to do."""
        if unanswered.failure is not None:
            reason = self._failed(unanswered.failure)
        elif unanswered.answer is not None:
            reason = self._reason(unanswered.answer)
            asked = unanswered.asked or 0.0
            if asked > (READING.longest_asked or 0.0):
                return f"{reason} and asks to wait {asked:.0f} s; try again then"
        return reason + ("" if ";" in reason else f", {unanswered.attempts} times; try again later")

    def _failed(self, failure: Failure) -> str:
        where, detail = self._where, self._client.redact(failure.detail)
        if failure.kind in ("tls", "certificate"):
            return f"no secure connection to {where} ({detail}); if it is plain HTTP, use a scheme that ends in +http"
        if failure.kind == "proxy":
            return f"the proxy for {where} does not respond ({detail}); check HTTP_PROXY and NO_PROXY"
        if failure.kind == "connect-timeout":
            return f"{where} does not respond; check host and port"
        if failure.kind == "timeout":
            return f"{self.what} at {where} did not respond within {_READ_SECONDS:.0f} s"
        if failure.kind == "broken":
            return f"the connection to {where} broke off ({detail})"
        if failure.kind == "hung-up":
            hint = f"check that this is the port of {self.what}'s web interface, and not one for gRPC or TLS"
            return f"{where} closed the connection without responding ({detail}); {hint}"
        if failure.kind == "refused":
            return f"cannot connect to {where} ({detail}); check that {self.what} is running there"
        if failure.kind == "damaged":
            return f"{where} sent damaged data"
        return f"the request to {where} failed ({detail}); check the address"

    def _advice(self, status: int) -> str:
        if status == 401:
            return f"it does not accept the credentials: check {self._keys}"
        if status == 403:
            return f"access is denied: check {self._keys}, and their permissions to read"
        if status in (404, 405, 410):
            return f"is this the address of {self.what}? check host, port and path"
        return "check the parameters of the address"

    def _reason(self, answer: Answer) -> str:
        """The status and the server's message, in one line."""
        text = answer.reason
        try:
            text = self._client.redact(_message(msgspec.json.decode(answer.body)))
        except NOT_JSON:
            if answer.body.startswith(b"Code: "):  # the start of ClickHouse's error messages
                text = self._client.redact(answer.body[:4_000].decode("utf-8", "replace"))
        text = " ".join(text.split())[:200]
        return f"{self.what} answered {answer.status}" + (f" ({text})" if text else "")


def _message(found: Any) -> str:
    for name in ("message", "detail", "error", "title"):
        value = found.get(name) if isinstance(found, dict) else None
        if isinstance(value, str):
            return value
        if isinstance(value, dict) and (inner := _message(value)):
            return inner
    return found if isinstance(found, str) else ""
