"""Files that hold what people said are their owner's alone, from the moment they exist, under any umask."""

from __future__ import annotations

import ast
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import livekit_otel
from livekit_otel import OptionError
from livekit_otel._private_files import make_directory, open_private, write_private
from livekit_otel.cli import main
from livekit_otel.exporters.files import rotating_files
from tests import report_kit as kit
from tests.otlp_receiver import Receiver

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
UMASKS = [0o000, 0o022, 0o077, 0o177, 0o277, 0o777]


@contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


def modes(directory: Path) -> tuple[set[str], set[str]]:
    """Of the directories below and with ``directory``, and of the files."""
    every = [directory, *directory.rglob("*")]
    return {mode(one) for one in every if one.is_dir()}, {mode(one) for one in every if one.is_file()}


def export(directory: Path, **options: bool) -> None:
    """Enough spans for several rotations."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(rotating_files(directory, max_bytes=2_000, **options)))
    for number in range(8):
        provider.get_tracer("test").start_span(f"span {number}", attributes={"filler": "x" * 500}).end()
    provider.shutdown()


@pytest.mark.parametrize("value", UMASKS)
def test_rotating_files(value: int, tmp_path: Path) -> None:
    """Directories that the exporter makes have mode 0700, its files 0600, the rotated ones too."""
    with umask(value):
        export(tmp_path / "a" / "b")
    assert len(list((tmp_path / "a" / "b").iterdir())) > 2
    assert modes(tmp_path / "a") == ({"0o700"}, {"0o600"})


@pytest.mark.parametrize("value", UMASKS)
def test_group_readable(value: int, tmp_path: Path) -> None:
    """With the option a collector in the group can read them, and nobody can but it and the owner."""
    with umask(value):
        export(tmp_path / "a" / "b", group_readable=True)
    assert modes(tmp_path / "a") == ({"0o750"}, {"0o640"})


def test_a_wrong_option(tmp_path: Path) -> None:
    """A mode is no value for the option."""
    with pytest.raises(OptionError, match="group_readable must be True or False, not 416"):
        rotating_files(tmp_path, group_readable=0o640)  # type: ignore[arg-type]


def test_what_exists_stays(tmp_path: Path) -> None:
    """Directories and files that exist keep the mode that somebody gave them; a set-group-id bit is inherited."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2775)
    export(shared)
    assert mode(shared) == "0o2775"
    make_directory(shared / "new" / "deep", group_readable=True)
    assert {mode(shared / "new"), mode(shared / "new" / "deep")} == {"0o2750"}
    report = tmp_path / "report"
    report.write_text("x" * 100)
    report.chmod(0o644)
    write_private(report, b"new")
    assert (mode(report), report.read_text()) == ("0o644", "new")


def test_from_the_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No later change of the mode is what protects a file: nobody can open it between its creation and that."""
    for name in ("chmod", "fchmod", "lchmod"):
        monkeypatch.setattr(os, name, lambda *_: pytest.fail("changed later"), raising=False)
    with umask(0):
        export(tmp_path / "a")
        write_private(tmp_path / "b", b"x")
        make_directory(tmp_path / "c")
    assert modes(tmp_path / "a") == ({"0o700"}, {"0o600"})
    assert (mode(tmp_path / "b"), mode(tmp_path / "c")) == ("0o600", "0o700")


def test_links_and_devices(tmp_path: Path) -> None:
    """A link is followed, also to a file that is not there yet, and a device is written to."""
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    with umask(0):
        write_private(link, b"one")
    assert (target.read_bytes(), mode(target)) == (b"one", "0o600")
    write_private(os.devnull, b"two")
    with pytest.raises(FileExistsError):
        open_private(target, os.O_WRONLY | os.O_EXCL)
    with pytest.raises(NotADirectoryError):
        make_directory(target / "below")


@pytest.mark.parametrize("value", UMASKS)
def test_what_the_commands_write(value: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Reports in every format, turns, and the state of a replay are the owner's alone."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "trace.jsonl").write_text("".join(kit.lines(kit.call(turns=2).spans)))
    written = tmp_path / "written"
    written.mkdir()
    receiver = Receiver()
    try:
        with umask(value):
            for form in ("text", "json", "html"):
                assert main(["report", str(source), "-f", form, "-o", str(written / f"report.{form}")]) == 0
            for form in ("text", "json", "csv"):
                assert main(["turns", str(source), "-f", form, "-o", str(written / f"turns.{form}")]) == 0
            state = ["--state", str(written / "state")]
            assert main(["replay", str(source), "--to", receiver.url, *state]) == 0
            assert main(["replay", str(source), "--to", receiver.url]) == 0
    finally:
        receiver.close()
    capsys.readouterr()
    (kept,) = source.glob(".livekit-otel-replay-*")
    assert mode(kept) == "0o600"
    assert len(list(written.iterdir())) == 7
    assert modes(written)[1] == {"0o600"}


def test_a_state_that_was_compacted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state of a long replay is written anew, with the same mode."""
    from livekit_otel.replay import state

    monkeypatch.setattr(state, "_COMPACT_OVER", 3)
    path = tmp_path / "state"
    with umask(0):
        one = state.State(path, "http://a", "a")
        for number in range(20):
            one.record({"x": state.Position(offset=number)})
        one.close()
        size = path.stat().st_size
        state.State(path, "http://a", "a").close()
    assert path.stat().st_size < size
    assert mode(path) == "0o600"


