"""Makes the servers of the backend tests ready: the collector, Jaeger, LiveKit's own, Phoenix and ClickHouse's engine.

Each is built from pins in this folder and kept in a cache under a name that contains a hash of its pins, so that
a second call does nothing and two checkouts with the same pins share one build. ``tests/backends/setup`` calls
:func:`main`; the fixtures ask :func:`missing` and :func:`executable`.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
JAEGER_COMMAND = "github.com/jaegertracing/jaeger/cmd/jaeger"
LIVEKIT_COMMAND = "github.com/livekit/livekit-server/cmd/server"
BUILDER_COMMAND = "go.opentelemetry.io/collector/cmd/builder"
READY = ".ready"


class SetupError(Exception):
    """A program could not be made ready; the message says which, why, and shows the end of the output."""


@dataclass(frozen=True)
class Program:
    """``pins`` are the files and folders that decide what is built; ``build`` fills an empty folder."""

    name: str
    pins: tuple[str, ...]
    executable: str
    needs_go: bool
    build: Callable[[Path], None]


def cache_root() -> Path:
    """Where the builds are kept: ``$LIVEKIT_OTEL_TEST_BACKENDS``, or a folder in the user's cache."""
    named = os.environ.get("LIVEKIT_OTEL_TEST_BACKENDS")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(base) / "livekit-otel-test-backends"


