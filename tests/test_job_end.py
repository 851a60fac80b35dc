"""Real job processes: every span that ended reaches the exporter, although nobody flushes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

import livekit_otel
from tests.bad_servers import hung_server
from tests.jobs.agent import FLUSH_TIMEOUT
from tests.otlp_receiver import Receiver

ROOT = Path(__file__).parent.parent
JOBS = int(os.environ.get("LIVEKIT_OTEL_JOBS", "2"))


def run_jobs(
    folder: Path,
    context: str,
    place: str,
    *,
    native: bool,
    flush: str = "ours",
    jobs: int = JOBS,
    endpoint: str = "",
) -> str:
    """Runs jobs to their end; returns what the server wrote to stderr."""
    environment = {
        **os.environ,
        "JOBS_FOLDER": str(folder),
        "JOBS_PLACE": place,
        "JOBS_NATIVE": "1" if native else "0",
        "JOBS_FLUSH": flush,
        "JOBS_ENDPOINT": endpoint,
        "PYTHONPATH": str(ROOT),
    }
    run = subprocess.run(
        [sys.executable, "-m", "tests.jobs.server", context, str(jobs)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60 + 20 * jobs,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stderr


def ended(folder: Path) -> Counter[str]:
    """``id name`` of every span that ended, in any process."""
    return Counter(line for file in folder.glob("ended-*.txt") for line in file.read_text().splitlines())


def arrived(folder: Path) -> Counter[str]:
    """The same of every span in the traces."""
    found: Counter[str] = Counter()
    for file in folder.glob("trace-*.jsonl"):
        for line in file.read_text(encoding="utf-8").splitlines():
            for resource in json.loads(line)["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    found.update(f"{span['spanId'].lower()} {span['name']}" for span in scope["spans"])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("native", [True, False], ids=["native", "pipeline"])
@pytest.mark.parametrize("place", ["module", "setup_fnc", "entrypoint"])
@pytest.mark.parametrize("context", ["forkserver", "spawn", "thread"])
def test_every_ended_span_arrives(context: str, place: str, native: bool, tmp_path: Path) -> None:
    """Whatever runs the jobs and wherever the provider is set, all spans arrive, LiveKit's root included.

    Set in the entrypoint it is too late for the root, and the log says so.
    """
    stderr = run_jobs(tmp_path, context, place, native=native)
    assert ("the provider was set inside a job" in stderr) == (native and place == "entrypoint")
    truth = ended(tmp_path)
    names = Counter(line.split(" ")[1] for line in truth.elements())
    assert names["session"] == JOBS
    if native and place != "entrypoint":
        assert names["job_entrypoint"] == JOBS
    assert arrived(tmp_path) == truth
    reports = list(livekit_otel.build_reports(livekit_otel.read_spans(str(tmp_path))))
    assert len(reports) == JOBS
    for report in reports:
        assert report.complete
        rooms = {word for word in json.dumps(report.to_dict()).replace('"', " ").split() if word.startswith("room-")}
        assert {room.strip(".,\\") for room in rooms} == {report.to_dict()["room"]}, "no room's words are in another's"


@pytest.mark.slow
def test_the_documented_way_loses_the_root(tmp_path: Path) -> None:
    """force_flush in a shutdown callback loses spans under forkserver; when this fails, LiveKit has fixed it."""
    import livekit.agents

    version = tuple(int(part) for part in livekit.agents.__version__.split(".")[:3])
    if version < (1, 8, 2):
        pytest.skip("before 1.8.2 the root ended earlier")
    run_jobs(tmp_path, "forkserver", "module", native=True, flush="documented", jobs=1)
    lost = ended(tmp_path) - arrived(tmp_path)
    assert any(line.endswith(" job_entrypoint") for line in lost)


def time_to_end(folder: Path, context: str, endpoint: str) -> tuple[float, str]:
    """Seconds from the moment when a job asked to end until its process was gone, and the server's stderr."""
    ended: list[float] = []

    def wait() -> None:
        while not (done := next(iter(folder.glob("done-*.txt")), None)):
            time.sleep(0.01)
        process = int(done.stem.partition("-")[2])
        with contextlib.suppress(psutil.NoSuchProcess):
            while psutil.Process(process).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
        ended.append(time.time() - float(done.read_text()))

    watcher = threading.Thread(target=wait, daemon=True)
    watcher.start()
    stderr = run_jobs(folder, context, "module", native=True, jobs=1, endpoint=endpoint)
    watcher.join(10)
    return ended[0], stderr


@pytest.mark.slow
@pytest.mark.parametrize("context", ["forkserver", "spawn"])
def test_a_hung_endpoint_delays_the_end_by_the_bound_at_most(context: str, tmp_path: Path) -> None:
    """Where nothing answers, a job's process ends within the flush time-out, and says how many spans it kept."""
    for name in ("answers", "hangs"):
        (tmp_path / name).mkdir()
    receiver = Receiver()
    try:
        before, _ = time_to_end(tmp_path / "answers", context, receiver.url)
    finally:
        receiver.close()
    assert len(receiver.ids) == sum(ended(tmp_path / "answers").values())
    with hung_server() as url:
        delayed, stderr = time_to_end(tmp_path / "hangs", context, url)
    assert FLUSH_TIMEOUT - 1.0 < delayed - before < FLUSH_TIMEOUT + 3.0
    count = sum(ended(tmp_path / "hangs").values())
    assert f"{count} spans were not delivered within {FLUSH_TIMEOUT:.1f} s" in stderr
