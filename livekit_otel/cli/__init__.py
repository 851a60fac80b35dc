"""The command line, ``livekit-otel``. Each command is a module with ``register(app)``; see ``commands.COMMANDS``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from .. import __version__
from .._display import mistake
from .._install_hint import install_hint
from ..errors import LiveKitOtelError
from ..transport.credentials import without_arguments
from .commands import extra_for, short_help
from .output import inert_logs, say, write

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Return the exit code: 0, 1 for a failure (one line on stderr), 2 for wrong usage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with inert_logs():
            return _run(arguments)
    except LiveKitOtelError as error:
        return _fail(str(error), 1)
    except BrokenPipeError:
        return _read_enough()
    except SystemExit as stop:
        # typer and rich exit on their own when the reader of the output is gone
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
        return _read_enough()
    except OSError as error:
        _give_up_stdout()
        place = f"{error.filename}: " if error.filename else "writing the output failed: "
        return _fail(f"{place}{error.strerror or error}", 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except Exception as error:
        # the parser's own errors: their classes moved from click into typer, so a method identifies them
        if not hasattr(error, "format_message"):
            if type(error).__name__ == "Abort":
                return _fail("interrupted", 130)
            return _fail(without_arguments(mistake(error), arguments), 1)
        command = getattr(getattr(error, "ctx", None), "command_path", "livekit-otel")
        message = without_arguments(error.format_message(), arguments)
        return _fail(f"{message} (see `{command} --help`)", getattr(error, "exit_code", 2))


def _run(arguments: list[str]) -> int:
    try:
        from .app import app
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("typer", "rich", "click"):
            raise
        hint = install_hint(extra_for(arguments))
        return _without_extra(arguments, f"needs {missing}, which is not installed: {hint}")
    code = app(args=arguments, prog_name="livekit-otel", standalone_mode=False)
    if sys.stdout is not None:
        sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _without_extra(arguments: list[str], needed: str) -> int:
    """Answer without the packages of the extra, as far as that is possible."""
    if arguments[:1] == ["--version"]:
        write(f"{__version__}\n")
        return 0
    if not arguments or {"-h", "--help"} & set(arguments):
        write(short_help(f"Every command {needed}"))
        return 0 if arguments else 2
    return _fail(f"the command line {needed}", 1)


def _read_enough() -> int:
    """Exit with 0: the reader of the output closed it."""
    _give_up_stdout()
    return 0


def _give_up_stdout() -> None:
    """Keep the interpreter from flushing into a closed pipe, or onto a full disk, again."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int) -> int:
    say(f"livekit-otel: {message}")
    return code
