"""Hints say how this copy was installed, and never name a package that somebody else could register."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import livekit_otel
from livekit_otel import _install_hint
from livekit_otel._install_hint import install_hint

ROOT = Path(livekit_otel.__file__).parent.parent
NEUTRAL = "install livekit-otel with its extra 'cli' again from the place that this copy was installed from"


def installed(monkeypatch: pytest.MonkeyPatch, origin: Any, installer: str = "pip") -> None:
    """As if an installer had noted ``origin``."""

    class Found:
        def read_text(self, name: str) -> str | None:
            text = origin if isinstance(origin, str) or origin is None else json.dumps(origin)
            return {"direct_url.json": text, "INSTALLER": installer + "\n"}[name]

    monkeypatch.setattr(_install_hint.metadata, "distribution", lambda name: Found())  # type: ignore[attr-defined]


GIT = {"vcs": "git", "requested_revision": "main", "commit_id": "0123abc"}


@pytest.mark.parametrize(
    ("origin", "wanted"),
    [
        ({"url": "https://host/a/b.git", "vcs_info": GIT}, ["livekit-otel[cli] @ git+https://host/a/b.git@0123abc"]),
        ({"url": "ssh://git@host/a.git", "vcs_info": GIT}, ["livekit-otel[cli] @ git+ssh://git@host/a.git@0123abc"]),
        (
            {"url": "https://host/a.git", "vcs_info": GIT, "subdirectory": "py"},
            ["livekit-otel[cli] @ git+https://host/a.git@0123abc#subdirectory=py"],
        ),
        ({"url": "https://host/x.whl", "archive_info": {}}, ["livekit-otel[cli] @ https://host/x.whl"]),
    ],
)
def test_from_a_url(origin: Any, wanted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository or an archive is named with the commit that is installed."""
    installed(monkeypatch, origin)
    assert shlex.split(install_hint("cli")) == ["pip", "install", *wanted]


def test_from_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory, editable or not, and a wheel are named by their path; one that is gone is not."""
    folder = tmp_path / "a b"
    folder.mkdir()
    installed(monkeypatch, {"url": folder.as_uri(), "dir_info": {"editable": True}})
    assert shlex.split(install_hint("cli")) == ["pip", "install", "-e", f"{folder}[cli]"]
    installed(monkeypatch, {"url": folder.as_uri(), "dir_info": {}}, "uv")
    assert shlex.split(install_hint()) == ["uv", "pip", "install", str(folder)]
    installed(monkeypatch, {"url": (tmp_path / "x.whl").as_uri(), "archive_info": {}})
    assert install_hint("cli") == NEUTRAL
    (tmp_path / "x.whl").touch()
    assert shlex.split(install_hint("cli")) == ["pip", "install", f"{tmp_path}/x.whl[cli]"]


SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{SECRET}@host/a.git", f"https://{SECRET}@host/a.git", f"https://host/a.git?token={SECRET}",
        f"https://host/a.git#{SECRET}", f"https://u:p@{SECRET}/word@host/a.git", f"ssh://git:{SECRET}@host/a.git",
        f"ssh://{SECRET}@host/a.git", f"http://u:{SECRET}/@host:80/a.git", f"https://u:{SECRET}@[::1/a.git",
        f"https:user:{SECRET}@host/a.git", f"user:{SECRET}@host:a.git", f"//{SECRET}@host/x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [{"vcs_info": GIT}, {"archive_info": {}}])
def test_no_credentials(url: str, kind: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What may be a secret in the URL of the installation is in no hint."""
    installed(monkeypatch, {"url": url, **kind})
    assert SECRET not in install_hint("cli")


@pytest.mark.parametrize(
    "origin",
    [None, "", "{", "[]", "{}", '"x"', '{"url": 7}', '{"url": "x", "vcs_info": []}', {"url": "", "dir_info": 1}],
)
def test_where_nothing_is_known(origin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a note of the installer, or with one that cannot be understood, the hint is a neutral sentence."""
    installed(monkeypatch, origin)
    assert install_hint("cli") == NEUTRAL
    assert install_hint() == "install livekit-otel again from the place that this copy was installed from"


def test_in_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run from a checkout that is not installed, the checkout is what to install."""

    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(_install_hint.metadata, "distribution", missing)  # type: ignore[attr-defined]
    expected = ["pip", "install", "-e", f"{ROOT}[html]"]
    assert shlex.split(install_hint("html")) == expected if (ROOT / "pyproject.toml").is_file() else True


def test_every_hint_goes_through_it() -> None:
    """Neither the package nor what its users read says to install a package of our name from an index."""
    read = [
        ROOT / "README.md",
        *ROOT.glob("docs/*.md"),
        *ROOT.rglob("examples/**/*.md"),
        *ROOT.rglob("examples/**/*.py"),
    ]
    read += [*ROOT.glob("collector-config/*.md"), *Path(livekit_otel.__file__).parent.rglob("*.py")]
    named = re.compile(r"(pip|uv|pipx|poetry|uvx?) [a-z ]*?(-\S+ )*['\"]?livekit[-_]otel")
    assert [path.name for path in read if path.is_file() and named.search(path.read_text(encoding="utf-8"))] == []


def test_the_base_install_answers() -> None:
    """Without the packages of the extra ``cli``, help and version are answered, with what a command would need."""
    for missing in ("typer", "rich"):
        code = f"""
            import sys
            sys.modules[{missing!r}] = None
            from livekit_otel.cli import main
            sys.exit(main(sys.argv[1:]))
        """

        def run(*arguments: str, code: str = textwrap.dedent(code)) -> tuple[int, str, str]:
            done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
            return done.returncode, done.stdout, done.stderr

        assert run("--version") == (0, f"{metadata.version('livekit-otel')}\n", "")
        for arguments in (["--help"], ["report", "--help"]):
            code_, out, err = run(*arguments)
            assert (code_, err) == (0, "")
            assert f"Every command needs {missing}, which is not installed: {install_hint('cli')}" in out
        assert run()[0] == 2
        assert run("sessions", "x")[::2] == (
            1, f"livekit-otel: the command line needs {missing}, which is not installed: {install_hint('cli')}\n",
        )  # fmt: skip


def test_the_short_help_is_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The help without the extra lists the same commands as the real one."""
    from livekit_otel.cli import main
    from livekit_otel.cli.app import app
    from livekit_otel.cli.commands import COMMANDS, short_help

    assert [command.name for command in app.registered_commands] == list(COMMANDS)
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, text in COMMANDS.items():
        assert name in shown
        assert text in short_help("")
