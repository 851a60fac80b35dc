"""A server process of a test: started with its own log, waited for, stopped by its process id, never left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import psutil

START_SECONDS = 90.0
STOP_SECONDS = 10.0

# Runs between fork and the server: the kernel kills the server when the thread that started it ends (PR_SET_PDEATHSIG),
# so that not even a killed test run leaves one behind. In a program of its own, as code between fork and exec may not
# be Python in a process with threads.
_LAUNCH = """
import os, signal, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the test process is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


S = TypeVar("S", bound="Server")


class ServerError(Exception):
    """A server did not start, or did not do in time what the test waited for; the message ends with its log."""


def free_ports(count: int) -> list[int]:
    """``count`` different ports that were free on loopback a moment ago."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_until(what: str, condition: Callable[[], bool], seconds: float = 20.0, every: float = 0.05) -> None:
    """Polls ``condition`` until it is true. Raises :class:`ServerError` naming ``what`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ServerError(f"not within {seconds:g} s: {what}")
        time.sleep(every)


def answers(url: str) -> bool:
    """Whether a GET of ``url`` is answered with a status below 400."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


class Server:
    """One server, as a context manager: started and ready inside, stopped afterwards.

    ``log`` is its output, kept in the test's folder and named in every error. :meth:`kill` and :meth:`start` may be
    called in between: it comes back with the same addresses and the same folder.
    """

    def __init__(self, name: str, command: Sequence[str | Path], folder: Path, env: dict[str, str]) -> None:
        self.name = name
        self.folder = folder
        self.log = folder / f"{name}.log"
        self._command = [str(part) for part in command]
        # Nothing of the caller's environment: no OTEL_* of the test run, no credentials, no proxy to the outside.
        base = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "TMPDIR": str(folder), "NO_PROXY": "*"}
        self._env = {**base, **env}
        self._process: subprocess.Popen[bytes] | None = None

    def is_ready(self) -> bool:
        """Whether the running process does its work; each kind of server says how that is seen."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    def output(self) -> str:
        """What the server has written, of all its starts."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self, seconds: float = START_SECONDS) -> None:
        """Starts the process and waits until it is ready. Raises :class:`ServerError` with the end of its log."""
        self.launch()
        self.wait(seconds)

    def launch(self) -> None:
        """Starts the process, which is not ready yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-c", _LAUNCH, str(os.getpid()), *self._command],
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        print(f"{self.name}: process {self.pid}, log {self.log}")

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Waits until the process is ready. Raises :class:`ServerError` with the end of its log."""
        assert self._process is not None
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            status = self._process.poll()
            if status is not None or time.monotonic() > deadline:
                self.kill()
                ended = f"ended with status {status}" if status is not None else f"was not ready in {seconds:g} s"
                raise ServerError(f"{self.name} {ended}; its log, {self.log}, ends:\n{self.output()[-3000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Asks the process to end, and kills it when it does not; returns when it is gone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kills the process at once, as a crash of the machine would; returns when it is gone."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)

    def listening(self) -> set[str]:
        """The local addresses that the process and its children accept connections on."""
        process = psutil.Process(self.pid)
        found = set()
        for each in (process, *process.children(recursive=True)):
            for connection in each.net_connections(kind="inet"):
                if connection.status == psutil.CONN_LISTEN:
                    found.add(connection.laddr.ip)
        return found

    def __enter__(self: S) -> S:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is not None:
            print(f"{self.name}: log {self.log}")
