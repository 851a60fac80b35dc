"""Classifies why a request got no response."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass
from typing import Literal, TypeAlias

import requests
from requests import exceptions

__all__ = ["Failure", "Kind", "failure_of"]

Kind: TypeAlias = Literal[
    "certificate", "tls", "proxy", "timeout", "connect-timeout", "refused", "hung-up", "broken", "damaged", "other"
]
#: Signs of a connection to a port where no HTTP server listens.
_HUNG_UP = ("RemoteDisconnected", "ConnectionReset", "BrokenPipe", "BadStatusLine")
#: Standard library exceptions whose text describes the failure and contains no address.
_SPEAKING = (http.client.RemoteDisconnected, ssl.SSLError)


@dataclass(frozen=True)
class Failure:
    """Why there was no response.

    Attributes:
        kind: ``certificate`` (not trusted), ``tls`` (any other TLS error), ``proxy``, ``timeout``,
            ``connect-timeout``, ``refused`` (no server listens, or the host name is unknown), ``hung-up`` (closed
            before the first response), ``broken`` (closed later), ``damaged`` (the data cannot be decoded), ``other``.
        detail: the innermost reason, without addresses or credentials.
        final: whether a retry is pointless.
    """

    kind: Kind
    detail: str
    final: bool

    @property
    def unreachable(self) -> bool:
        """Whether the server may be temporarily unavailable."""
        return self.kind in ("refused", "connect-timeout", "proxy", "tls", "other")


def failure_of(error: Exception, *, answered: bool) -> Failure:
    """Classify an exception. ``answered``: whether this server has responded before."""
    chain = _chain(error)
    detail = _detail(chain)
    if isinstance(error, exceptions.SSLError):
        untrusted = next((one for one in chain if isinstance(one, ssl.SSLCertVerificationError)), None)
        if untrusted is not None:
            return Failure("certificate", untrusted.verify_message or detail, True)
        return Failure("tls", detail, True)
    if isinstance(error, exceptions.ProxyError):
        return Failure("proxy", detail, True)
    if isinstance(error, exceptions.ConnectTimeout):
        return Failure("connect-timeout", detail, True)
    if isinstance(error, exceptions.Timeout) or any(map(_timed_out, chain)):
        return Failure("timeout", detail, False)
    if isinstance(error, exceptions.ChunkedEncodingError):
        return Failure("broken", detail, False)
    if isinstance(error, exceptions.ConnectionError):
        if answered:
            return Failure("broken", detail, False)
        if any(sign in str(error) for sign in _HUNG_UP):
            return Failure("hung-up", detail, False)
        return Failure("refused", detail, True)
    if isinstance(error, exceptions.ContentDecodingError):
        return Failure("damaged", detail, False)
    return Failure("other", type(error).__name__, True)


def _timed_out(error: BaseException) -> bool:
    """Whether one of our timeouts expired. A timeout reported by the operating system has an errno and means that the
    server is unavailable."""
    return isinstance(error, TimeoutError) and error.errno is None


def _chain(error: BaseException) -> list[BaseException]:
    """An exception and its causes, outermost first."""
    found: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and len(found) < 10 and one not in found:
        found.append(one)
        inner = getattr(one, "reason", None)
        causes = [arg for arg in one.args if isinstance(arg, BaseException)]
        one = inner if isinstance(inner, BaseException) else causes[0] if causes else one.__cause__ or one.__context__
    return found


def _detail(chain: list[BaseException]) -> str:
    for one in chain:
        if isinstance(one, OSError) and one.strerror and not isinstance(one, requests.RequestException):
            return one.strerror
    last = chain[-1]
    return str(last) if isinstance(last, _SPEAKING) and str(last) else type(last).__name__
