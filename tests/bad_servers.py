"""Servers on 127.0.0.1 that do not work: they never answer, or hang up; and an address where none is."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def _server(take: Callable[[socket.socket], None]) -> Iterator[str]:
    server = socket.create_server(("127.0.0.1", 0), backlog=128)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                take(server.accept()[0])

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        # close() alone would leave accept() waiting
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


@contextlib.contextmanager
def hung_server() -> Iterator[str]:
    """The address of a server that accepts, reads, and never answers."""
    held: list[socket.socket] = []
    try:
        with _server(held.append) as address:
            yield address
    finally:
        for one in held:
            one.close()


def hanging_up_server() -> contextlib.AbstractContextManager[str]:
    """The address of a server that accepts and hangs up, as one for gRPC does when it is asked over HTTP."""
    return _server(socket.socket.close)


def refusing_address() -> str:
    """An address that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"
