"""Durable export: OTLP JSON files in addition to a network exporter, written by OpenTelemetry's own file exporter.

Adds to that exporter: one file per process, rotation, clean-up, reopening after a fork, and no error that reaches the
caller. ``livekit-otel replay DIRECTORY --to URL`` sends the files to an endpoint.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from .._private_files import make_directory
from ..errors import OptionError
from .file_sink import FileSink, clean, file_exporter

__all__ = ["RotatingFileExporter", "rotating_files"]

logger = logging.getLogger("livekit_otel")

_MIB = 1 << 20
_DAY = 86_400.0
_CLEANING_INTERVAL = 60.0
_RETRY_INTERVAL = 1.0


def rotating_files(
    directory: str | os.PathLike[str],
    *,
    max_bytes: int = 64 * _MIB,
    max_age: float | None = 7 * _DAY,
    max_total_bytes: int | None = 1024 * _MIB,
    group_readable: bool = False,
) -> RotatingFileExporter:
    """An exporter that writes every span to files in ``directory``, as OTLP JSON lines; use it in a BatchSpanProcessor.

    A finished file survives any end of the process; a power failure may lose data that the disk had not written yet.
    The first export creates the directory (mode 0700) and the file (0600), whatever the umask, because the spans
    contain what people said. An existing directory is not changed. Errors are logged once and counted, never raised.

    Args:
        directory: the directory; processes may share it, each writes a file of its own.
        max_bytes: a new file is started before a file exceeds this size (a larger single batch makes a larger file).
        max_age: seconds after its last write until a finished file is deleted; None keeps files.
        max_total_bytes: the oldest finished files are deleted so that the files in the directory, plus another of
            ``max_bytes``, fit into this size; None for no limit. Files in use by live processes are never deleted.
        group_readable: create directories with mode 0750 and files with 0640, for a collector that runs as another
            user of the group.

    Raises:
        OptionError: an option has an invalid value.
    """
    path = Path(_directory(directory)).absolute()
    _check_number("max_bytes", max_bytes, whole=True)
    if max_age is not None:
        _check_number("max_age", max_age)
    if max_total_bytes is not None:
        _check_number("max_total_bytes", max_total_bytes, whole=True)
        if max_total_bytes < max_bytes:
            raise OptionError(f"max_total_bytes ({max_total_bytes}) must be at least max_bytes ({max_bytes})")
    if path.exists() and not path.is_dir():
        raise OptionError(f"directory {str(path)!r} is a file; give a directory")
    if not isinstance(group_readable, bool):
        raise OptionError(f"group_readable must be True or False, not {group_readable!r}")
    return RotatingFileExporter(path, max_bytes, max_age, max_total_bytes, group_readable=group_readable)


def _directory(directory: object) -> str:
    try:
        text = os.fspath(directory)  # type: ignore[call-overload]
    except TypeError:
        text = None
    if not isinstance(text, str) or not text:
        raise OptionError(f"directory must be a path, not {directory!r}")
    return text


def _check_number(name: str, value: object, *, whole: bool = False) -> None:
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value < float("inf"):
        raise OptionError(f"{name} must be a positive {'whole number' if whole else 'number'}, not {value!r}")


class RotatingFileExporter(SpanExporter):
    """The exporter that :func:`rotating_files` returns.

    Attributes:
        directory: the directory of the files.
        failed_spans: number of spans that could not be written.
        failures: number of failed exports.
    """

    def __init__(
        self,
        directory: Path,
        max_bytes: int,
        max_age: float | None,
        max_total_bytes: int | None,
        *,
        group_readable: bool = False,
    ) -> None:
        self.directory = directory
        self.failed_spans = 0
        self.failures = 0
        self._max_bytes, self._max_age, self._max_total_bytes = max_bytes, max_age, max_total_bytes
        self._group_readable = group_readable
        self._sink: FileSink | None = None
        self._inner: SpanExporter | None = None
        self._lock = threading.Lock()
        self._files = 0
        self._cleaned = 0.0
        self._not_before = 0.0
        self._shut_down = False
        self._warned: set[str] = set()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork(weakref.ref(self)))

    @property
    def path(self) -> Path | None:
        """The current file; None before the first span and after shutdown."""
        return self._sink.path if self._sink is not None else None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write one line. Returns FAILURE if it cannot be written; never raises."""
        with self._lock:
            try:
                if not self._shut_down and self._export(spans):
                    return SpanExportResult.SUCCESS
            except Exception as error:
                self._warn(error)
            self.failures += 1
            self.failed_spans += len(spans)
            return SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Does nothing, because each export is written before it returns."""
        return True

    def shutdown(self) -> None:
        """Close the file; later exports count as failed."""
        with self._lock:
            first, self._shut_down = not self._shut_down, True
            self._close()
        if first and self.failed_spans:
            logger.warning("livekit_otel: %d spans could not be written to %s", self.failed_spans, self.directory)

    def _export(self, spans: Sequence[ReadableSpan]) -> bool:
        now = time.monotonic()
        if self._sink is None and now < self._not_before:
            return False
        # if a step below fails, later batches must not each try to create a file on a full disk
        self._not_before = now + _RETRY_INTERVAL
        sink = self._current_sink()
        if now - self._cleaned > _CLEANING_INTERVAL:
            self._clean(sink)
        assert self._inner is not None
        written = self._inner.export(spans) is SpanExportResult.SUCCESS
        if sink.error is not None:
            error, sink.error = sink.error, None
            self._close()
            self._warn(error)
            return False
        self._not_before = 0.0
        return written

    def _current_sink(self) -> FileSink:
        sink = self._sink
        if sink is not None and not sink.in_place():
            self._warn_once("gone", f"{sink.path} was removed while it was in use; writing continues in a new file")
            self._close()
            sink = None
        if sink is not None and self._max_age is not None and sink.age() > self._max_age:
            self._close()
            sink = None
        if sink is None:
            sink = self._open()
            self._inner = file_exporter(sink)
        return sink

    def _open(self) -> FileSink:
        make_directory(self.directory, group_readable=self._group_readable)
        sink = FileSink(self.directory, self._files, self._max_bytes, group_readable=self._group_readable)
        self._files += 1
        sink.on_rotated = self._rotated
        self._sink = sink
        self._clean(sink)
        return sink

    def _rotated(self, sink: FileSink) -> None:
        self._files = sink.number + 1
        self._clean(sink)

    def _clean(self, sink: FileSink) -> None:
        self._cleaned = time.monotonic()
        room = None if self._max_total_bytes is None else self._max_total_bytes - self._max_bytes
        try:
            clean(self.directory, sink.path, self._max_age, room)
        except OSError as error:
            self._warn(error)

    def _close(self, *, keep_empty: bool = False) -> None:
        sink, self._sink, self._inner = self._sink, None, None
        if sink is not None:
            sink.close(keep_empty=keep_empty)

    def _warn(self, error: BaseException) -> None:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else repr(error)
        self._warn_once(reason, f"spans cannot be written to {self.directory}: {reason}; they are counted as failed")

    def _warn_once(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            logger.warning("livekit_otel: %s", message)

    def _forked(self) -> None:
        """In a child process: create a new lock and file; the parent keeps its own file."""
        self._lock = threading.Lock()
        self._files = 0
        self.failures = self.failed_spans = 0
        self._close(keep_empty=True)


def _after_fork(reference: weakref.ref[RotatingFileExporter]) -> Callable[[], None]:
    def forked() -> None:
        exporter = reference()
        if exporter is not None:
            exporter._forked()

    return forked
