"""Rotating files: every span on disk, whatever happens to the process, the disk and the directory."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult

from livekit_otel import OptionError
from livekit_otel.exporters.files import RotatingFileExporter, rotating_files
from livekit_otel.readers import read_spans


def provider(exporter: SpanExporter) -> TracerProvider:
    one = TracerProvider()
    one.add_span_processor(SimpleSpanProcessor(exporter))
    return one


def make(one: TracerProvider, *names: str, size: int = 0) -> None:
    tracer = one.get_tracer("test")
    for name in names:
        tracer.start_span(name, attributes={"filler": "x" * size}).end()


def files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def names(source: Path) -> list[str]:
    return [span.name for span in read_spans(source, all_scopes=True)]


def old(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def finished(directory: Path, number: int, size: int = 100) -> Path:
    """A file of another process, which has ended."""
    path = directory / f"livekit-otel-20260101T0000{number:02d}000000Z-1-0000.jsonl"
    path.write_text("x" * size)
    old(path, 1_000 - number)
    return path


def test_one_file_per_process(tmp_path: Path) -> None:
    """The first span makes the directory and a file named by start time and process id; each export is a line."""
    directory = tmp_path / "a" / "b"
    exporter = rotating_files(directory)
    assert not directory.exists()
    assert exporter.path is None
    one = provider(exporter)
    make(one, "first", "second")
    (path,) = files(directory)
    assert path == exporter.path
    assert path.name.split("-")[3] == str(os.getpid())
    assert [list(json.loads(line)) for line in path.read_text().splitlines()] == [["resourceSpans"]] * 2
    assert names(directory) == ["first", "second"]
    one.shutdown()
    assert exporter.path is None
    assert (exporter.failures, exporter.failed_spans) == (0, 0)


def test_rotation_by_size(tmp_path: Path) -> None:
    """No file grows over max_bytes but for a single larger batch, and no span is lost between files."""
    exporter = rotating_files(tmp_path, max_bytes=5_000)
    one = provider(exporter)
    wanted = [f"span {number}" for number in range(20)]
    make(one, *wanted, size=1_000)
    make(one, "huge", size=20_000)
    make(one, "last")
    sizes = [path.stat().st_size for path in files(tmp_path)]
    assert len(sizes) > 5
    assert sorted(sizes)[-2] <= 5_000 < 20_000 < max(sizes)
    assert names(tmp_path) == [*wanted, "huge", "last"]
    one.shutdown()


def test_total_size_is_bounded(tmp_path: Path) -> None:
    """The oldest finished files go when the total would grow over max_total_bytes; the newest spans stay."""
    exporter = rotating_files(tmp_path, max_bytes=5_000, max_total_bytes=20_000)
    one = provider(exporter)
    largest = 0
    for number in range(100):
        make(one, f"span {number}", size=1_000)
        largest = max(largest, sum(path.stat().st_size for path in files(tmp_path)))
    assert 15_000 < largest <= 20_000
    kept = names(tmp_path)
    assert kept == [f"span {number}" for number in range(100 - len(kept), 100)]
    one.shutdown()


def test_old_files_are_cleaned(tmp_path: Path) -> None:
    """Finished files of ours go max_age seconds after their last write; other files are never touched."""
    aged, fresh = finished(tmp_path, 1), finished(tmp_path, 2)
    old(aged, 120)
    old(fresh, 30)
    other = tmp_path / "other.jsonl"
    other.write_text("mine")
    old(other, 10_000)
    one = provider(rotating_files(tmp_path, max_age=60))
    make(one, "span")
    assert not aged.exists()
    assert fresh.exists()
    assert other.exists()
    one.shutdown()


HOLD = """
import sys, time
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from livekit_otel.exporters.files import rotating_files
exporter = rotating_files(sys.argv[1])
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
provider.get_tracer("test").start_span("theirs").end()
print(exporter.path, flush=True)
sys.stdin.read()
"""


def test_files_of_live_processes_are_kept(tmp_path: Path) -> None:
    """However old and large, a file that another live process writes to stays; killed, it is like any other."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    theirs = Path(process.stdout.readline().strip())
    old(theirs, 10_000)
    one = provider(rotating_files(tmp_path, max_bytes=500, max_age=60, max_total_bytes=500))
    make(one, "a", "b", "c", size=500)
    assert theirs.exists()
    process.kill()
    process.communicate()
    make(one, "d", size=500)
    assert not theirs.exists()
    one.shutdown()


