"""An OTLP/HTTP endpoint: requests, what the answers mean, and trying again."""

from __future__ import annotations

import email.utils
import gzip
import http.client
import random
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from ..errors import EndpointError
from .address import shown, tls_context, without_credentials

__all__ = ["Accepted", "Endpoint", "Rejected"]

_TYPES = {"protobuf": "application/x-protobuf", "json": "application/json"}
_LONGEST_ANSWER = 1 << 20
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_REJECTED = frozenset({400, 413, 422})
NO_ANSWER = "no answer in time"
_NOT_AGAIN = frozenset({501, 505})
_HINTS = {
    301: "give the address that it redirects to",
    401: "check the credentials (--header, or OTEL_EXPORTER_OTLP_HEADERS)",
    403: "check the credentials (--header, or OTEL_EXPORTER_OTLP_HEADERS)",
    404: "is this the OTLP/HTTP address? It usually ends in /v1/traces",
    405: "is this the OTLP/HTTP address? It usually ends in /v1/traces",
    501: "is this the OTLP/HTTP address? It usually ends in /v1/traces",
    415: "it does not take this encoding; try the other --encoding",
}


class Rejected(Exception):
    """The endpoint will not take these spans, whatever their number of tries."""


@dataclass(frozen=True)
class Accepted:
    """An acknowledged request; ``rejected`` of its spans were refused, as ``message`` says."""

    rejected: int = 0
    message: str = ""


class _Again(Exception):
    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object, **kwargs: object) -> None:
        """A redirected POST would become a GET."""
        return


class Endpoint:
    """Sends to one address.

    Args:
        url: as :func:`traces_url` returns it.
        headers: added to every request; never shown.
        encoding: ``protobuf`` or ``json``.
        compress: gzip the bodies.
        timeout: seconds for one request.
        patience: seconds for one batch, with all its tries; 0 tries once.
        on_wait: called with a message and the seconds until the next try.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        encoding: str = "protobuf",
        compress: bool = False,
        timeout: float = 30.0,
        patience: float = 60.0,
        on_wait: Callable[[str, float], None] = lambda reason, seconds: None,
    ) -> None:
        self.encoding = encoding
        self.name = shown(url)
        self._compress, self._timeout, self._patience, self._on_wait = compress, timeout, patience, on_wait
        own = {"content-type": _TYPES[encoding], "user-agent": "livekit-otel"}
        self._url, credentials = without_credentials(url)
        self._headers = {**own, **credentials, **headers, **({"content-encoding": "gzip"} if compress else {})}
        self._opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=tls_context(url)))

    def send(self, body: bytes) -> Accepted:
        """Send until it is acknowledged.

        Raises:
            Rejected: it answered that these spans are not acceptable (400, 413, 422).
            EndpointError: it refuses everything, or did not answer in time.
        """
        data = gzip.compress(body, 6) if self._compress else body
        deadline = time.monotonic() + self._patience
        wait = _FIRST_WAIT
        while True:
            try:
                return self._try(data)
            except _Again as again:
                pause = again.after if again.after is not None else wait * random.uniform(0.75, 1.25)
                if time.monotonic() + pause > deadline:
                    asked = f", which asks for {pause:.0f} s of waiting" if again.after else ""
                    gave_up = f"; gave up after {self._patience:g} s" if self._patience else ""
                    raise EndpointError(f"{self.name}: {again}{asked}{gave_up}") from None
                self._on_wait(f"{self.name}: {again}", pause)
                time.sleep(pause)
                wait = min(wait * 2, _LONGEST_WAIT)

    def _try(self, data: bytes) -> Accepted:
        request = urllib.request.Request(self._url, data, self._headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                return self._accepted(answer.headers.get_content_type(), answer.read(_LONGEST_ANSWER))
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error) from None
        except urllib.error.URLError as error:
            reason = error.reason
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise EndpointError(
                    f"{self.name}: its certificate is not trusted ({reason.verify_message})",
                    "name the authority's file in OTEL_EXPORTER_OTLP_CERTIFICATE",
                ) from None
            raise _Again(_why(reason)) from None
        except (OSError, http.client.HTTPException) as error:
            raise _Again(_why(error)) from None

    def _accepted(self, content_type: str, body: bytes) -> Accepted:
        if content_type == "text/html":
            raise EndpointError(f"{self.name}: answered with a web page, this is not an OTLP address", _HINTS[404])
        answer = ExportTraceServiceResponse()
        try:
            if content_type == "application/json":
                json_format.Parse(body or b"{}", answer, ignore_unknown_fields=True)
            else:
                answer.ParseFromString(body)
        except (json_format.ParseError, DecodeError, UnicodeDecodeError):
            # acknowledged all the same: some servers answer with a text of their own
            return Accepted()
        partial = answer.partial_success
        return Accepted(max(0, partial.rejected_spans), _line(partial.error_message))

    def _refused(self, error: urllib.error.HTTPError) -> Exception:
        try:
            message = _message(error.headers.get_content_type(), error.read(_LONGEST_ANSWER))
        except (OSError, http.client.HTTPException):
            message = ""
        code = error.code
        reason = f"answered {code} {error.reason}" + (f": {message}" if message else "")
        if code in (408, 429) or (code >= 500 and code not in _NOT_AGAIN):
            return _Again(reason, _retry_after(error.headers.get("retry-after")))
        if code in _REJECTED:
            return Rejected(reason)
        return EndpointError(f"{self.name}: {reason}", _HINTS.get(301 if 300 <= code < 400 else code, ""))


def _why(error: object) -> str:
    if isinstance(error, TimeoutError):
        return NO_ANSWER
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return _line(str(error)) or type(error).__name__


def _retry_after(text: str | None) -> float | None:
    """Seconds, or a date."""
    if not text:
        return None
    try:
        return max(0.0, float(int(text)))
    except ValueError:
        pass
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=timezone.utc)
    return max(0.0, (date - datetime.now(timezone.utc)).total_seconds())


def _message(content_type: str, body: bytes) -> str:
    """What an error says: google.rpc.Status as protobuf or JSON, or a text."""
    if content_type == "text/html":
        return ""
    if content_type in ("application/x-protobuf", "application/protobuf"):
        try:
            from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

            return _line(Status.FromString(body).message)
        except (ImportError, DecodeError):
            return ""
    return _line(body.decode("utf-8", "replace"))


def _line(text: str) -> str:
    text = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return text if len(text) <= 200 else text[:200] + "…"
