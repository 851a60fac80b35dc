"""The command line, ``livekit-otel``. Each command is a module with ``register(app)``; see ``app.COMMANDS``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ..errors import LiveKitOtelError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 for what failed (one line on stderr), 2 for wrong usage."""
    try:
        from .app import app
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("typer", "rich", "click"):
            raise
        return _fail(f"the command line needs {missing}, which is not installed: pip install 'livekit-otel[cli]'", 1)
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = app(args=arguments, prog_name="livekit-otel", standalone_mode=False)
        sys.stdout.flush()
    except LiveKitOtelError as error:
        return _fail(str(error), 1)
    except BrokenPipeError:
        # whoever read our output has what they wanted; the interpreter must not flush into the closed pipe again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except Exception as error:
        # the parser's own errors; their classes moved from click into typer, so they are told by what they can do
        if not hasattr(error, "format_message"):
            if type(error).__name__ == "Abort":
                return _fail("interrupted", 130)
            raise
        command = getattr(getattr(error, "ctx", None), "command_path", "livekit-otel")
        return _fail(f"{error.format_message()} (see `{command} --help`)", getattr(error, "exit_code", 2))
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    line = " ".join(message.split())
    print(f"livekit-otel: {line}", file=sys.stderr)
    return code
