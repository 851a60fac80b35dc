"""No message, log line, repr, state file or traceback shows a credential, whatever the form of the address."""

from __future__ import annotations

import base64
import logging
import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import livekit_otel
from livekit_otel.cli import main
from livekit_otel.doctor import endpoints, installed
from livekit_otel.errors import LiveKitOtelError
from livekit_otel.readers.remote import parse
from livekit_otel.replay import Replay
from livekit_otel.transport import client
from livekit_otel.transport.address import check_url, traces_url
from livekit_otel.transport.credentials import Redactor, secrets_of, shown, without_arguments
from livekit_otel.transport.otlp_endpoint import Endpoint
from tests import report_kit as kit
from tests.json_server import Asked, Reply, serving
from tests.otlp_receiver import Answer, Receiver

#: A part of every credential below.
CANARY = "c4n4ry"
#: ``{scheme}`` is replaced by those below, ``{host}`` by a port where nobody listens.
FORMS = [
    "{scheme}://ada:c4n4ry@{host}",
    "{scheme}://ada:c4n4ry@{host}/x?since=1h",
    "{scheme}://c4n4ry@{host}/",
    "{scheme}://:c4n4ry@{host}",
    "{scheme}://ada:p@c4n4ry@{host}",
    "{scheme}://ada:p@ss/c4n4ry@{host}",
    "{scheme}://ada:c4n4ry/word@{host}/x",
    "{scheme}://ada:c4n4ry?word@{host}",
    "{scheme}://ada:c4n4ry#word@{host}",
    "{scheme}://ada:c4n4ry word@{host}",
    "{scheme}://ada:c4n4ry'\"<word>@{host}",
    "{scheme}://ada:c4n4ry[@{host}",
    "{scheme}://ada:c4n4ry\\word@{host}",
    "{scheme}://ada%3Ac4n4ry%40{host}",
    "{scheme}://ada%253Ac4n4ry%2540{host}/x",
    "{scheme}://ada:%63c4n4ry%2Fx@{host}",
    "{scheme}://ada:c4n4ry\uff20{host}",
    "{scheme}://ada:c4n4ry",
    "{scheme}://{host}/?token=c4n4ry",
    "{scheme}://{host}?service=x&api_key=c4n4ry&session=y",
    "{scheme}://{host}/x?c4n4ry",
    "{scheme}://{host}/x#token=c4n4ry",
    "{scheme}://{host}/x;key=c4n4ry",
    "{scheme}://{host}c4n4ry/x",
    "{scheme}:/ada:c4n4ry@{host}",
    "{scheme}:ada:c4n4ry@{host}",
    "{scheme}//ada:c4n4ry@{host}",
    "{scheme}:\\\\ada:c4n4ry@{host}",
    " {scheme}://ada:c4n4ry@{host}",
    "//ada:c4n4ry@{host}/x",
    "ada:c4n4ry@{host}",
    "ada:c4n4ry/word@{host}",
    "ada:c4n4ry 'word@{host}",
    "c4n4ry@{host}",
    "{host}/x?token=c4n4ry",
]
SCHEMES = ["jaeger", "clickhouse", "langfuse+http", "jeager", "http", "ht_tp"]
HOST = "127.0.0.1:9"


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("OTEL_", "LANGFUSE_", "LIVEKIT_", "PHOENIX_", "JAEGER_", "CLICKHOUSE_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(client, "_sleep", lambda seconds: None)
    # they depend on where the tests run, and know no address
    monkeypatch.setattr(installed, "packages", lambda: iter(()))
    monkeypatch.setattr(installed, "instrumentation", lambda: iter(()))
    # a relative path must not be found by accident
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.close()


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(kit.lines(kit.call(turns=1).spans)))
    return path


def addresses(form: str) -> list[str]:
    return list(dict.fromkeys(form.format(scheme=scheme, host=HOST) for scheme in SCHEMES))


def leaks(text: str) -> bool:
    encoded = base64.b64encode(f"ada:{CANARY}".encode()).decode().rstrip("=")
    return CANARY in text or encoded in text


