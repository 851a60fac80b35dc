"""What goes wrong with real servers is one clear line, and never a report that silently lacks spans."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from livekit_otel import read_spans
from livekit_otel.cli import main
from livekit_otel.errors import SourceError
from livekit_otel.readers.backend import Backend
from livekit_otel.report import build_report
from livekit_otel.transport import client
from tests import report_kit as kit

from .fixtures import need, started
from .process import Server, wait_until
from .servers import Jaeger, Phoenix

pytestmark = pytest.mark.backend

KEY = "0123456789abcdef-key-of-the-tests"
#: When the calls of report_kit are held.
DAY = "since=2026-09-21&until=2026-09-22"
#: A call whose spans do not fit into one answer of Phoenix, which are 1,000.
LONG = kit.call("S-long", turns=150)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between attempts no time passes, and no credentials come from the machine."""
    monkeypatch.setattr(client, "_sleep", lambda seconds: None)
    for name in ("JAEGER_TOKEN", "PHOENIX_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def own_jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jaeger]:
    """A Jaeger that holds nothing at first."""
    yield from started(Jaeger, tmp_path_factory)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phoenix]:
    """A Phoenix that wants a key."""
    secret = {"PHOENIX_ENABLE_AUTH": "true", "PHOENIX_SECRET": "s3cret" * 8, "PHOENIX_ADMIN_SECRET": KEY}
    yield from started(Phoenix, tmp_path_factory, **secret)


def source(scheme: str, url: str, more: str = "", user: str = "") -> str:
    return f"{scheme}://{user}{url.removeprefix('http://')}{more}"


def send(folder: Path, to: str, spans: list[dict[str, Any]], *options: str, service: str = "clerk") -> None:
    """Stored spans, sent as a user sends them."""
    file = folder / f"{time.monotonic_ns()}.jsonl"
    file.write_text("".join(kit.lines(spans)).replace('"clerk"', f'"{service}"'), encoding="utf-8")
    assert main(["replay", str(file), "--to", to, *options]) == 0


def arrived(address: str, spans: int) -> None:
    """Waits until a server gives so many spans back: it acknowledges before it stores."""

    def there() -> bool:
        try:
            return len(list(read_spans(address))) >= spans
        except SourceError:
            return False

    wait_until(f"{spans} spans at {address}", there, seconds=60, every=0.5)


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a command that fails, and that it prints nothing else."""
    capsys.readouterr()
    assert main(list(arguments)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("livekit-otel: ")
    assert err.count("\n") == 1
    return err.removeprefix("livekit-otel: ").rstrip("\n")


def dies_before(monkeypatch: pytest.MonkeyPatch, server: Server, request: int) -> None:
    """Has the server killed just before a reader's request of that number, from 1."""
    ask, asked = Backend.get, 0

    def get(self: Backend, *arguments: Any, **options: Any) -> bytes:
        nonlocal asked
        asked += 1
        if asked == request:
            server.kill()
        return ask(self, *arguments, **options)

    monkeypatch.setattr(Backend, "get", get)


def test_wrong_address(own_jaeger: Jaeger, locked: Phoenix, capsys: pytest.CaptureFixture[str]) -> None:
    """Another port of the same server, another server, or none at all: what is there, and what to check."""
    cases = {
        source("jaeger", own_jaeger.otlp_http): "Jaeger answered 404 (Not Found); is this the address of Jaeger?",
        source(
            "jaeger", own_jaeger.otlp_grpc
        ): "check that this is the port of Jaeger's web interface, and not one for gRPC or TLS",
        source(
            "phoenix", own_jaeger.otlp_grpc
        ): "check that this is the port of Phoenix's web interface, and not one for gRPC or TLS",
        source("phoenix", own_jaeger.otlp_http): "no Phoenix with this API at that address; check host",
        source("phoenix", own_jaeger.query): "this is not a response of Phoenix, but a web page; check the address",
        source(
            "jaeger", own_jaeger.query, "/ui"
        ): "this is not a response of Jaeger, but a web page; check the address",
        source("jaegers", own_jaeger.query): "if it is plain HTTP, use a scheme that ends in +http",
        source("langfuse+http", own_jaeger.query, user="a:b@"): "this is not a response of Langfuse, but a web page",
        "jaeger://127.0.0.1:1": "cannot connect to http://127.0.0.1:1 (Connection refused); check that Jaeger is",
    }
    said = {address: failure(capsys, "report", address) for address in cases}
    assert [(address, said[address]) for address, says in cases.items() if says not in said[address]] == []


