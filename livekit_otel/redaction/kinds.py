"""The kinds of content that ``redact(text, kind)`` is called with. docs/privacy.md lists them."""

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

#: text that the user said or wrote
USER = "user"
#: text that the agent said, or a model generated
AGENT = "agent"
#: instructions of agents and replies, system and developer messages
INSTRUCTIONS = "instructions"
#: arguments of a tool call
TOOL_ARGUMENTS = "tool_arguments"
#: results of a tool, including progress updates and errors
TOOL_RESULT = "tool_result"
#: messages of exceptions
ERROR = "error"
#: values of ``metadata`` and ``session_attributes`` under content keys
ATTRIBUTE = "attribute"
#: names of rooms and people, job tags, tool names that a model made up, ``extra``, fields of newer LiveKit versions
OTHER = "other"

KINDS = (USER, AGENT, INSTRUCTIONS, TOOL_ARGUMENTS, TOOL_RESULT, ERROR, ATTRIBUTE, OTHER)

_ROLES = {"user": USER, "assistant": AGENT, "system": INSTRUCTIONS, "developer": INSTRUCTIONS}


def of_role(role: object) -> str:
    """The kind of a message's content."""
    return _ROLES.get(role, OTHER) if isinstance(role, str) else OTHER
