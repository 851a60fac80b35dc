"""ClickHouse's engine, embedded, behind as much of its HTTP interface as the collector's exporter and readers use.

``serve.py PORT FOLDER`` listens on loopback; tables and the query log are in ``FOLDER``. Queries come as ``query=`` or
as the body, parameters as ``param_name=``, and answers are sent in pieces while the engine makes them. Rows of an
``INSERT`` are the body, in the format Native. Not there: sessions, settings, compression, and users: where
``CLICKHOUSE_PASSWORD`` is set, each request needs it, whatever the user.
"""

from __future__ import annotations

import base64
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from chdb.session import Session  # type: ignore[import-not-found]

CONFIG = """<clickhouse>
<query_log><database>system</database><table>query_log</table></query_log><log_queries>1</log_queries>
</clickhouse>"""
#: clickhouse-go's first query. Answered with revision 0, it reads and writes plain blocks, as files of Native have.
HELLO = "SELECT displayName(), version(), revision(), timezone()"
INSERT = re.compile(r"(INSERT\s+INTO\s.+?)(?:\s+FORMAT\s+Native|\s+VALUES\b.*)\s*;?\s*", re.IGNORECASE | re.DOTALL)
STATUS = {47: 404, 60: 404, 62: 400, 81: 404, 457: 400, 497: 403, 516: 403}


class Engine:
    """One session of the engine, which takes one query at a time."""

    def __init__(self, folder: Path) -> None:
        config = folder / "config.xml"
        config.write_text(CONFIG)
        self._session = Session(f"{folder}/data?config-file={config}")
        self._lock = threading.Lock()

    def answer(self, sql: str, format: str, parameters: dict[str, str]) -> Iterator[bytes]:
        """The pieces of an answer. RuntimeError (of the engine) where the query fails."""
        with self._lock:
            if not re.match(r"\s*(SELECT|WITH)\b", sql, re.IGNORECASE):
                yield self._session.query(sql, format, params=parameters).bytes()
                return
            for piece in self._session.send_query(sql, format, params=parameters):
                yield piece.bytes()

    def insert(self, into: str, rows: bytes) -> None:
        """Rows in the format Native."""
        with tempfile.NamedTemporaryFile(suffix=".native") as file, self._lock:
            file.write(rows)
            file.flush()
            self._session.query(f"{into} SELECT * FROM file('{file.name}', Native)")


def hello() -> bytes:
    """The answer to the first query, as a block of the revision that clickhouse-go expects before it knows better."""

    def text(value: str) -> bytes:
        return bytes([len(value)]) + value.encode()

    columns = [("displayName()", "String", text("test")), ("version()", "String", text("26.9.2.1"))]
    columns += [("revision()", "UInt32", bytes(4)), ("timezone()", "String", text("UTC"))]
    info = b"\x01\x00\x02\xff\xff\xff\xff\x00"
    shape = bytes([len(columns), 1])
    return info + shape + b"".join(text(name) + text(kind) + b"\x00" + value for name, kind, value in columns)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    engine: Engine
    protocol_version = "HTTP/1.1"
    # small pieces must not wait for each other
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self._body())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _serve(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.path == "/ping":
            self._send(200, [b"Ok.\n"])
        elif not self._allowed():
            self._fail("Code: 516. DB::Exception: default: Authentication failed: password is incorrect")
        else:
            self._run(given, body)

    def _allowed(self) -> bool:
        password = os.environ.get("CLICKHOUSE_PASSWORD")
        sent = self.headers.get("X-ClickHouse-Key") or self.headers.get("Authorization", "").partition(" ")[2]
        return not password or password in (sent, base64.b64decode(sent + "==").decode().partition(":")[2])

    def _run(self, given: dict[str, str], body: bytes) -> None:
        parameters = {name[6:]: value for name, value in given.items() if name.startswith("param_")}
        try:
            query = given.get("query", "")
            if insert := INSERT.fullmatch(query):
                self.engine.insert(insert[1], body)
                self._send(200, [])
                return
            sql = query + body.decode()
            if sql == HELLO:
                self._send(200, [hello()])
                return
            pieces = self.engine.answer(sql, given.get("default_format", "TabSeparated"), parameters)
            first = next(pieces, b"")
            self._send(200, [first], pieces)
        except RuntimeError as error:
            self._fail(str(error).removeprefix("Streaming query failed: "))

    def _fail(self, message: str) -> None:
        code = re.search(r"Code: (\d+)", message)
        number = int(code[1]) if code else 1000
        self._send(STATUS.get(number, 500), [message.encode()], code=number)

    def _send(self, status: int, first: list[bytes], rest: Iterator[bytes] = iter(()), code: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=UTF-8")
        self.send_header("Transfer-Encoding", "chunked")
        if code:
            self.send_header("X-ClickHouse-Exception-Code", str(code))
        self.end_headers()
        for pieces in (first, rest):
            for piece in pieces:
                if piece:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Not every request."""


def main() -> None:
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    Handler.engine = Engine(folder)
    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        server.serve_forever()


main()
