"""Scripted sessions that cover what happens in a call. Importing this registers them all."""

from tests.kit.run import SCENARIOS, Scenario
from tests.scenarios import failures, interruptions, plain, realtime, text, tools, turns

__all__ = ["SCENARIOS", "Scenario", "failures", "interruptions", "plain", "realtime", "text", "tools", "turns"]