def test_many_processes_share_a_directory(tmp_path: Path) -> None:
    """Processes that start together write a file each, and all their spans are there."""
    processes = [
        subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in processes:
        process.communicate()
    assert len(files(tmp_path)) == 4
    assert names(tmp_path) == ["theirs"] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_writes_its_own_file(tmp_path: Path) -> None:
    """After a fork, also amid an export, parent and child each have a file, and nothing is written twice."""
    exporter = rotating_files(tmp_path)
    one = provider(exporter)
    make(one, "before")
    with exporter._lock:
        pid = os.fork()
        if not pid:
            try:
                make(one, "child", "child")
                os._exit(0 if exporter.path is not None and str(os.getpid()) in exporter.path.name else 3)
            finally:
                os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    make(one, "after")
    assert [names(path) for path in files(tmp_path)] == [["before", "after"], ["child", "child"]]
    one.shutdown()


def test_a_removed_file_and_directory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When the directory is removed under it, the exporter begins again, says so once, and loses nothing more."""
    directory = tmp_path / "spans"
    one = provider(rotating_files(directory))
    make(one, "first")
    for number in range(3):
        (path,) = files(directory)
        path.unlink()
        directory.rmdir()
        make(one, f"again {number}")
    assert names(directory) == ["again 2"]
    assert [record.getMessage().split("was ")[-1] for record in caplog.records] == [
        ["removed while it ", "in use; writing continues in a new file"][-1]
    ]
    one.shutdown()


def test_a_directory_that_cannot_be_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a directory spans are counted as failed and the reason is logged once; later it works."""
    parent = tmp_path / "parent"
    parent.write_text("a file")
    exporter = rotating_files(parent / "spans")
    one = provider(exporter)
    make(one, "a", "b", "c")
    assert (exporter.failures, exporter.failed_spans) == (3, 3)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(parent / "spans") in caplog.records[0].getMessage()
    parent.unlink()
    exporter._not_before = 0.0
    make(one, "d")
    assert names(parent / "spans") == ["d"]
    one.shutdown()
    assert caplog.records[-1].getMessage().startswith("livekit_otel: 3 spans could not be written")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk costs the spans of that time: one log line, a count, no exception, and no broken line in a file."""
    exporter = rotating_files(tmp_path)
    one = provider(exporter)
    make(one, "before")
    real = os.write

    def half(fd: int, data: bytes) -> int:
        if len(data) > 20:
            return real(fd, data[:20])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("livekit_otel.exporters.file_sink.os.write", half)
        make(one, "lost", "lost", "lost")
    exporter._not_before = 0.0
    make(one, "after")
    assert names(tmp_path) == ["before", "after"]
    assert (exporter.failures, exporter.failed_spans) == (3, 3)
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == [
        "No space left on device; they are counted as failed"
    ]
    one.shutdown()


def test_really_full(tmp_path: Path) -> None:
    """On a file size limit of the system, a real failing write, the exporter goes on as on a full disk."""
    script = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from livekit_otel.exporters.files import rotating_files
exporter = rotating_files({str(tmp_path)!r})
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
for number in range(40):
    exporter._not_before = 0.0
    provider.get_tracer("test").start_span(str(number)).end()
print(exporter.failed_spans)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    failed = int(run.stdout)
    assert 0 < failed < 20
    assert len(names(tmp_path)) == 40 - failed
    assert run.stderr.count("spans cannot be written") == 1
    assert "Traceback" not in run.stderr


class _Never(SpanExporter):
    """A network exporter whose endpoint hangs."""

    def __init__(self) -> None:
        self.release = threading.Event()

    def export(self, spans: Any) -> SpanExportResult:
        self.release.wait()
        return SpanExportResult.FAILURE


def test_beside_a_network_exporter_that_hangs(tmp_path: Path) -> None:
    """Each exporter has its own processor: the file has every span while the network one is stuck."""
    never, one = _Never(), TracerProvider()
    one.add_span_processor(BatchSpanProcessor(never, max_queue_size=16, max_export_batch_size=16))
    one.add_span_processor(BatchSpanProcessor(rotating_files(tmp_path), schedule_delay_millis=50))
    make(one, *(str(number) for number in range(100)))
    deadline = time.monotonic() + 10
    while not files(tmp_path) or len(names(tmp_path)) < 100:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    never.release.set()
    one.shutdown()


KILLED = """
import sys
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from livekit_otel.exporters.files import rotating_files
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(rotating_files(sys.argv[1], max_bytes=20_000)))
number = 0
while True:
    provider.get_tracer("test").start_span(str(number)).end()
    print(number, flush=True)
    number += 1
"""


def test_killed_process(tmp_path: Path) -> None:
    """Every export that returned before a SIGKILL is whole on disk."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(200):
        process.stdout.readline()
    process.kill()
    said, _ = process.communicate()
    last = int(said.split()[-1]) if said.split() else 199
    assert len(files(tmp_path)) > 1
    stored = names(tmp_path)
    assert stored == [str(number) for number in range(len(stored))]
    assert len(stored) - 1 in (last, last + 1)


def test_after_shutdown(tmp_path: Path) -> None:
    """What is exported after shutdown is refused and counted, without a new file."""
    exporter = rotating_files(tmp_path)
    exporter.shutdown()
    make(provider(exporter), "late")
    assert exporter.failed_spans == 1
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_bytes": 0}, "max_bytes must be a positive whole number, not 0"),
        ({"max_bytes": 1.5}, "max_bytes must be a positive whole number, not 1.5"),
        ({"max_bytes": True}, "max_bytes must be a positive whole number, not True"),
        ({"max_age": -1}, "max_age must be a positive number, not -1"),
        ({"max_age": "1d"}, "max_age must be a positive number, not '1d'"),
        ({"max_age": float("nan")}, "max_age must be a positive number, not nan"),
        ({"max_bytes": 10, "max_total_bytes": 5}, "max_total_bytes (5) must be at least max_bytes (10)"),
        ({"directory": ""}, "directory must be a path, not ''"),
        ({"directory": 5}, "directory must be a path, not 5"),
        ({"directory": __file__}, f"directory {__file__!r} is a file; give a directory"),
    ],
)
def test_options_that_cannot_work(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    """A wrong option is named at once."""
    arguments = {"directory": tmp_path, **options}
    with pytest.raises(OptionError) as caught:
        rotating_files(arguments.pop("directory"), **arguments)
    assert str(caught.value) == told


def test_no_limits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """None keeps files of any age and any number."""
    kept = [finished(tmp_path, number) for number in range(3)]
    old(kept[0], 10**9)
    with caplog.at_level(logging.WARNING):
        exporter: RotatingFileExporter = rotating_files(tmp_path, max_age=None, max_total_bytes=None)
        make(provider(exporter), "span")
    assert all(path.exists() for path in kept)
    assert not caplog.records
