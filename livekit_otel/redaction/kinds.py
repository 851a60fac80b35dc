"""The kinds of content: what ``redact(text, kind)`` is called with. docs/privacy.md lists them."""

from __future__ import annotations

__all__ = [
    "AGENT",
    "ATTRIBUTE",
    "ERROR",
    "INSTRUCTIONS",
    "KINDS",
    "OTHER",
    "TOOL_ARGUMENTS",
    "TOOL_RESULT",
    "USER",
    "of_role",
]

#: what the user said or wrote
USER = "user"
#: what the agent said, or a model answered
AGENT = "agent"
#: instructions of agents and replies, system and developer messages
INSTRUCTIONS = "instructions"
#: arguments of a tool call
TOOL_ARGUMENTS = "tool_arguments"
#: what a tool returned, its progress updates and errors included
TOOL_RESULT = "tool_result"
#: messages of exceptions
ERROR = "error"
#: values of ``metadata`` and ``session_attributes`` under content keys
ATTRIBUTE = "attribute"
#: names of rooms and people, job tags, names of tools that a model made up, ``extra``, fields of newer LiveKits
OTHER = "other"

KINDS = (USER, AGENT, INSTRUCTIONS, TOOL_ARGUMENTS, TOOL_RESULT, ERROR, ATTRIBUTE, OTHER)

_ROLES = {"user": USER, "assistant": AGENT, "system": INSTRUCTIONS, "developer": INSTRUCTIONS}


def of_role(role: object) -> str:
    """The kind of a message's words."""
    return _ROLES.get(role, OTHER) if isinstance(role, str) else OTHER
