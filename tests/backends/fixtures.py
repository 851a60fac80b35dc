"""Pytest fixtures that start the test backends: ``from tests.backends.fixtures import jaeger`` and use it.

``jaeger``, ``phoenix`` and ``clickhouse`` run once per test session; tests share them, so each uses trace ids, projects
and databases of its own.
``collector`` starts any number of collectors, which end with the test. Without the programs a test is skipped, saying
why; with ``CI=true`` it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from . import install
from .servers import ClickHouse, Collector, Jaeger, Phoenix, running_in_ci

S = TypeVar("S", ClickHouse, Jaeger, Phoenix)


def need(*names: str) -> None:
    """Skips the calling test, or fails it in CI, unless the programs ``names`` are ready to be started."""
    for name in names:
        reason = install.missing(name)
        if reason is not None:
            pytest.fail(reason, pytrace=False) if running_in_ci() else pytest.skip(reason)


def started(cls: type[S], factory: pytest.TempPathFactory, **env: str) -> Iterator[S]:
    """A server with nothing in it, for a fixture of any scope."""
    name = cls.__name__.lower()
    need(name)
    with cls(factory.mktemp(name), **env) as server:  # type: ignore[arg-type]
        yield server


@pytest.fixture(scope="session")
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jaeger]:
    """A Jaeger with nothing in it at the start of the session."""
    yield from started(Jaeger, tmp_path_factory)


@pytest.fixture(scope="session")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phoenix]:
    """A Phoenix with nothing in it at the start of the session."""
    yield from started(Phoenix, tmp_path_factory)


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    """ClickHouse's engine with nothing in it at the start of the session."""
    yield from started(ClickHouse, tmp_path_factory)


@pytest.fixture
def otelcol() -> Path:
    """The collector's executable."""
    need("collector")
    return install.executable("collector")


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Callable[..., Collector]]:
    """Starts a collector: ``collector("agent.yaml", name="agent", GATEWAY_ENDPOINT=...)``; several may run at once."""
    need("collector")
    with ExitStack() as stack:

        def start(*configs: str | Path, name: str = "collector", **env: str) -> Collector:
            server = Collector(*configs, folder=tmp_path / name, env=env, name=name)
            stack.enter_context(server)
            return server

        yield start