def _digest(program: Program) -> str:
    digest = hashlib.sha256(f"{sys.platform} {platform.machine()}".encode())
    for pin in program.pins:
        path = HERE / pin
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(file.relative_to(HERE).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def folder(name: str) -> Path:
    """The folder of the program as it is pinned now, built or not."""
    return cache_root() / f"{name}-{_digest(PROGRAMS[name])}"


def executable(name: str) -> Path:
    """The program's executable (for ``phoenix`` and ``clickhouse`` the Python of their environments)."""
    return folder(name) / PROGRAMS[name].executable


def missing(name: str) -> str | None:
    """Why the program cannot be started, in one line, or None when it is ready."""
    if (folder(name) / READY).exists():
        return None
    if PROGRAMS[name].needs_go and shutil.which("go") is None:
        return f"{name} is a Go program and this machine has no Go (then run tests/backends/setup)"
    return f"{name} is not ready: run tests/backends/setup"


def _run(what: str, command: list[str], cwd: Path, **env: str) -> str:
    try:
        done = subprocess.run(
            command, cwd=cwd, env={**os.environ, **env}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as error:
        raise SetupError(f"{what}: cannot run {command[0]}: {error}") from error
    if done.returncode:
        output = [line for line in done.stdout.splitlines() if not line.startswith("go: downloading")]
        shown = "\n".join(f"    {line}" for line in output[-30:])
        raise SetupError(f"{what} failed with exit code {done.returncode}\n    $ {' '.join(command)}\n{shown}")
    return done.stdout


def _go_build(what: str, module: Path, package: str, output: Path) -> None:
    if shutil.which("go") is None:
        raise SetupError(f"{what}: needs Go, and there is no `go` on the PATH")
    command = ["go", "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o", str(output), package]
    _run(what, command, module, CGO_ENABLED="0", GOWORK="off")


def _generate_collector(work: Path, *flags: str) -> Path:
    """Copies the manifest to ``work``, lets the official builder write the main program there, returns its module."""
    shutil.copytree(HERE / "collector", work / "collector")
    _go_build("building the collector builder", HERE / "builder", BUILDER_COMMAND, work / "builder")
    command = [str(work / "builder"), "--config", "manifest.yaml", "--skip-compilation", *flags]
    _run("generating the collector", command, work / "collector", GOWORK="off")
    return work / "collector" / "build"


def _build_collector(target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="livekit-otel-collector-") as work:
        module = _generate_collector(Path(work), "--skip-get-modules")
        for pin in ("go.mod", "go.sum"):
            shutil.copy(HERE / "collector" / pin, module / pin)
        pinned = (module / "go.mod").read_text()
        for line in (HERE / "collector" / "manifest.yaml").read_text().splitlines():
            name, _, component = line.strip().partition("gomod: ")
            if name == "- " and component not in pinned:
                raise SetupError(f"{component} is in manifest.yaml, not in go.mod: run tests/backends/setup --pin")
        _go_build("building the collector", module, ".", target / "otelcol")


def _build_jaeger(target: Path) -> None:
    _go_build("building Jaeger", HERE / "jaeger", JAEGER_COMMAND, target / "jaeger")


def _build_livekit(target: Path) -> None:
    _go_build("building the LiveKit server", HERE / "livekit", LIVEKIT_COMMAND, target / "livekit-server")


def _build_phoenix(target: Path) -> None:
    _environment("Phoenix", "phoenix", target)


def _build_clickhouse(target: Path) -> None:
    _environment("ClickHouse's engine", "clickhouse", target)


def _environment(what: str, pins: str, target: Path) -> None:
    """A Python environment with the pinned packages."""
    candidates = [sys.executable, *filter(None, map(shutil.which, ("python3.13", "python3.12", "python3.11")))]
    for python in candidates:
        version = subprocess.run([python, "-c", "import sys; print(sys.version_info >= (3, 11))"], capture_output=True)
        if version.stdout.strip() == b"True":
            break
    else:
        raise SetupError(f"making the environment of {what}: needs Python 3.11 or newer, and found none")
    _run(f"making the environment of {what}", [python, "-m", "venv", str(target / "venv")], target)
    pip = [str(target / "venv/bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run(
        f"installing {what}",
        [*pip, "--require-hashes", "--no-deps", "-r", str(HERE / pins / "requirements.txt")],
        target,
    )


PROGRAMS = {
    program.name: program
    for program in (
        Program("collector", ("builder", "collector"), "otelcol", True, _build_collector),
        Program("jaeger", ("jaeger",), "jaeger", True, _build_jaeger),
        Program("livekit", ("livekit",), "livekit-server", True, _build_livekit),
        Program("phoenix", ("phoenix/requirements.txt",), "venv/bin/python", False, _build_phoenix),
        Program("clickhouse", ("clickhouse/requirements.txt",), "venv/bin/python", False, _build_clickhouse),
    )
}


@contextmanager
def _locked() -> Iterator[None]:
    """One setup at a time per cache: a second one waits and then finds everything ready."""
    cache_root().mkdir(parents=True, exist_ok=True)
    with (cache_root() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _size(path: Path) -> str:
    files = (file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
    return f"{sum(file.stat().st_size for file in files) / 1e6:.0f} MB"


def make_ready(name: str) -> None:
    """Builds the program unless it is ready. Raises :class:`SetupError`."""
    target = folder(name)
    if (target / READY).exists():
        print(f"{name}: ready ({target})", flush=True)
        return
    print(f"{name}: building into {target}; with empty caches this takes minutes", flush=True)
    shutil.rmtree(target, ignore_errors=True)  # a build that was cut off; an environment cannot be moved into place
    target.mkdir(parents=True)
    started = time.monotonic()
    PROGRAMS[name].build(target)
    (target / READY).touch()
    print(f"{name}: built in {time.monotonic() - started:.0f} s, {_size(target)}", flush=True)


def _pin_collector() -> None:
    """Renews go.mod and go.sum of the collector from manifest.yaml."""
    with tempfile.TemporaryDirectory(prefix="livekit-otel-collector-") as work:
        module = _generate_collector(Path(work))
        for pin in ("go.mod", "go.sum"):
            shutil.copy(module / pin, HERE / "collector" / pin)
            print(f"collector: wrote {pin}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="tests/backends/setup", description="Make the servers of the backend tests ready."
    )
    parser.add_argument("--only", action="append", choices=sorted(PROGRAMS), help="this one only; may be given again")
    parser.add_argument("--pin", action="store_true", help="renew the collector's go.mod and go.sum from manifest.yaml")
    options = parser.parse_args(arguments)
    try:
        if options.pin:
            _pin_collector()
            return 0
        with _locked():
            for name in options.only or PROGRAMS:
                make_ready(name)
    except SetupError as error:
        print(f"tests/backends/setup: {error}", file=sys.stderr)
        return 1
    return 0
