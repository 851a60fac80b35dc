"""One HTTP client: when it tries again, how long it waits, and what it never sends or reads."""

from __future__ import annotations

import ssl
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import trustme

from livekit_otel.errors import EndpointError
from livekit_otel.transport import client
from livekit_otel.transport.auth import NoCredentials
from livekit_otel.transport.client import Answer, Client, Unanswered
from livekit_otel.transport.otlp_endpoint import Endpoint
from livekit_otel.transport.retry import RetryPolicy, retry_after
from tests.bad_servers import hanging_up_server, hung_server, refusing_address
from tests.json_server import Asked, Failing, Reply, serving
from tests.otlp_receiver import Receiver


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(client, "_sleep", found.append)
    return found


def ok(asked: Asked) -> Reply:
    return Reply({"ok": True})


def make(policy: RetryPolicy, **options: Any) -> Client:
    return Client(policy, **{"timeout": (1.0, 0.2), "longest": 1_000, "auth": NoCredentials(), **options})


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 507])
def test_statuses_that_pass(status: int, waits: list[float]) -> None:
    """What may pass is tried again after waits that double, up to the longest."""
    failing = Failing(ok, {number: Reply(status=status) for number in range(6)})
    with serving(failing) as server:
        answer = make(RetryPolicy(attempts=7)).send("GET", server.url)
    assert (answer.status, answer.content_type) == (200, "application/json")
    for wait, wanted in zip(waits, [0.5, 1, 2, 4, 8, 8], strict=True):
        assert 0.75 * wanted <= wait <= 1.25 * wanted


@pytest.mark.parametrize("status", [201, 302, 400, 401, 403, 404, 410, 413, 422, 501, 505])
def test_statuses_that_do_not_pass(status: int, waits: list[float]) -> None:
    """What another attempt would not change is an answer at once; a redirect is one where it must not be followed."""
    with serving(lambda asked: Reply(status=status, headers={"location": "/"})) as server:
        assert make(RetryPolicy(), redirects=False).send("POST", server.url, body=b"x").status == status
        assert len(server.asked) == 1
    assert waits == []


def test_attempts_end(waits: list[float]) -> None:
    """After the last attempt the answer that came is in the error."""
    with serving(lambda asked: Reply({"why": 1}, 503)) as server:
        with pytest.raises(Unanswered) as caught:
            make(RetryPolicy(attempts=3)).send("GET", server.url)
    assert (caught.value.attempts, len(waits)) == (3, 2)
    assert caught.value.answer == Answer(503, "Service Unavailable", "application/json", b'{"why": 1}')


@pytest.mark.parametrize("longest", [None, 60.0])
def test_what_a_server_asks_for(longest: float | None, waits: list[float]) -> None:
    """Retry-After is waited for, and given up where it is more than the policy allows."""
    failing = Failing(ok, {0: Reply(status=429, headers={"retry-after": "61"})})
    with serving(failing) as server:
        asking = make(RetryPolicy(attempts=2, longest_asked=longest))
        if longest is None:
            assert asking.send("GET", server.url).status == 200
            assert waits == [61.0]
            return
        with pytest.raises(Unanswered) as caught:
            asking.send("GET", server.url)
    assert (caught.value.asked, caught.value.attempts, waits) == (61.0, 1, [])


def test_retry_after() -> None:
    """Seconds or a date; the past is now, and nonsense is nothing."""
    later = retry_after(formatdate(time.time() + 100, usegmt=True))
    assert later is not None
    assert 98 < later <= 100
    texts = {"5": 5.0, "1.5": 1.5, "-3": 0.0, "Thu, 01 Jan 1970 00:00:00 GMT": 0.0, "Thu, 01 Jan 1970 00:00:00": 0.0}
    assert {text: retry_after(text) for text in texts} == texts
    assert [retry_after(text) for text in (None, "", "soon", "nan", "inf", "9" * 400, "Thu, 99 Jan 1970")] == [None] * 7