DEMO = """
import os, sys
from livekit_otel.demo import run
async def call(echo):
    return {"events": []}
os.umask(0)
import types
module = types.ModuleType("livekit_otel.demo.call")
module.run_call = call
sys.modules["livekit_otel.demo.call"] = module
from livekit_otel import errors
from pathlib import Path
try:
    run.run_demo(Path(sys.argv[1]), lambda line: None)
except errors.LiveKitOtelError:
    pass
run._write(Path(sys.argv[1]) / "livekit-report.json", {})
"""


def test_the_demo(tmp_path: Path) -> None:
    """The demo's directory, its trace and its reports likewise (the call itself is left out here)."""
    pytest.importorskip("livekit.agents")
    done = subprocess.run([sys.executable, "-c", DEMO, str(tmp_path / "a" / "demo")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {one.name for one in (tmp_path / "a" / "demo").iterdir()} >= {"trace.jsonl", "livekit-report.json"}
    assert modes(tmp_path / "a") == ({"0o700"}, {"0o600"})


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may read everything: for a while this process is somebody else."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that everybody reaches (pytest's own are root's alone)."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
        for one in Path(name).rglob("*"):
            one.chmod(0o755)


@pytest.mark.parametrize("command", [["sessions"], ["replay", "--dry-run", "--to", "http://127.0.0.1:1"]])
def test_what_may_not_be_read_is_named(command: list[str], public: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory or a file that may not be read is named with the reason, and what may be read beside it is read."""
    folders = {name: public / name for name in ("open", "closed", "listed", "private")}
    for number, folder in enumerate(folders.values()):
        folder.mkdir()
        (folder / "t.jsonl").write_text("".join(kit.lines(kit.call(f"S-{number}", turns=1).spans)))
    (folders["private"] / "t.jsonl").chmod(0o600)
    folders["closed"].chmod(0)
    folders["listed"].chmod(0o444)
    state = [] if command == ["sessions"] else ["--state", str(public / "state")]
    main([command[0], str(folders["open"]), *command[1:], *state])
    capsys.readouterr()
    with unprivileged():
        assert main([command[0], str(public), *command[1:], *state]) == 0
        out, err = capsys.readouterr()
        assert ("S-0" if command == ["sessions"] else "12 spans of 1 file ") in out
        for place in (folders["closed"], folders["listed"] / "t.jsonl", folders["private"] / "t.jsonl"):
            assert f"warning: {place}: skipped: Permission denied; check the file and its permissions\n" in err
        for name in ("closed", "listed", "private"):
            assert main([command[0], str(folders[name]), *command[1:], *state]) == 1
            assert "Permission denied" in capsys.readouterr().err


_MAKES = (
    "mkdir",
    "makedirs",
    "write_text",
    "write_bytes",
    "touch",
    "NamedTemporaryFile",
    "mkstemp",
    "copyfile",
)


def _making(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name, text = ast.unparse(node.func), ast.unparse(node)
        opens = name in ("open", "io.open", "gzip.open") or name.endswith(".open")
        if name.rpartition(".")[2] in _MAKES or (
            opens and ("O_CREAT" in text or "'w" in text or "'a" in text or "'x" in text)
        ):
            yield f"{path.name}: {text}"


def test_files_are_made_in_one_place() -> None:
    """No module makes a file or a directory around the one that gives them their modes."""
    package = Path(livekit_otel.__file__).parent
    found = [one for path in sorted(package.rglob("*.py")) for one in _making(path)]
    rest = [one for one in found if not one.startswith("_private_files.py: ")]
    # a grammar without words of a call, in a temporary directory of mode 0700
    assert rest == ["sphinx.py: file.write_text(grammar, encoding='ascii')"]
