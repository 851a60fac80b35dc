"""The commands, as the help lists them. Nothing here needs the packages of the extra ``cli``."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["COMMANDS", "DESCRIPTION", "extra_for", "short_help"]

DESCRIPTION = "Session reports of LiveKit agents, rebuilt from OpenTelemetry traces."
#: Modules of this package, in the order of the help; each has ``register(app)``.
COMMANDS = {
    "demo": "Hold a voice call with local models, and rebuild its report from the trace file.",
    "sessions": "List the sessions of a trace.",
    "report": "Print the report of a session: what went wrong, the conversation, its waits.",
    "turns": "List turns with their waits, what most of each was for, and flags.",
    "tree": "Print the spans of a session as a tree.",
    "diff": "Compare two sources of one call, say a trace and LiveKit's own report.",
    "replay": "Send stored spans to an OTLP endpoint.",
    "doctor": "Say what is installed and configured, whether it works, and what to change.",
}


def extra_for(arguments: Sequence[str]) -> str:
    """The extras that a command line needs in all, so that one hint is enough."""
    if arguments[:1] == ["demo"]:
        return "demo"
    return "cli,html" if "html" in arguments or "--format=html" in arguments or "-fhtml" in arguments else "cli"


def short_help(note: str) -> str:
    """Help for where the packages of the extra are missing; ``note`` says what is needed."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    use = "Usage: livekit-otel [--version] [-h | --help] COMMAND ..."
    return "\n".join([use, "", DESCRIPTION, "", "Commands:", *lines, "", note, ""])
