"""A certificate for the loopback interface, which clients of this process trust."""

from __future__ import annotations

import os
import ssl
import tempfile
from functools import cache

import trustme


@cache
def server_context() -> ssl.SSLContext:
    """For a server; from now on ``SSL_CERT_FILE`` names the authority that signed its certificate."""
    authority = trustme.CA()
    with tempfile.NamedTemporaryFile("wb", suffix=".pem", delete=False) as file:
        file.write(authority.cert_pem.bytes())
    os.environ["SSL_CERT_FILE"] = file.name
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context
