"""An OTLP/HTTP endpoint: sends requests and interprets the responses."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from ..errors import EndpointError
from .address import tls_of_exporters, without_credentials
from .auth import NoCredentials
from .client import Answer, Client, Unanswered
from .credentials import secrets_of, shown
from .retry import SENDING

__all__ = ["NO_ANSWER", "Accepted", "Endpoint", "Rejected"]

_TYPES = {"protobuf": "application/x-protobuf", "json": "application/json"}
_LONGEST_ANSWER = 1 << 20
_REJECTED = frozenset({400, 413, 422})
NO_ANSWER = "no response in time"
_HINTS = {
    301: "use the address that it redirects to",
    401: "check the credentials (--header, or OTEL_EXPORTER_OTLP_HEADERS)",
    403: "check the credentials (--header, or OTEL_EXPORTER_OTLP_HEADERS)",
    404: "check that this is the OTLP/HTTP address; it usually ends in /v1/traces",
    405: "check that this is the OTLP/HTTP address; it usually ends in /v1/traces",
    501: "check that this is the OTLP/HTTP address; it usually ends in /v1/traces",
    415: "the endpoint does not support this encoding; try the other --encoding",
}


class Rejected(Exception):
    """The endpoint rejects these spans; a retry would not help."""


@dataclass(frozen=True)
class Accepted:
    """An acknowledged request; ``rejected`` of its spans were rejected for the reason in ``message``."""

    rejected: int = 0
    message: str = ""


class Endpoint:
    """Sends requests to one address.

    Args:
        url: as returned by :func:`traces_url`.
        headers: added to every request; never shown.
        encoding: ``protobuf`` or ``json``.
        compress: whether to compress the bodies with gzip.
        timeout: seconds for one request.
        patience: seconds for one batch, retries included; 0 for a single attempt.
        on_wait: called with a message and the seconds until the next attempt.
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
        self._compress, self._patience, self._on_wait = compress, patience, on_wait
        own = {"content-type": _TYPES[encoding], "user-agent": "livekit-otel"}
        self._url, credentials = without_credentials(url)
        self._client = Client(
            replace(SENDING, patience=patience),
            timeout=(timeout, timeout),
            longest=_LONGEST_ANSWER,
            headers={**own, **credentials, **headers, **({"content-encoding": "gzip"} if compress else {})},
            auth=NoCredentials(),
            secrets={*headers.values(), *credentials.values(), *secrets_of(url)},
            tls=tls_of_exporters(url),
            # a redirected POST would become a GET
            redirects=False,
            on_wait=lambda unanswered, pause: on_wait(f"{self.name}: {self._why(unanswered)}", pause),
        )

    def send(self, body: bytes) -> Accepted:
        """Send a request until it is acknowledged.

        Raises:
            Rejected: the endpoint rejects these spans (400, 413, 422).
            EndpointError: the endpoint rejects every request, or did not respond in time.
        """
        data = gzip.compress(body, 6) if self._compress else body
        try:
            answer = self._client.send("POST", self._url, body=data)
        except Unanswered as unanswered:
            raise self._given_up(unanswered) from None
        if 200 <= answer.status < 300:
            return self._accepted(answer)
        if answer.status in _REJECTED:
            raise Rejected(self._reason(answer))
        hint = _HINTS.get(301 if 300 <= answer.status < 400 else answer.status, "")
        raise EndpointError(f"{self.name}: {self._reason(answer)}", hint)

    def _given_up(self, unanswered: Unanswered) -> EndpointError:
        failure = unanswered.failure
        if failure is not None and failure.kind == "certificate":
            return EndpointError(
                f"{self.name}: its certificate is not trusted ({failure.detail})",
                "set OTEL_EXPORTER_OTLP_CERTIFICATE to the file with the CA certificate",
            )
        asked = f", and asks to wait {unanswered.asked:.0f} s" if unanswered.asked else ""
        gave_up = f"; gave up after {self._patience:g} s" if self._patience else ""
        return EndpointError(f"{self.name}: {self._why(unanswered)}{asked}{gave_up}")

    def _why(self, unanswered: Unanswered) -> str:
        failure = unanswered.failure
        if failure is None:
            return self._reason(unanswered.answer) if unanswered.answer else NO_ANSWER
        if failure.kind in ("timeout", "connect-timeout"):
            return NO_ANSWER
        return self._client.redact(failure.detail)

    def _reason(self, answer: Answer) -> str:
        message = self._client.redact(_message(answer.content_type, answer.body))
        return f"answered {answer.status} {answer.reason}" + (f": {_line(message)}" if message else "")

    def _accepted(self, answered: Answer) -> Accepted:
        if answered.content_type == "text/html":
            raise EndpointError(f"{self.name}: answered with a web page, so it is not an OTLP address", _HINTS[404])
        answer = ExportTraceServiceResponse()
        try:
            if answered.content_type == "application/json":
                json_format.Parse(answered.body or b"{}", answer, ignore_unknown_fields=True)
            else:
                answer.ParseFromString(answered.body)
        except (json_format.ParseError, DecodeError, UnicodeDecodeError):
            # acknowledged nevertheless: some servers respond with text of their own
            return Accepted()
        partial = answer.partial_success
        return Accepted(max(0, partial.rejected_spans), _line(self._client.redact(partial.error_message)))


def _message(content_type: str, body: bytes) -> str:
    """The text of an error response: google.rpc.Status as protobuf or JSON, or plain text."""
    if content_type == "text/html":
        return ""
    if content_type in ("application/x-protobuf", "application/protobuf"):
        try:
            from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

            return str(Status.FromString(body).message)
        except (ImportError, DecodeError):
            return ""
    return body.decode("utf-8", "replace")


def _line(text: str) -> str:
    text = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return text if len(text) <= 200 else text[:200] + "…"
