"""HTTP: one client, and every failure as data that callers put into words."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from .address import Tls
from .auth import secrets_of_auth
from .credentials import Redactor
from .failure import Failure, failure_of
from .retry import RetryPolicy, may_pass, retry_after

__all__ = ["Answer", "Client", "Parameters", "Unanswered"]

Parameters = Mapping[str, str | int | Sequence[str]]

T = TypeVar("T")

_CHUNK = 1 << 16
_sleep = time.sleep


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
        return may_pass(self.status)


class Unanswered(Exception):
    """No answer that says something, after ``attempts``: the last ``answer``, or the ``failure`` to get one.

    ``asked`` are the seconds that the server wants to have patience, if it says so.
    """

    def __init__(self, attempts: int, answer: Answer | None, failure: Failure | None) -> None:
        super().__init__(failure.detail if failure else f"status {answer.status if answer else 0}")
        self.attempts, self.answer, self.failure = attempts, answer, failure
        self.asked = answer.retry_after if answer else None


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
        self.redact = Redactor({*secrets, *secrets_of_auth(auth)})
        self._answered = False

    def send(self, method: str, url: str, *, parameters: Parameters | None = None, body: bytes | None = None) -> Answer:
        """The first answer that another attempt would not change.

        Raises:
            Unanswered: there is none.
        """
        return self._patiently(lambda: self._try(method, url, parameters, body))

    def stream(self, url: str, *, parameters: Parameters | None = None) -> Answer | Iterator[bytes]:
        """The body of a 200 answer to a GET, piece by piece as it comes; of another status the answer, as by ``send``.

        Raises:
            Unanswered: there is none, or, from the iterator, the connection broke off (which is not tried again).
        """
        return self._patiently(lambda: self._open(url, parameters))

    def _patiently(self, attempt_once: Callable[[], tuple[Answer | T | None, Failure | None]]) -> Answer | T:
        started, attempt, timeouts = time.monotonic(), 0, 0
        while True:
            found, failure = attempt_once()
            answer = found if isinstance(found, Answer) else None
            if found is not None and not (answer is not None and answer.passing):
                return found
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
                return self._answer(response), None
        except (requests.RequestException, OSError, ValueError) as error:
            # ValueError: urllib3's and the codec's, for a host that cannot be one
            return None, failure_of(error, answered=self._answered)

    def _open(self, url: str, parameters: Parameters | None) -> tuple[Answer | Iterator[bytes] | None, Failure | None]:
        try:
            response = self._session.get(
                url, params=parameters, timeout=self._timeout, stream=True, allow_redirects=self._redirects
            )
            if response.status_code == 200:
                self._answered = True
                return self._pieces(response), None
            with response:
                return self._answer(response), None
        except (requests.RequestException, OSError, ValueError) as error:
            return None, failure_of(error, answered=self._answered)

    def _pieces(self, response: requests.Response) -> Iterator[bytes]:
        with response:
            try:
                yield from response.iter_content(_CHUNK)
            except (requests.RequestException, OSError) as error:
                raise Unanswered(1, None, failure_of(error, answered=True)) from None

    def _answer(self, response: requests.Response) -> Answer:
        data, cut = self._read(response)
        self._answered = True
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        asked = retry_after(response.headers.get("Retry-After"))
        return Answer(response.status_code, self.redact(response.reason or ""), kind, data, asked, cut)

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
