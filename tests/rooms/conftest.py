"""The server of the room tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends.fixtures import need

from .server import LiveKitServer


@pytest.fixture(scope="session")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    """LiveKit's server, for all tests that leave it alone."""
    need("livekit")
    with LiveKitServer(tmp_path_factory.mktemp("livekit")) as server:
        yield server
