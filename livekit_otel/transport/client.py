"""HTTP: one client, one retry policy, and every failure as data that callers put into words."""

from __future__ import annotations

import base64
import math
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth

from .address import Tls
from .credentials import Redactor
from .failure import Failure, failure_of

__all__ = ["Answer", "Bearer", "Client", "NoCredentials", "RetryPolicy", "Unanswered", "basic", "retry_after"]

Parameters = Mapping[str, str | int | Sequence[str]]

_CHUNK = 1 << 16
_AGAIN = frozenset({408, 425, 429})
_NOT_AGAIN = frozenset({501, 505})
_sleep = time.sleep


@dataclass(frozen=True)
class RetryPolicy:
    """When a request is tried again: after no answer, and after 408, 425, 429 and 5xx except 501 and 505.

    Attributes:
        attempts: how many at most; None for any number.
        timeouts: how many of them may end without an answer in time; None for any number.
        patience: seconds from the first attempt to the last, at most; None for any.
        first_wait, longest_wait: seconds between attempts, which double; a quarter more or less at random.
        longest_asked: a server that asks for more seconds than that in ``Retry-After`` is given up.
        unreachable: whether to try again where nobody listens, or the name is not known.
    """

    attempts: int | None = None
    timeouts: int | None = None
    patience: float | None = None
    first_wait: float = 0.5
    longest_wait: float = 8.0
    longest_asked: float | None = None
    unreachable: bool = False

    def wait(self, attempt: int, asked: float | None) -> float:
        """Seconds after an attempt, counted from 0; ``asked`` is what the server asks for."""
        wait: float = min(self.longest_wait, self.first_wait * 2 ** min(attempt, 16)) * random.uniform(0.75, 1.25)
        return max(wait, asked or 0.0)

    def ends(self, attempt: int, timeouts: int, elapsed: float, wait: float, asked: float | None) -> bool:
        """Whether attempt number ``attempt`` was the last."""
        return (
            (self.attempts is not None and attempt + 1 >= self.attempts)
            or (self.timeouts is not None and timeouts >= self.timeouts)
            or (self.longest_asked is not None and (asked or 0.0) > self.longest_asked)
            or (self.patience is not None and elapsed + wait > self.patience)
        )


@dataclass(frozen=True)
class Answer:
    """What a server answered, whatever its status.

    Attributes:
        reason: as in ``Not Found``.
        content_type: in lower case, without parameters.
        retry_after: seconds that the server asks to wait.
        cut: whether the body is longer than the client reads.
    """

    status: int
    reason: str
    content_type: str
    body: bytes
    retry_after: float | None = None
    cut: bool = False

    @property
    def passing(self) -> bool:
        """Whether another attempt may succeed."""
        return self.status in _AGAIN or (self.status >= 500 and self.status not in _NOT_AGAIN)


class Unanswered(Exception):
    """No answer that says something, after ``attempts``: the last ``answer``, or the ``failure`` to get one.

    ``asked`` are the seconds that the server wants to have patience, if it says so.
    """

    def __init__(self, attempts: int, answer: Answer | None, failure: Failure | None) -> None:
        super().__init__(failure.detail if failure else f"status {answer.status if answer else 0}")
        self.attempts, self.answer, self.failure = attempts, answer, failure
        self.asked = answer.retry_after if answer else None


class Bearer(AuthBase):
    """A token. As an auth object, so that no netrc file replaces it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    @property
    def secrets(self) -> set[str]:
        return {self._token}


class NoCredentials(AuthBase):
    """The headers as they are, whatever a netrc file says."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def basic(user: str, password: str) -> AuthBase:
    """Name and password, in UTF-8."""
    return HTTPBasicAuth(user.encode(), password.encode())


