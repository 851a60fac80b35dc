"""The worker as a process of its own, and what it wrote."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

import livekit_otel
from tests.backends.process import STOP_SECONDS, Server, wait_until

from .server import KEY, SECRET, LiveKitServer

ROOT = Path(__file__).parents[2]


#: each worker's agent has a name of its own, so that workers can be registered with one server at the same time
_numbers = itertools.count(1)


@contextmanager
def together(*workers: Worker) -> Iterator[None]:
    """All of them run inside; they start and end at the same time."""
    try:
        for worker in workers:
            worker.launch()
        for worker in workers:
            worker.wait()
        yield
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.stop()


class Worker(Server):
    """``python -m tests.rooms start``, registered with ``server``; ``options`` are its variables."""

    def __init__(self, server: LiveKitServer, folder: Path, executor: str = "forkserver", **options: str) -> None:
        self.server = server
        #: what its agents are dispatched as
        self.agent = f"flower-shop-{next(_numbers)}"
        env = {
            "PYTHONPATH": str(ROOT),
            "LIVEKIT_URL": server.url,
            "LIVEKIT_API_KEY": KEY,
            "LIVEKIT_API_SECRET": SECRET,
            "ROOMS_FOLDER": str(folder),
            "ROOMS_AGENT": self.agent,
            "ROOMS_EXECUTOR": executor,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            **options,
        }
        self._registered = 0
        self._children: list[psutil.Process] | None = None
        super().__init__("worker", [sys.executable, "-m", "tests.rooms", "start"], folder, env)

    def launch(self) -> None:
        self._registered = self.output().count("registered worker") + 1
        super().launch()

    def is_ready(self) -> bool:
        return self.output().count("registered worker") >= self._registered

    def terminate(self) -> None:
        """Ask it to end, unless that has been done; :meth:`stop` waits until it has."""
        if self._process is not None and self._process.poll() is None and self._children is None:
            self._children = psutil.Process(self.pid).children(recursive=True)
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """End it, and all its children, whatever state they are in."""
        self.terminate()
        if self._process is not None:
            # a second signal would end it at once
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        super().stop()
        for child in self._children or ():
            if child.is_running():
                child.send_signal(signal.SIGKILL)

    # --- what it wrote -----------------------------------------------------------------------------------

    def log_of(self, room: str) -> list[dict[str, Any]]:
        """What happened in a room, in order."""
        file = self.folder / f"{room}.log"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def pid_of(self, room: str) -> int:
        """The process that runs the room's job."""
        return int(self.log_of(room)[0]["pid"])

    def wait_for(self, room: str, what: str, seconds: float = 30.0, count: int = 1) -> None:
        """Wait until something has happened in a room so often."""

        def happened() -> bool:
            return sum(line["what"] == what for line in self.log_of(room)) >= count

        wait_until(f"{what} in {room}", happened, seconds)

    def report_of(self, room: str, who: str = "livekit") -> dict[str, Any]:
        """LiveKit's own report: its last one, or (``user``) the one that ``on_session_end`` made."""
        found: dict[str, Any] = json.loads((self.folder / f"{room}.{who}.json").read_text())
        return found

    def spans(self) -> list[livekit_otel.SpanRecord]:
        """All spans that arrived, of all rooms."""
        return list(livekit_otel.read_spans(str(self.folder / "traces"), all_scopes=True))

    def written(self) -> Iterator[tuple[str, str]]:
        """Name and value (as JSON) of every attribute in the files: of spans, their events and the resource."""

        def inside(part: Any) -> Iterator[tuple[str, str]]:
            if isinstance(part, dict) and part.keys() == {"key", "value"}:
                yield part["key"], json.dumps(part["value"])
            for one in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
                yield from inside(one)

        for file in (self.folder / "traces").iterdir():
            for line in file.read_text(encoding="utf-8").splitlines():
                yield from inside(json.loads(line))

    def rebuilt(self) -> dict[str, livekit_otel.SessionReport]:
        """The reports of all rooms, from the traces alone."""
        return {report.room: report for report in livekit_otel.build_reports(self.spans())}

    def wait_until_over(self, *rooms: str, seconds: float = 120.0) -> None:
        """Wait until the rooms' jobs have made LiveKit's last report, and their traces have arrived."""

        def over() -> bool:
            jobs = {self.log_of(room)[0]["job"] for room in rooms if self.log_of(room)}
            return len(jobs) == len(rooms) and all((self.folder / f"{room}.livekit.json").exists() for room in rooms)

        wait_until(f"reports of {rooms}", over, seconds)
        if os.environ.get("ROOMS_EXECUTOR") != "thread":
            time.sleep(1.0)
