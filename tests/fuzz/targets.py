"""What is run: each reader, renderer and command on what was damaged."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from google.protobuf.message import DecodeError
from rich.console import Console

from livekit_otel import LiveKitOtelError, SpanRecord, build_reports, read_spans
from livekit_otel.otlp import protobuf
from livekit_otel.otlp.decode import records
from livekit_otel.report import SessionReport
from livekit_otel.report.render_html import to_html
from livekit_otel.report.render_json import to_document
from livekit_otel.report.render_terminal import show
from livekit_otel.report.render_text import to_text
from tests.json_server import Reply

from . import answers, corpus, damage, oracle

__all__ = ["COMMANDS", "TARGETS", "Run", "replay_seed"]

_RENDERED = 300
NOWHERE = "http://127.0.0.1:9"
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("sessions",), ("sessions", "-f", "json"), ("report",), ("report", "-f", "json"),
    ("report", "-f", "json", "--full"),
    ("report", "-f", "html"), ("turns",), ("turns", "-f", "json"), ("turns", "-f", "csv"),
    ("turns", "--sort", "e2e", "--desc"), ("tree",), ("replay", "--dry-run", "--to", NOWHERE),
)  # fmt: skip


@dataclass
class Run:
    """One run: where it may write, the servers, its chance, and what it damaged (kept when it fails)."""

    folder: Path
    servers: answers.Servers
    chance: Random
    kept: bytes = b""
    suffix: str = ".jsonl"


def file(run: Run) -> None:
    """A file, or standard input, by one command."""
    run.kept = damage.of_trace(run.chance.choice(corpus.names()), run.chance)
    _command(
        run, run.kept, run.chance.choice(COMMANDS), run.chance.choice(oracle.OUTPUTS), run.chance.randrange(8) == 0
    )


def _command(
    run: Run, data: bytes, arguments: tuple[str, ...], output: str, piped: bool, name: str = "trace.jsonl"
) -> None:
    path = run.folder / name
    path.write_bytes(data)
    command, *options = arguments
    stdin = piped and command != "replay"
    with oracle.limits(_unpacked(data)):
        whole = [command, "-" if stdin else str(path), *options]
        oracle.command(whole, size=_unpacked(data), output=output, stdin=data if stdin else b"")


def _unpacked(data: bytes) -> int:
    """How many bytes a reader finds in it."""
    if data[:2] != b"\x1f\x8b":
        return len(data)
    try:
        return max(len(data), len(zlib.decompressobj(31).decompress(data)))
    except zlib.error:
        # what comes before the damage counts, too
        return len(data) * 1_000


def native(run: Run) -> None:
    """A trace of LiveKit's own spans, by a command or by the functions that people call."""
    run.kept = damage.of_trace(run.chance.choice(corpus.natives()), run.chance)
    if run.chance.randrange(2):
        _command(run, run.kept, run.chance.choice(COMMANDS), "pipe", piped=False)
    else:
        _everything(run, run.kept)


def document(run: Run) -> None:
    """LiveKit's own report as a source."""
    run.kept, run.suffix = damage.of_document(run.chance.choice(corpus.documents()), run.chance), ".json"
    _command(run, run.kept, run.chance.choice(COMMANDS), "pipe", piped=False, name="report.json")


def diff(run: Run) -> None:
    """Two sources of one call, of which one is damaged."""
    name = run.chance.choice((*corpus.names(), *corpus.natives()))
    run.kept = damage.of_trace(name, run.chance)
    _diff(run, run.kept, corpus.data(name), run.chance.choice((("diff",), ("diff", "-f", "json"))))


def _diff(run: Run, data: bytes, other: bytes, arguments: tuple[str, ...]) -> None:
    paths = [run.folder / "damaged.jsonl", run.folder / "whole.jsonl"]
    for path, content in zip(paths, (data, other), strict=True):
        path.write_bytes(content)
    command, *options = arguments
    size = _unpacked(data) + len(other)
    with oracle.limits(size):
        oracle.command([command, *map(str, paths), *options], size=size, failure=2)


def everything(run: Run) -> None:
    """A file by the functions that people call, with all renderers."""
    run.kept = damage.of_trace(run.chance.choice(corpus.names()), run.chance)
    _everything(run, run.kept)


def _everything(run: Run, data: bytes) -> None:
    path = run.folder / "trace.jsonl"
    path.write_bytes(data)
    with oracle.limits(_unpacked(data)), suppress(LiveKitOtelError):
        _render(list(read_spans(path, all_scopes=bool(run.chance.randrange(2)))))


def _render(spans: list[SpanRecord]) -> None:
    # thousands of sessions are all built, and as many rendered as somebody might look at
    for number, report in enumerate(build_reports(spans)):
        if number < _RENDERED:
            _render_one(report)


