"""The server and the workers of the room tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.backends.fixtures import need

from .server import LiveKitServer
from .worker import Worker


@pytest.fixture(scope="session")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    """LiveKit's server, for all tests that leave it alone."""
    need("livekit")
    with LiveKitServer(tmp_path_factory.mktemp("livekit")) as server:
        yield server


@pytest.fixture
def worker(livekit: LiveKitServer, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts a worker: ``worker("spawn", ROOMS_NATIVE="0")``; it ends with the test."""
    with ExitStack() as stack:

        def start(executor: str = "forkserver", server: LiveKitServer | None = None, **options: str) -> Worker:
            return stack.enter_context(Worker(server or livekit, tmp_path / executor, executor, **options))

        yield start
