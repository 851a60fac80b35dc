"""The test kit itself: skipping, failing in CI, pins, and processes that are never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from . import install, process
from .fixtures import need
from .process import Server, ServerError, wait_until

TESTS = Path(__file__).resolve().parents[1]


class Sleeper(Server):
    """A process that does nothing for a minute, and is ready when it is there."""

    def __init__(self, folder: Path, code: str = "import time; time.sleep(60)") -> None:
        super().__init__("sleeper", [sys.executable, "-c", code], folder, {})

    def is_ready(self) -> bool:
        return psutil.Process(self.pid).cmdline()[1:2] == ["-c"]


def test_missing_programs_skip_here_and_fail_in_ci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test whose servers are not there is skipped with the reason, and fails with the same reason in CI."""
    monkeypatch.setenv("LIVEKIT_OTEL_TEST_BACKENDS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = "jaeger is a Go program and this machine has no Go (then run tests/backends/setup)"
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception) as skipped:
        need("jaeger")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception) as failed:
        need("jaeger")
    assert (skipped.value.msg, failed.value.msg) == (reason, reason)
    with pytest.raises(pytest.fail.Exception, match=r"phoenix is not ready: run tests/backends/setup"):
        need("phoenix")


def test_setup_says_what_failed(tmp_path: Path) -> None:
    """Without Go, tests/backends/setup names the program that it could not build, in one line, and exits with 1."""
    env = {"PATH": str(tmp_path), "LIVEKIT_OTEL_TEST_BACKENDS": str(tmp_path)}
    command = [sys.executable, str(TESTS / "backends" / "setup"), "--only", "jaeger"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    said = "tests/backends/setup: building Jaeger: needs Go, and there is no `go` on the PATH\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_manifest_and_pins_agree() -> None:
    """Every component of the manifest stands in go.mod with the same version, so the build needs no resolution."""
    folder = install.HERE / "collector"
    lines = (folder / "manifest.yaml").read_text().splitlines()
    components = [line.split("gomod: ")[1] for line in lines if "gomod: " in line]
    pinned = (folder / "go.mod").read_text()
    assert len(components) > 15
    assert [component for component in components if component not in pinned] == []


def test_a_server_that_ends_at_once_is_reported(tmp_path: Path) -> None:
    """A server that does not come up is an error that names its status and shows its log."""

    class Broken(Sleeper):
        def is_ready(self) -> bool:
            return False

    with pytest.raises(ServerError, match=r"sleeper ended with status 3; its log, .*, ends:\nno such file"):
        Broken(tmp_path, "import sys; print('no such file', flush=True); sys.exit(3)").start()


def test_a_server_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaving the context ends the process; one that ignores the request is killed after a bounded wait."""
    monkeypatch.setattr(process, "STOP_SECONDS", 0.5)
    with Sleeper(tmp_path / "polite") as server:
        polite = server.pid
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"
    )
    with Sleeper(tmp_path / "stubborn", stubborn) as server:
        wait_until("it ignores the request", lambda: "on" in server.output())
        pid = server.pid
    assert [psutil.pid_exists(each) for each in (polite, pid)] == [False, False]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child with its parent")
def test_servers_die_with_a_killed_test_run(tmp_path: Path) -> None:
    """When the test process is killed outright, the servers that it started are killed as well."""
    code = (
        "import sys, time; from pathlib import Path; from backends.test_servers import Sleeper\n"
        f"server = Sleeper(Path({str(tmp_path)!r})); server.start()\n"
        "print('pid', server.pid, flush=True); time.sleep(60)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    run = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    with run.stdout as output:
        pid = next(int(line.split()[1]) for line in output if line.startswith("pid "))
        assert psutil.pid_exists(pid)
        run.send_signal(signal.SIGKILL)
        run.wait(10)
    wait_until("the server is gone", lambda: not psutil.pid_exists(pid), seconds=5)
