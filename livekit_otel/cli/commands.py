"""The commands in the order of the help. This module imports without the packages of the extra ``cli``."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["COMMANDS", "DESCRIPTION", "extra_for", "short_help"]

DESCRIPTION = "Session reports of LiveKit agents, rebuilt from OpenTelemetry traces."
#: Modules of this package, each with ``register(app)``, and their descriptions.
COMMANDS = {
    "demo": "Run a voice call with local models, and rebuild its report from the trace file.",
    "sessions": "List the sessions of a trace.",
    "report": "Print the report of a session: problems, conversation and waits.",
    "turns": "List turns with their waits, the main cause of each wait, and flags.",
    "tree": "Print the spans of a session as a tree.",
    "diff": "Compare two sources of one call, say a trace and LiveKit's own report.",
    "replay": "Send stored spans to an OTLP endpoint.",
    "doctor": "Check the installation and configuration, and suggest fixes.",
}


def extra_for(arguments: Sequence[str]) -> str:
    """All extras that a command line needs, so that one hint is enough."""
    if arguments[:1] == ["demo"]:
        return "demo"
    return "cli,html" if "html" in arguments or "--format=html" in arguments or "-fhtml" in arguments else "cli"


def short_help(note: str) -> str:
    """The help when the packages of the extra are missing. ``note`` names what is needed."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    use = "Usage: livekit-otel [--version] [-h | --help] COMMAND ..."
    return "\n".join([use, "", DESCRIPTION, "", "Commands:", *lines, "", note, ""])
