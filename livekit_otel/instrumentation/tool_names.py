"""The names of registered tools: any other name was made up by a model, and is content."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..containment import contained

if TYPE_CHECKING:
    from livekit.agents import Agent, AgentSession

_MAX_NAMES = 4_096


class ToolNames:
    """Names of the tools that a session's agents have or had. Call it with a name to check whether it is known."""

    def __init__(self, session: AgentSession[Any], agent: Agent | None) -> None:
        self._session = weakref.ref(session)
        self._names: OrderedDict[str, None] = OrderedDict()
        self._collect_from(session, agent)

    def __call__(self, name: str) -> bool:
        if name not in self._names:
            # agents may change their tools during a session
            self.learn()
        return name in self._names

    def add(self, name: str) -> None:
        """Add a running tool's name: it is registered, wherever that happened (an MCP server, for one reply only)."""
        self._names[name] = None
        while len(self._names) > _MAX_NAMES:
            self._names.popitem(last=False)

    def learn(self) -> None:
        """Add the names of the tools that the session and the active agent have now."""
        session = self._session()
        if session is not None:
            self._collect_from(session, getattr(session, "_agent", None))

    def _collect_from(self, *owners: Any) -> None:
        for owner in owners:
            with contained("tool_names"):
                self._collect(getattr(owner, "tools", None) or ())

    def _collect(self, tools: Iterable[Any]) -> None:
        for tool in tools:
            if name := getattr(getattr(tool, "info", None), "name", None):
                self.add(str(name))
            # a toolset has tools of its own
            inner = getattr(tool, "tools", None)
            if isinstance(inner, list | tuple):
                self._collect(inner)
