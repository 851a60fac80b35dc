"""The command that installs this copy of livekit_otel, for messages about missing packages.

The name ``livekit-otel`` is not registered on PyPI yet; a hint with only this name would install the package of anyone
who registers it. Hints therefore repeat the origin that the installer recorded (``direct_url.json``, PEP 610).
"""

from __future__ import annotations

import json
import shlex
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

__all__ = ["install_hint"]

_NAME = "livekit-otel"


def install_hint(extra: str = "") -> str:
    """The command that installs this copy with ``extra``, or a sentence if its origin is unknown.

    Never contains credentials from the URL that it was installed from.
    """
    try:
        command = _command(extra)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        command = ""
    if command:
        return command
    what = f"{_NAME} with its extra {extra!r}" if extra else _NAME
    return f"install {what} again from the place that this copy was installed from"


def _command(extra: str) -> str:
    """An empty string if the origin is unknown, no longer exists, or cannot be shown."""
    try:
        found = metadata.distribution(_NAME)
    except metadata.PackageNotFoundError:
        # running from a checkout
        folder = Path(__file__).resolve().parent.parent
        return _pip("", "-e", f"{folder}{_extras(extra)}") if (folder / "pyproject.toml").is_file() else ""
    text = found.read_text("direct_url.json")
    if not text:
        return ""
    installer = (found.read_text("INSTALLER") or "").strip()
    return _from(json.loads(text), extra, installer)


def _from(origin: dict[str, Any], extra: str, installer: str) -> str:
    url = str(origin["url"])
    if url.startswith("file:") and "vcs_info" not in origin:
        path = Path(url2pathname(urlsplit(url).path), str(origin.get("subdirectory") or ""))
        editable = ("-e",) if origin.get("dir_info", {}).get("editable") else ()
        return _pip(installer, *editable, f"{path}{_extras(extra)}") if path.exists() else ""
    shown = _without_credentials(url)
    if not shown:
        return ""
    vcs = origin.get("vcs_info")
    if vcs:
        shown = f"{vcs['vcs']}+{shown}@{vcs['commit_id']}"
    if origin.get("subdirectory"):
        shown += f"#subdirectory={origin['subdirectory']}"
    return _pip(installer, f"{_NAME}{_extras(extra)} @ {shown}")


def _pip(installer: str, *arguments: str) -> str:
    return " ".join(["uv pip" if installer == "uv" else "pip", "install", *map(shlex.quote, arguments)])


def _extras(extra: str) -> str:
    return f"[{extra}]" if extra else ""


def _without_credentials(url: str) -> str:
    """The URL without its user; an empty string if another part may be secret, or if it is not a URL."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    if not parts.scheme or parts.query or "@" in parts.path or (not host and parts.scheme != "file"):
        return ""
    # the only user name that is not a credential
    keep = "git@" if user == "git" and parts.scheme == "ssh" else ""
    return urlunsplit((parts.scheme, keep + host, parts.path, "", ""))
