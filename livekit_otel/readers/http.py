"""Polite HTTP for readers: retries with patience, and every failure in one line that names no credentials."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import msgspec
import requests
from requests.auth import AuthBase, HTTPBasicAuth

from ..errors import PartialReadError, SourceError
from .base import Context
from .repair import mend

__all__ = ["Bearer", "Client", "NotFound", "basic"]

T = TypeVar("T")
Parameters = Mapping[str, str | int | Sequence[str]]

_ATTEMPTS = 6
#: Requests that get no answer at all; each of them waits for a minute.
_SILENCES = 2
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 60.0
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 8.0
#: A server that asks for more patience than this is given up.
_LONGEST_ASKED = 120.0
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
#: What is left of a connection to a port where nobody speaks HTTP.
_HUNG_UP = ("RemoteDisconnected", "ConnectionReset", "BrokenPipe", "BadStatusLine")
_sleep = time.sleep


class NotFound(Exception):
    """404 where the caller said that it means something. ``body`` is what came with it."""

    def __init__(self, body: bytes) -> None:
        super().__init__("not found")
        self.body = body


class Bearer(AuthBase):
    """A token. As an auth object, so that no netrc file replaces it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def basic(user: str, password: str) -> AuthBase:
    """Name and password, in UTF-8."""
    return HTTPBasicAuth(user.encode(), password.encode())