class Client:
    """Sends requests, with patience.

    Args:
        policy: when to try again.
        timeout: seconds to connect, and seconds without a byte.
        longest: bytes of an answer, at most; what is more is not read.
        headers: for every request.
        auth: credentials; None for those of a netrc file, if there are any.
        secrets: what :attr:`redact` replaces, besides the credentials.
        tls: certificates; None for those that requests uses.
        redirects: whether to follow them.
        on_wait: called with an Unanswered and the seconds until the next attempt.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        timeout: tuple[float, float],
        longest: int,
        headers: Mapping[str, str] | None = None,
        auth: AuthBase | None = None,
        secrets: Iterable[str] = (),
        tls: Tls | None = None,
        redirects: bool = True,
        on_wait: Callable[[Unanswered, float], None] = lambda reason, seconds: None,
    ) -> None:
        self._policy, self._timeout, self._longest = policy, timeout, longest
        self._redirects, self._on_wait = redirects, on_wait
        self._session = requests.Session()
        self._session.headers.update(headers or {})
        self._session.auth = auth
        if tls is not None:
            self._session.mount("https://", _TlsAdapter(tls))
            self._session.verify = tls.authorities or True
        self.redact = Redactor({*secrets, *_secrets(auth)})
        self._answered = False

    def send(self, method: str, url: str, *, parameters: Parameters | None = None, body: bytes | None = None) -> Answer:
        """The first answer that another attempt would not change.

        Raises:
            Unanswered: there is none.
        """
        started, attempt, timeouts = time.monotonic(), 0, 0
        while True:
            answer, failure = self._try(method, url, parameters, body)
            if answer is not None and not answer.passing:
                return answer
            timeouts += failure is not None and failure.kind == "timeout"
            unanswered = Unanswered(attempt + 1, answer, failure)
            wait = self._policy.wait(attempt, unanswered.asked)
            final = failure is not None and failure.final and not (failure.unreachable and self._policy.unreachable)
            elapsed = time.monotonic() - started
            if final or self._policy.ends(attempt, timeouts, elapsed, wait, unanswered.asked):
                raise unanswered
            self._on_wait(unanswered, wait)
            _sleep(wait)
            attempt += 1

    def _try(
        self, method: str, url: str, parameters: Parameters | None, body: bytes | None
    ) -> tuple[Answer | None, Failure | None]:
        try:
            with self._session.request(
                method, url, params=parameters, data=body, timeout=self._timeout, stream=True,
                allow_redirects=self._redirects,
            ) as response:  # fmt: skip
                data, cut = self._read(response)
        except (requests.RequestException, OSError, ValueError) as error:
            # ValueError: urllib3's and the codec's, for a host that cannot be one
            return None, failure_of(error, answered=self._answered)
        self._answered = True
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        asked = retry_after(response.headers.get("Retry-After"))
        return Answer(response.status_code, self.redact(response.reason or ""), kind, data, asked, cut), None

    def _read(self, response: requests.Response) -> tuple[bytes, bool]:
        pieces: list[bytes] = []
        size = 0
        try:
            for piece in response.iter_content(_CHUNK):
                size += len(piece)
                pieces.append(piece)
                if size > self._longest:
                    return b"".join(pieces)[: self._longest], True
        except (requests.RequestException, OSError):
            # an error says enough by its status
            if response.status_code < 400:
                raise
        return b"".join(pieces), False


class _TlsAdapter(HTTPAdapter):
    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._tls.context, **kwargs)


def retry_after(value: str | None) -> float | None:
    """Seconds that a server asks to wait in ``Retry-After``, which holds seconds or a date."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except (TypeError, ValueError):
            return None
        date = date if date.tzinfo else date.replace(tzinfo=timezone.utc)
        seconds = date.timestamp() - time.time()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _secrets(auth: AuthBase | None) -> set[str]:
    if isinstance(auth, Bearer):
        return auth.secrets
    if isinstance(auth, HTTPBasicAuth):
        user, password = (one.decode() if isinstance(one, bytes) else one for one in (auth.username, auth.password))
        return {user, password, base64.b64encode(f"{user}:{password}".encode()).decode()}
    return set()