def test_patience(waits: list[float]) -> None:
    """A policy of patience ends before a wait that would be too long; without patience there is one attempt."""
    with serving(lambda asked: Reply(status=503)) as server:
        for patience in (0.0, 0.2):
            with pytest.raises(Unanswered) as caught:
                make(RetryPolicy(patience=patience)).send("GET", server.url)
            assert caught.value.attempts == 1
    assert waits == []


def test_no_answers(waits: list[float]) -> None:
    """Reasons are kept apart: time-outs are counted, and nobody at a port is final unless it may come back."""
    with hung_server() as address, pytest.raises(Unanswered) as caught:
        make(RetryPolicy(attempts=9, timeouts=2)).send("GET", address)
    assert caught.value.failure is not None
    assert (caught.value.failure.kind, caught.value.attempts) == ("timeout", 2)
    with hanging_up_server() as address, pytest.raises(Unanswered) as caught:
        make(RetryPolicy(attempts=3)).send("GET", address)
    assert caught.value.failure is not None
    assert (caught.value.failure.kind, caught.value.attempts) == ("hung-up", 3)
    for unreachable, attempts in ((False, 1), (True, 4)):
        with pytest.raises(Unanswered) as caught:
            make(RetryPolicy(attempts=4, unreachable=unreachable)).send("GET", refusing_address())
        assert caught.value.failure is not None
        assert (caught.value.failure.kind, caught.value.attempts) == ("refused", attempts)
        assert caught.value.failure.detail == "Connection refused"


@pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".example", "[::1", "%zz"])
def test_hosts_that_cannot_be(host: str, waits: list[float]) -> None:
    """An address that no library can read is a failure like others, not an exception of theirs."""
    with pytest.raises(Unanswered):
        make(RetryPolicy(attempts=1)).send("GET", f"http://{host}/")


def test_a_connection_that_breaks_off(waits: list[float]) -> None:
    """Half an answer is none; half an error still has its status."""
    with serving(lambda asked: Reply(b"x" * 100, 200, cut=True)) as server, pytest.raises(Unanswered) as caught:
        make(RetryPolicy(attempts=2)).send("GET", server.url)
    assert caught.value.failure is not None
    assert caught.value.failure.kind == "broken"
    with serving(lambda asked: Reply(b"x" * 100, 401, cut=True)) as server:
        assert make(RetryPolicy(attempts=2)).send("GET", server.url).status == 401


def test_long_answers(waits: list[float]) -> None:
    """An answer is read up to the limit, and no further, also where it is small on the wire."""
    with serving(lambda asked: Reply(b"x" * 2_000_000)) as server:
        answer = make(RetryPolicy()).send("GET", server.url)
    assert (answer.body, answer.cut) == (b"x" * 1_000, True)


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "netrc"
    path.write_text("default login ada password other\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))


@pytest.mark.usefixtures("netrc")
def test_headers_are_sent_as_they_are_given() -> None:
    """A netrc file does not replace the Authorization header of an endpoint, nor add one."""
    receiver = Receiver()
    try:
        Endpoint(receiver.url, {"authorization": "Bearer mine"}).send(b"")
        Endpoint(receiver.url, {}).send(b"")
    finally:
        receiver.close()
    assert [request.headers.get("authorization") for request in receiver.requests] == ["Bearer mine", None]


def test_an_untrusted_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that cannot be verified is final, and names the variable that helps."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"https://localhost:{server.server_port}/v1/traces"
    try:
        with pytest.raises(EndpointError, match=r"its certificate is not trusted .*OTEL_EXPORTER_OTLP_CERTIFICATE"):
            Endpoint(url, {}, patience=5).send(b"")
        path = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(path))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(path))
        with pytest.raises(EndpointError, match="answered 501"):
            Endpoint(url, {}, patience=5).send(b"")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
