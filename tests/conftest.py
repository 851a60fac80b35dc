"""Installs the virtual clock before anything captures the real one."""

from __future__ import annotations

from tests.kit import clock

clock.install()
