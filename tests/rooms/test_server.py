"""The server of these tests."""

from __future__ import annotations

import psutil
import pytest

from .server import LiveKitServer

pytestmark = pytest.mark.room


def test_it_is_on_loopback_alone(livekit: LiveKitServer) -> None:
    """Neither its API nor its media is open to anybody outside of the machine."""
    assert livekit.listening() == {"127.0.0.1"}
    sockets = psutil.Process(livekit.pid).net_connections(kind="udp")
    assert {one.laddr.ip for one in sockets} <= {"127.0.0.1"}
