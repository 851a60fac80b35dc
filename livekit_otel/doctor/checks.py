"""All checks, in the order in which they are printed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

from . import alongside, endpoints, environment, files, installed
from .model import Check, Level

__all__ = ["Check", "Level", "check_all"]


def check_all(
    *,
    to: str | None = None,
    headers: Mapping[str, str] | None = None,
    directory: str | None = None,
    send: bool = True,
    timeout: float = 10.0,
    variables: Mapping[str, str] = os.environ,
) -> Iterator[Check]:
    """Yield each check as soon as it is done.

    Args:
        to: an additional OTLP/HTTP endpoint to test; ``headers`` apply to this endpoint.
        directory: a directory for ``rotating_files``.
        send: whether to send a test span to each endpoint.
        timeout: seconds for each endpoint.
        variables: the environment variables.
    """
    areas: tuple[Callable[[], Iterator[Check]], ...] = (
        installed.packages,
        installed.instrumentation,
        alongside.check,
        lambda: environment.check(variables),
        lambda: endpoints.check(variables, to=to, headers=headers or {}, send=send, timeout=timeout),
        lambda: files.check(directory),
    )
    for area in areas:
        yield from area()