COMMANDS = {
    "report": lambda address, trace: ["report", address],
    "sessions": lambda address, trace: ["sessions", address],
    "turns": lambda address, trace: ["turns", address],
    "diff": lambda address, trace: ["diff", address, str(trace)],
    "replay to": lambda address, trace: ["replay", str(trace), "--to", address, "--retry-for", "0"],
    "replay from": lambda address, trace: ["replay", address, "--to", f"http://{HOST}", "--dry-run"],
    "doctor": lambda address, trace: ["doctor", "--to", address, "--timeout", "0.2"],
    "one argument too many": lambda address, trace: ["report", str(trace), address],
    "no such command": lambda address, trace: [address],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("form", FORMS)
def test_no_command_shows_a_credential(
    form: str, command: str, trace: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the form of an address and whatever is wrong with it, no command prints, logs or stores its secret."""
    caplog.set_level(logging.INFO)
    for address in addresses(form)[::2]:
        assert main(COMMANDS[command](address, trace)) != 0
        out, err = capsys.readouterr()
        assert not leaks(out + err), (address, out + err)
        assert not leaks(caplog.text), address
    for path in trace.parent.iterdir():
        assert not leaks(path.read_text()), path


def attempts(address: str, trace: Path) -> list[Callable[[], object]]:
    return [
        lambda: list(livekit_otel.read_spans(address)),
        lambda: check_url(address) and None,
        lambda: Endpoint(traces_url(address), {}, timeout=0.2, patience=0).send(b""),
        lambda: Replay(str(trace), address).run(None),
        lambda: Replay(address, "http://host"),
        lambda: parse(address, host="h", port=1, secure=False),
    ]


@pytest.mark.parametrize("form", FORMS)
def test_no_exception_or_repr_shows_a_credential(form: str, trace: Path) -> None:
    """Errors of the Python API, their tracebacks, and the reprs of what holds an address hide its secret."""
    for address in addresses(form):
        shows: list[str] = [shown(address)]
        for attempt in attempts(address, trace):
            try:
                shows.append(repr(attempt()))
            except LiveKitOtelError as error:
                shows += [str(error), repr(error), "".join(traceback.format_exception(error))]
        shows.append(repr(endpoints.Destination("--to", address, headers={"authorization": CANARY})))
        lines = [line for text in shows for line in text.splitlines() if not line.lstrip().startswith("File ")]
        assert not [line for line in lines if leaks(line)], address


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "LANGFUSE_HOST"])
@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json", pytest.param("grpc", marks=pytest.mark.slow)])
def test_no_variable_is_shown(
    name: str, protocol: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Addresses with credentials in the environment are hidden by the doctor and by readers."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    if name.startswith("LANGFUSE"):
        monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk-" + CANARY)
        monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk-" + CANARY)
    for address in [form.format(scheme="http", host=HOST) for form in FORMS]:
        monkeypatch.setenv(name, address)
        for command in (["doctor", "--timeout", "0.2"], ["report", "langfuse://"]):
            main(command)
            out, err = capsys.readouterr()
            assert not leaks(out + err), (address, out + err)


ECHOES = ["bad key {0}", '{{"message": "{0}"}}', "x" * 190 + " {0}", "<html>{0}", "no\nuser {0}\x00!"]


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_servers_that_repeat_credentials(
    echo: str, status: int, receiver: Receiver, trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a server repeats of the credentials it was sent is not printed, also where its words are cut."""
    own = f"Basic {base64.b64encode(b'ada:c4n4ry-url').decode()} c4n4ry-url"
    told = f"{CANARY}-header {own} c4n4ry-query"
    body = echo.format(told)
    reply = Answer(status, body=body.encode(), content_type="text/plain")
    receiver.answer = lambda request: reply
    url = receiver.url.replace("//", "//ada:c4n4ry-url@") + "/x?key=c4n4ry-query"
    header = f"x-key={CANARY}-header"
    main(["replay", str(trace), "--to", url, "-H", header, "--retry-for", "1"])
    main(["doctor", "--to", url, "-H", header])
    of_readers = Reply(echo.format(own).encode(), status)
    with serving(lambda asked: of_readers) as server:
        for scheme in ("jaeger", "clickhouse", "phoenix", "langfuse+http"):
            main(["report", f"{scheme}://ada:c4n4ry-url@127.0.0.1:{server.port}"])
    out, err = capsys.readouterr()
    assert not leaks(out + err), out + err


def test_tokens_of_variables(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A token from the environment is sent, and not printed when the server repeats it."""
    monkeypatch.setenv("JAEGER_TOKEN", f"{CANARY}-token")
    monkeypatch.setenv("PHOENIX_API_KEY", f"{CANARY}-token")
    seen: list[str] = []

    def answer(asked: Asked) -> Reply:
        seen.append(asked.headers["authorization"])
        return Reply({"error": f"no {seen[-1]}"}, 401)

    with serving(answer) as server:
        for scheme in ("jaeger", "phoenix"):
            assert main(["report", f"{scheme}://127.0.0.1:{server.port}"]) == 1
    assert set(seen) == {f"Bearer {CANARY}-token"}
    out, err = capsys.readouterr()
    assert "answered 401 (no ***)" in err or "answered 401 (no Bearer ***)" in err
    assert not leaks(out + err)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("jaeger://host:16686/x?service=a&since=2h", "jaeger://host:16686/x?service=a&since=2h"),
        ("jaeger://ada:secret@host/x", "jaeger://host/x"),
        ("jaeger://ada:se/cret@host", "jaeger://…@host"),
        ("clickhouse://ada:secret@host:8123/otel/t?password=x", "clickhouse://host:8123/otel/t?…"),
        ("http://[::1]:4318/v1/traces", "http://[::1]:4318/v1/traces"),
        ("http://host/x?token=secret", "http://host/x?…"),
        ("phoenix://host/p?session=ada@example.com", "phoenix://host/p?session=ada@example.com"),
        ("file:///var/log/a@b.jsonl", "file:///var/log/a@b.jsonl"),
        ("/var/log/a:b@c.jsonl", "/var/log/a:b@c.jsonl"),
        ("trace-?.jsonl", "trace-?.jsonl"),
        ("localhost/v1/traces", "localhost/v1/traces"),
    ],
)
def test_what_is_shown(address: str, text: str) -> None:
    """An address stays readable: host, port, path, what is searched for; paths of files are whole."""
    assert shown(address) == text


def test_a_file_with_an_at_sign(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that exists is named whole, whatever its name looks like."""
    (tmp_path / "ada:x@host.jsonl").write_text("a,b\n")
    assert main(["report", "ada:x@host.jsonl"]) == 1
    assert "ada:x@host.jsonl: not a trace" in capsys.readouterr().err


def test_an_address_that_would_send_a_part_of_the_password_elsewhere(receiver: Receiver, trace: Path) -> None:
    """A password with a slash would make its first part the host: nothing is sent, and the line says what to do."""
    url = receiver.url.replace("//", "//ada:") + "/word@host"
    with pytest.raises(LiveKitOtelError, match="percent-encode"):
        check_url(url)
    with pytest.raises(LiveKitOtelError, match="percent-encode"):
        parse("jaeger://ada:p@127.0.0.1/word@host", host="h", port=1, secure=False)
    assert receiver.requests == []


def test_redactor() -> None:
    """Secrets are replaced as they are, decoded, and inside of Basic and Bearer; short and empty ones are not."""
    basic = base64.b64encode(b"ada:hunter2").decode()
    redact = Redactor({f"Basic {basic}", "Bearer tok-12345", "a", "", *secrets_of("http://ada:p%2Fass@h")})
    assert redact(f"a {basic} ada:hunter2 hunter2 tok-12345 p%2Fass p/ass Basic") == "a *** *** *** *** *** *** Basic"


def test_arguments_in_texts_of_others() -> None:
    """What a parser says of arguments keeps all but the credentials of addresses among them."""
    told = "extra argument (http://ada:x y@host:1/p?token=s)"
    assert without_arguments(told, ["x", "http://ada:x y@host:1/p?token=s"]) == "extra argument (http://host:1/p?…)"
    told = "invalid: 'http://ada:\\\\x@h' is none of text, json"
    assert without_arguments(told, ["--format=http://ada:\\x@h"]) == "invalid: 'http://h' is none of text, json"
    assert without_arguments("no such option: --formt", ["--formt"]) == "no such option: --formt"
