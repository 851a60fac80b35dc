"""Runs a replay: reads files into batches, sends them to the endpoint, and records the positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ..errors import EndpointError, SourceError
from ..otlp import protobuf
from ..otlp.documents import NotATrace
from ..otlp.find import find
from ..transport.address import local_path, scheme_of
from ..transport.credentials import shown
from ..transport.otlp_endpoint import Accepted, Endpoint, Rejected
from .reading import Reading, Step
from .state import Position, State, default_path
from .stored import StoredFile

__all__ = ["Replay", "Summary"]

_MAX_BYTES = 4 << 20
#: After this many consecutive rejections the cause is the endpoint, not the spans.
_REJECTED_IN_A_ROW = 20


@dataclass
class Summary:
    """The result of a replay.

    Attributes:
        spans: spans acknowledged by the endpoint (in a dry run: spans that would be sent).
        requests: acknowledged requests.
        rejected: spans that the endpoint rejected.
        damaged: lines, spans and links that could not be read.
        files: files with spans; ``finished`` of them had no new spans.
    """

    spans: int = 0
    requests: int = 0
    rejected: int = 0
    damaged: int = 0
    files: int = 0
    finished: int = 0


class Replay:
    """Sends the spans of a source to an endpoint.

    Args:
        source: a file of OTLP JSON, plain or gzip, or a directory of them.
        url: the endpoint, from :func:`~livekit_otel.transport.address.traces_url`; positions are kept per endpoint.
        state: the file that stores positions; None for a file beside the source.
        batch: maximum number of spans in a request.
        on_note: called with the level (``warning`` or ``note``) and a message about skipped data.
        on_advance: called with the number of bytes of the source processed since the last call.

    Raises:
        SourceError: the source does not exist.
    """

    def __init__(
        self,
        source: str,
        url: str,
        *,
        state: Path | None = None,
        batch: int = 512,
        on_note: Callable[[str, str], None] = lambda level, text: None,
        on_advance: Callable[[int], None] = lambda size: None,
    ) -> None:
        if source == "-":
            raise SourceError("-: standard input cannot be replayed: a replay must be able to resume; give a file")
        if scheme_of(source) not in ("", "file"):
            hint = "give the file or the directory that an exporter wrote"
            raise SourceError(f"{shown(source)}: a replay reads files, not servers; {hint}")
        path = local_path(source)
        found = find(path, shown(source))
        self.source, self.summary, self.bytes_total = source, Summary(), found.size or 0
        self._directory, self._skipped = found.directory, found.skipped
        self._paths = [path for path in found.paths if path is not None]
        self._root = (path if path and self._directory else self._paths[0].parent).resolve()
        self._url, self._batch = url, batch
        self.state_path = state or default_path(self._root, url)
        self._note, self._advance = on_note, on_advance
        self._parts: list[protobuf.Part] = []
        self._pending: dict[str, Position] = {}
        self._bytes = self._waiting = self._rejected_in_a_row = 0
        self._last_rejection, self._ever_accepted = "", False

    def run(self, endpoint: Endpoint | None) -> Summary:
        """Send all spans that are not acknowledged yet; without an endpoint, only count them.

        Raises:
            SourceError: the source contains no trace.
            EndpointError: the endpoint rejects everything or stays unavailable. Acknowledged spans are recorded.
            LiveKitOtelError, OptionError: the positions cannot be stored.
        """
        self._endpoint = endpoint
        self._state = State(self.state_path, self._url, shown(self._url), read_only=endpoint is None)
        try:
            self._ever_accepted = bool(self._state.positions)
            self._paths = [path for path in self._paths if path.resolve() != self.state_path.resolve()]
            self._remember_moved()
            for path, reason in self._skipped:
                self._note("note", f"{path}: {reason}")
            traces = sum([self._file_or_note(path) for path in self._paths])
            if not traces:
                count = len(self._paths) + len(self._skipped)
                raise SourceError(f"{self.source}: none of the {count} files in the directory is a trace")
            self._flush()
        finally:
            self._state.close()
        return self.summary

    def _file_or_note(self, path: Path) -> bool:
        try:
            self._file(path)
        except (SourceError, NotATrace) as error:
            reason = str(error).removeprefix(f"{path}: ")
            if not self._directory:
                raise SourceError(f"{path}: {reason}") from None
            self._note("note" if isinstance(error, NotATrace) else "warning", f"{path}: skipped: {reason}")
            return False
        return True

    def _remember_moved(self) -> None:
        """Record the positions of renamed files first: after a rotation the old name belongs to a new file."""
        if self._endpoint is None or not self._state.positions:
            return
        moved: dict[str, Position] = {}
        for path in self._paths:
            try:
                file = self._open(path)
            except SourceError:
                continue
            position, renamed = self._start(file)
            file.close()
            if renamed:
                moved[file.name] = position
        self._state.record(moved)

    def _open(self, path: Path) -> StoredFile:
        resolved = path.resolve()
        inside = resolved.is_relative_to(self._root)
        return StoredFile(path, resolved.relative_to(self._root).as_posix() if inside else str(resolved))

    def _file(self, path: Path) -> None:
        file = self._open(path)
        try:
            position, _ = self._start(file)
            if position.stat == file.stat_key():
                self.summary.files += 1
                self.summary.finished += 1
                self._advance(file.size)
                return
            if position == Position() and file.name in self._state.positions:
                self._note("note", f"{path}: the file was replaced since the last replay; all of it is sent")
            done = 0
            for step in Reading(file, position, self._batch, self._count_note).steps():
                self._add(step, file)
                before, done = done, file.lines.stored_position()
                self._advance(done - before)
            self.summary.files += 1
        except NotATrace:
            self._pending.pop(file.name, None)
            raise
        finally:
            file.close()

    def _start(self, file: StoredFile) -> tuple[Position, bool]:
        """The position to resume at, and whether it was recorded under another name (renamed or compressed file)."""
        own = self._state.positions.get(file.name)
        if own is not None and (own.stat == file.stat_key() or file.holds(own)):
            return own, False
        for position in sorted(self._state.positions.values(), key=lambda one: -one.offset):
            if position.offset and file.holds(position):
                return msgspec.structs.replace(position, stat=""), True
        return Position(), False

    def _add(self, step: Step, file: StoredFile) -> None:
        part = step.part
        if part is not None:
            for problem in part.problems:
                self._count_note("warning", f"{part.where}: {problem}")
        if part is not None and (spans := part.spans):
            if self._parts and (self._waiting + spans > self._batch or self._bytes + step.size > _MAX_BYTES):
                self._flush()
            self._parts.append(part)
            self._waiting += spans
            self._bytes += step.size
        self._pending[file.name] = step.position

    def _count_note(self, level: str, text: str) -> None:
        self.summary.damaged += level == "warning"
        self._note(level, text)

    def _flush(self) -> None:
        parts, self._parts, self._bytes, self._waiting = self._parts, [], 0, 0
        if self._endpoint is None:
            self.summary.spans += sum(part.spans for part in parts)
            return
        if parts:
            before = self._ever_accepted
            self._send(parts)
            if not before and not self._ever_accepted:
                raise EndpointError(f"{self._endpoint.name}: {self._last_rejection}; it has not accepted any span")
        self._state.record(self._pending)
        self._pending = {}

    def _send(self, parts: list[protobuf.Part]) -> None:
        """Send the parts. If a request is rejected, halve it until each rejected span is in a request of its own."""
        assert self._endpoint is not None
        spans = sum(part.spans for part in parts)
        try:
            answer = self._endpoint.send(protobuf.encode([part.message for part in parts], self._endpoint.encoding))
        except Rejected as rejected:
            pieces = parts if len(parts) > 1 else protobuf.one_by_one(parts[0])
            if len(pieces) == 1:
                self._reject(pieces[0], str(rejected))
                return
            half = len(pieces) // 2
            self._send(pieces[:half])
            self._send(pieces[half:])
        else:
            self._count(answer, spans, parts[0])

    def _count(self, answer: Accepted, spans: int, first: protobuf.Part) -> None:
        rejected = min(answer.rejected, spans)
        self.summary.requests += 1
        self.summary.spans += spans - rejected
        self.summary.rejected += rejected
        self._ever_accepted = True
        self._rejected_in_a_row = 0
        if rejected:
            self._note("warning", f"{first.where} and after: {rejected} spans were rejected: {answer.message}")
        elif answer.message:
            self._note("note", f"message from the endpoint: {answer.message}")

    def _reject(self, part: protobuf.Part, reason: str) -> None:
        self._last_rejection = reason
        self._rejected_in_a_row += 1
        if self._rejected_in_a_row >= _REJECTED_IN_A_ROW:
            assert self._endpoint is not None
            raise EndpointError(f"{self._endpoint.name}: {reason}; {self._rejected_in_a_row} spans rejected in a row")
        self.summary.rejected += 1
        self._note("warning", f"{part.where}: span {part.mark} was rejected: {reason}")
