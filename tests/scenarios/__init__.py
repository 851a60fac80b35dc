"""Scripted sessions that cover what happens in a call. Importing this registers them all."""

from tests.kit.run import SCENARIOS, Scenario
from tests.scenarios import (
    ahead,
    amd,
    attribution,
    failures,
    few_words,
    interruptions,
    nodes,
    plain,
    realtime,
    tasks,
    text,
    tools,
    turns,
    waits,
)

__all__ = [
    "SCENARIOS",
    "Scenario",
    "ahead",
    "amd",
    "attribution",
    "failures",
    "few_words",
    "interruptions",
    "nodes",
    "plain",
    "realtime",
    "tasks",
    "text",
    "tools",
    "turns",
    "waits",
]
