"""The commands, as the help lists them. Nothing here needs the packages of the extra ``cli``."""

from __future__ import annotations

__all__ = ["COMMANDS", "DESCRIPTION", "short_help"]

DESCRIPTION = "Session reports of LiveKit agents, rebuilt from OpenTelemetry traces."
#: Modules of this package, in the order of the help; each has ``register(app)``.
COMMANDS = {
    "demo": "Hold a voice call with local models, and rebuild its report from the trace file.",
    "sessions": "List the sessions of a trace.",
    "report": "Print the report of a session, rebuilt from its trace.",
    "turns": "List turns with their latencies and where the silence before each answer went.",
    "replay": "Send stored spans to an OTLP endpoint.",
    "doctor": "Say what is installed and configured, whether it works, and what to change.",
}


def short_help(note: str) -> str:
    """Help for where the packages of the extra are missing; ``note`` says what is needed."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        ["Usage: livekit-otel [--version] [--help] COMMAND ...", "", DESCRIPTION, "", "Commands:", *lines, "", note, ""]
    )