def _render_one(report: SessionReport) -> None:
    oracle.strict_json(_json(to_document(report, full=True)))
    to_text(report, width=40, ascii=True)
    to_html(report)
    show(report, Console(file=io.StringIO(), force_terminal=True, width=60))


def _json(value: Any) -> str:
    from livekit_otel.cli.output import to_json

    return to_json(value)


def directory(run: Run) -> None:
    """A damaged file beside a whole one, whose session is found whatever the other is."""
    name = run.chance.choice(corpus.names())
    run.kept = damage.of_trace(name, run.chance)
    _directory(run, run.kept)


def _directory(run: Run, data: bytes) -> None:
    folder = run.folder / "both"
    folder.mkdir(exist_ok=True)
    (folder / "a.jsonl").write_bytes(data)
    (folder / "b.jsonl").write_bytes(corpus.data("question_and_answer"))
    with oracle.limits(_unpacked(data) + 100_000):
        text = oracle.command(["sessions", str(folder), "-f", "json"], size=_unpacked(data) + 100_000)
    wanted = {str(_session(span)) for span in corpus.spans(corpus.messages("question_and_answer"))}
    if text is None or not wanted & {row["session_id"] for row in json.loads(text)}:
        raise oracle.Wrong("the whole file's session is not there")


def _session(span: Any) -> Any:
    pairs = {pair["key"]: pair["value"] for pair in span.get("attributes", ())}
    return pairs.get("livekit_otel.session.id", {}).get("stringValue")


def request(run: Run) -> None:
    """A request in protobuf."""
    data = b""
    for message in corpus.messages(run.chance.choice(corpus.names())):
        data += protobuf.encode([part.message for part in protobuf.parts(message, "here")], "protobuf")
    run.kept, run.suffix = damage.of_bytes(data, run.chance), ".pb"
    _request(run, run.kept)


def _request(run: Run, data: bytes) -> None:
    with oracle.limits(len(data)):
        try:
            found = protobuf.decode_request(data)
        except (DecodeError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        _render(list(records(found, all_scopes=True, complain=lambda reason: None)))


def _of_server(backend: str) -> Callable[[Run], None]:
    def target(run: Run) -> None:
        name, number, damaged = answers.plan(run.chance)

        def keep(reply: Reply) -> Reply:
            made = damaged(reply)
            run.kept = run.kept or made.data
            return made

        run.suffix = f".{number}.json"
        _ask(run, backend, name, number, keep)

    target.__doc__ = f"Answers of {backend}."
    return target


def _ask(run: Run, backend: str, name: str, number: int, damaged: Callable[[Reply], Reply]) -> None:
    url = run.servers.prepare(backend, name, number, damaged)
    if backend == "otlp" and run.chance.randrange(4) == 0:
        arguments = ["doctor", "--to", url, "--timeout", "2", "-f", run.chance.choice(("text", "json"))]
    elif backend == "otlp":
        path = run.folder / "trace.jsonl"
        path.write_bytes(corpus.data(name))
        (run.folder / "state").unlink(missing_ok=True)
        state, retry = ["--state", str(run.folder / "state")], ["--retry-for", "0", "--batch", "20"]
        arguments = ["replay", str(path), "--to", url, *state, *retry]
    else:
        command, *options = run.chance.choice(COMMANDS[:-1])
        arguments = [command, url, *options]
    begin = 4 << 20
    with oracle.limits(begin):
        oracle.command(arguments, size=begin)


#: target -> how often it is run, in proportion
TARGETS: dict[str, tuple[Callable[[Run], None], int]] = {
    "file": (file, 10),
    "everything": (everything, 6),
    "directory": (directory, 2),
    "request": (request, 2),
    "native": (native, 5),
    "document": (document, 2),
    "diff": (diff, 2),
    **{name: (_of_server(name), 2) for name in answers.BACKENDS},
}


def replay_seed(run: Run, path: Path) -> None:
    """Run a kept input, whose name begins with its target, through all that its target has."""
    target, data = path.name.split("-")[0], path.read_bytes()
    if target == "request":
        _request(run, data)
    elif target in answers.BACKENDS:
        number = int(path.name.split(".")[-2])
        for name in answers.NAMES:
            _ask(run, target, name, number, lambda reply: Reply(data, reply.status, reply.headers))
    elif target == "diff":
        _diff(run, data, corpus.data("question_and_answer"), ("diff",))
    elif target == "document":
        for arguments in COMMANDS:
            _command(run, data, arguments, "pipe", piped=False, name="report.json")
    else:
        for arguments in COMMANDS:
            _command(run, data, arguments, "pipe", piped=False)
        for output in sorted(set(oracle.OUTPUTS)):
            _command(run, data, ("report",), output, piped=False)
        _command(run, data, COMMANDS[0], "pipe", piped=True)
        _everything(run, data)
        _directory(run, data)
