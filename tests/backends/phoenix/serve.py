"""Starts Phoenix on loopback alone.

Phoenix binds its gRPC port on every interface whatever ``PHOENIX_HOST`` says, so the address is replaced here, before
its server is made. Run by the Python of Phoenix's own environment.
"""

import sys

from grpc.aio import _server

_add_insecure_port = _server.Server.add_insecure_port


def _on_loopback(self: _server.Server, address: str) -> int:
    return _add_insecure_port(self, address.replace("[::]", "127.0.0.1"))


_server.Server.add_insecure_port = _on_loopback

from phoenix.server.main import main  # noqa: E402

sys.argv = ["phoenix", "serve"]
main()