def test_wrong_key(locked: Phoenix, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key, and with a wrong one, the line says what to check, and shows no key; the right one works."""
    refused = "Phoenix answered 401 (Unauthorized); it does not accept the credentials: check PHOENIX_API_KEY"
    shown = source("phoenix", locked.url)
    assert failure(capsys, "sessions", shown) == f"{shown}: {refused}"
    wrong = failure(capsys, "sessions", source("phoenix", locked.url, user=":wrong-key@"))
    assert wrong == f"{shown}: {refused}"
    monkeypatch.setenv("PHOENIX_API_KEY", KEY)
    said = failure(capsys, "sessions", shown)
    assert said.startswith(f"{shown}: Phoenix holds no session between ")
    assert KEY not in said


def test_empty_result(own_jaeger: Jaeger, locked: Phoenix, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing matches, the line says what was looked for, when, and what there is instead."""
    call = kit.call("S-found", turns=1)
    send(tmp_path, own_jaeger.otlp_http, call.spans)
    send(tmp_path, locked.url, call.spans, "--header", f"authorization=Bearer {KEY}")
    key = f":{KEY}@"
    arrived(source("phoenix", locked.url, f"?{DAY}", key), len(call.spans))
    trace = "0" * 31 + "1"
    jaeger, phoenix = own_jaeger.query, locked.url
    cases = {
        source("jaeger", jaeger): "or look further back, as with since=30d",
        source("jaeger", jaeger, f"?service=cleric&{DAY}"): "Jaeger knows no service 'cleric'; there are: clerk",
        source("jaeger", jaeger, f"?session=S-lost&{DAY}"): (
            "Jaeger holds no session 'S-lost' between 2026-09-21T00:00:00Z and 2026-09-22T00:00:00Z; check that"
        ),
        source("jaeger", jaeger, f"?trace={trace}"): f"Jaeger holds no trace {trace} with spans",
        source("phoenix", phoenix, "", key): "or look further back, as with since=30d",
        source("phoenix", phoenix, f"/nope?{DAY}", key): "Phoenix has no project 'nope'; give it as the last part of",
        source("phoenix", phoenix, f"?session=S-lost&{DAY}", key): "Phoenix holds no session 'S-lost' between",
    }  # fmt: skip
    said = {address: failure(capsys, "report", address) for address in cases}
    assert [(address, said[address]) for address, says in cases.items() if says not in said[address]] == []


def test_half_a_session(
    own_jaeger: Jaeger, locked: Phoenix, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A call of which a server holds a part has a report that counts what is missing and is not complete."""
    call = kit.call("S-half", turns=4)
    half = [span for number, span in enumerate(call.spans) if number % 3]
    missing = f"{len(call.spans) - len(half)} of {len(call.spans)} spans are missing"
    send(tmp_path, own_jaeger.otlp_http, half)
    send(tmp_path, locked.url, half, "--header", f"authorization=Bearer {KEY}")
    for address in (
        source("jaeger", own_jaeger.query, f"?session=S-half&{DAY}"),
        source("phoenix", locked.url, f"?session=S-half&{DAY}", f":{KEY}@"),
    ):
        arrived(address, len(half))
        capsys.readouterr()
        assert main(["report", address]) == 0
        text = capsys.readouterr().out
        assert "complete  no" in text
        assert missing in " ".join(text.split())
        assert main(["sessions", address, "--format", "json"]) == 0
        assert [row["complete"] for row in json.loads(capsys.readouterr().out)] == [False]


def test_jaeger_dies_between_two_calls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jaeger, killed when the calls of one of two services have been read: how far reading came, and no table."""
    need("jaeger")
    first, second = kit.call("S-1", turns=1), kit.call("S-2", turns=1, start=kit.START + 60)
    with Jaeger(tmp_path) as jaeger:
        send(tmp_path, jaeger.otlp_http, first.spans, service="clerk")
        send(tmp_path, jaeger.otlp_http, second.spans, service="porter")
        address = source("jaeger", jaeger.query, f"?{DAY}")
        assert len(list(read_spans(address))) == len(first.spans) + len(second.spans)
        # which services there are, the calls of one of them, and no more
        dies_before(monkeypatch, jaeger, 3)
        said = failure(capsys, "sessions", address)
    spans = len(first.spans)
    assert said.startswith(f"{address}: reading broke off after {spans} spans, not all are here: the connection to ")
    assert said.endswith("try again later")


def test_phoenix_dies_between_two_pages_of_a_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call of more than a page is read whole; with Phoenix killed after its first page there is no report of half."""
    need("phoenix")
    assert len(LONG.spans) > 1_000
    with Phoenix(tmp_path / "phoenix") as phoenix:
        send(tmp_path, phoenix.url, LONG.spans)
        address = source("phoenix", phoenix.url, f"/default?trace={LONG.spans[0]['trace_id']}")
        arrived(address, len(LONG.spans))
        report = build_report(read_spans(address))
        assert report.to_dict() == LONG.report
        assert report.complete
        output = tmp_path / "report.json"
        # the first page, and no more
        dies_before(monkeypatch, phoenix, 2)
        said = failure(capsys, "report", address, "-o", str(output))
    assert said.startswith(f"{address}: reading broke off after 1,000 spans, not all are here: the connection to ")
    assert said.endswith("try again later")
    assert not output.exists()


def test_more_calls_than_the_limit(own_jaeger: Jaeger, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A search that reaches its limit says so on stderr; with a higher one every call is there."""
    day = 5 * 86_400.0
    kit_calls = [kit.call(f"S-many-{number:03}", turns=0, start=kit.START + day + 10 * number) for number in range(120)]
    send(tmp_path, own_jaeger.otlp_http, [span for call in kit_calls for span in call.spans])
    address = source("jaeger", own_jaeger.query, "?service=clerk&since=2026-09-26&until=2026-09-27")
    capsys.readouterr()
    assert main(["sessions", address, "--format", "json"]) == 0
    out, err = capsys.readouterr()
    assert len(json.loads(out)) == 100
    assert err == (
        f"warning: {address}: the search stopped at limit=100 traces of 'clerk': raise it, or set since=, until=\n"
    )
    assert main(["sessions", f"{address}&limit=500", "--format", "json"]) == 0
    out, err = capsys.readouterr()
    assert [row["session_id"] for row in json.loads(out)] == [f"S-many-{number:03}" for number in range(120)]
    assert err == ""