class Client:
    """Asks one server. After the first answer with spans in it (``partial = True``) a failure is a PartialReadError.

    Args:
        shown: the source as it may be printed.
        base: address, without a slash at its end.
        what: name of the server.
        keys: what to check when it refuses the credentials.
    """

    def __init__(
        self, shown: str, base: str, what: str, context: Context, *, keys: str, auth: AuthBase | None = None
    ) -> None:
        self.shown, self.what = shown, what
        self.partial = False
        self.spans = 0
        self._base, self._keys, self._context = base, keys, context
        self._session = requests.Session()
        self._session.headers["Accept"] = "application/json"
        self._session.auth = auth
        self._answered = False

    def get(self, path: str, parameters: Parameters | None = None, *, missing: bool = False) -> bytes:
        """The body of a 200 answer.

        Raises:
            NotFound: it is 404, and ``missing`` says that this is an answer.
            SourceError: there is none, after retries.
        """
        reason, silences = "", 0
        for attempt in range(_ATTEMPTS):
            wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt) * random.uniform(0.75, 1.25)
            try:
                answer = self._session.get(
                    self._base + path, params=parameters, timeout=(_CONNECT_SECONDS, _READ_SECONDS)
                )
            except requests.RequestException as error:
                reason, final = self._broken(error)
                silences += isinstance(error, requests.Timeout)
                if final or silences == _SILENCES:
                    break
            else:
                self._context.advance(len(answer.content))
                if answer.status_code == 404 and missing:
                    raise NotFound(answer.content)
                if answer.status_code == 200:
                    self._answered = True
                    return answer.content
                reason = f"{self.what} answered {answer.status_code} {self._said(answer)}".rstrip()
                if answer.status_code not in _AGAIN:
                    raise self.error(f"{reason}; {self._advice(answer.status_code)}")
                asked = _retry_after(answer.headers.get("Retry-After"))
                if asked is not None and asked > _LONGEST_ASKED:
                    raise self.error(f"{reason} and asks to wait {asked:.0f} s; try again then")
                wait = max(wait, asked or 0.0)
            if attempt + 1 < _ATTEMPTS:
                _sleep(wait)
        raise self.error(reason + ("" if ";" in reason else f", {attempt + 1} times; try again later"))

    def json(self, path: str, parameters: Parameters | None, type: type[T], *, missing: bool = False) -> T:
        """The body of a 200 answer, decoded."""
        return self.decode(
            self.get(path, parameters, missing=missing), lambda data: msgspec.json.decode(data, type=type)
        )

    def decode(self, data: bytes, decode: Callable[[bytes], T]) -> T:
        """Decode an answer; SourceError when it is not what this server answers."""
        try:
            try:
                return decode(data)
            except msgspec.DecodeError:
                return decode(mend(data))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
            page = data.lstrip()[:1] == b"<"
            said = "a web page" if page else f"something else ({error})"
            raise self.error(
                f"this is not what {self.what} answers, but {said}; check the address, port and path"
            ) from None

    def error(self, reason: str) -> SourceError:
        """The error for ``reason``, which is partial when spans were read before."""
        if not self.partial:
            return SourceError(f"{self.shown}: {reason}")
        return PartialReadError(
            f"{self.shown}: reading broke off after {self.spans:,} spans, not all are here: {reason}"
        )

    def _broken(self, error: requests.RequestException) -> tuple[str, bool]:
        """Why there was no answer, and whether asking again is pointless."""
        where = self._base
        if isinstance(error, requests.exceptions.SSLError):
            return f"no secure connection to {where} ({_root(error)}); is it plain http (scheme ending in +http)?", True
        if isinstance(error, requests.exceptions.ProxyError):
            return f"the proxy for {where} does not answer ({_root(error)}); check HTTP_PROXY and NO_PROXY", True
        if isinstance(error, requests.exceptions.ConnectTimeout):
            return f"{where} does not answer; check host and port", True
        if isinstance(error, requests.exceptions.Timeout):
            return f"{self.what} at {where} did not answer within {_READ_SECONDS:.0f} s", False
        if isinstance(error, requests.exceptions.ConnectionError | requests.exceptions.ChunkedEncodingError):
            if self._answered or isinstance(error, requests.exceptions.ChunkedEncodingError):
                return f"the connection to {where} broke off ({_root(error)})", False
            if any(sign in str(error) for sign in _HUNG_UP):
                hint = f"is it the port of {self.what}'s pages, and not one for gRPC or TLS?"
                return f"{where} hangs up instead of answering ({_root(error)}); {hint}", False
            return f"cannot connect to {where} ({_root(error)}); is {self.what} running there?", True
        if isinstance(error, requests.exceptions.ContentDecodingError):
            return f"{where} sent damaged data", False
        return f"{where} cannot be asked ({type(error).__name__}); check the address", True

    def _advice(self, status: int) -> str:
        if status == 401:
            return f"it does not accept the credentials: check {self._keys}"
        if status == 403:
            return f"it does not allow this: check {self._keys}, and what they may read"
        if status in (404, 405, 410):
            return f"is this the address of {self.what}? check host, port and path"
        return "check the parameters of the address"

    @staticmethod
    def _said(answer: requests.Response) -> str:
        """What the server says of it, in one line."""
        try:
            told = msgspec.json.decode(answer.content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return f"({answer.reason})" if answer.reason else ""
        text = _message(told)
        return f"({' '.join(text.split())[:200]})" if text else ""


def _message(told: Any) -> str:
    for name in ("message", "detail", "error", "title"):
        value = told.get(name) if isinstance(told, dict) else None
        if isinstance(value, str):
            return value
        if isinstance(value, dict) and (inner := _message(value)):
            return inner
    return told if isinstance(told, str) else ""


def _root(error: BaseException) -> str:
    """The innermost reason, without addresses of objects."""
    found: BaseException | None = error
    reason = ""
    for _ in range(10):
        if found is None:
            break
        if isinstance(found, OSError) and found.strerror and not isinstance(found, requests.RequestException):
            return found.strerror
        reason = type(found).__name__
        inner = getattr(found, "reason", None)
        args = [one for one in found.args if isinstance(one, BaseException)]
        found = (
            inner if isinstance(inner, BaseException) else (args[0] if args else found.__cause__ or found.__context__)
        )
    return reason


def _retry_after(value: str | None) -> float | None:
    """Seconds that a server asks to wait, said as seconds or as a date."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
