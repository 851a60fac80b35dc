"""Licences of what an installation brings, judged by what is in the wheels and not by their metadata alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path, PurePath

import pytest
from packaging.requirements import Requirement

from .test_dependencies import PROJECT

ROOT = Path(__file__).parent.parent
#: shared libraries in wheels -> their licence; the first name that a file's name begins with counts
LIBRARIES = {
    "libx264": "GPL", "libx265": "GPL", "libxvid": "GPL", "libespeak-ng": "GPL", "librubberband": "GPL",
    "libasound": "LGPL", "libav": "LGPL", "libswresample": "LGPL", "libswscale": "LGPL", "libpostproc": "LGPL",
    "libgmp": "LGPL", "libgnutls": "LGPL", "libhogweed": "LGPL", "libnettle": "LGPL", "libunistring": "LGPL",
    "libmp3lame": "LGPL",
    # GCC's runtime, whose exception lets anybody link it
    "libgfortran": "", "libquadmath": "", "libgcc": "", "libstdc++": "", "libgomp": "",
    "libSvtAv1": "", "libXau": "", "libdav1d": "", "libdrm": "", "libopencore": "", "libopus": "", "libsharpyuv": "",
    "libvpl": "", "libvpx": "", "libwebp": "", "libxcb": "", "libscipy_openblas": "", "liblivekit_ffi": "",
    "libvmaf": "",
}  # fmt: skip
#: what a licence's own text, or what a wheel says of it, is taken for
TEXTS = {
    "own terms": r"MODEL LICENSE AGREEMENT|LicenseRef-|\bProprietary\b",
    "AGPL": r"GNU AFFERO|\bAGPL",
    "LGPL": r"^\s*GNU (LIBRARY|LESSER) GENERAL PUBLIC LICENSE|\bLGPL",
    "GPL": r"^\s*GNU GENERAL PUBLIC LICENSE|(?<![LA])GPL-",
    "MPL": r"Mozilla Public License",
}
PERMISSIVE = re.compile(
    r"apache|\bMIT\b|\bBSD|expat|\bISC\b|\bPSF\b|python software foundation|\b0BSD|zlib|CC0|unlicense"
    r"|redistribution and use in source and binary forms|permission is hereby granted, free of charge",
    re.IGNORECASE,
)
#: What is not permissive: distribution -> licences found in it. All else is permissive, and says so.
CORE = {"certifi": {"MPL"}}
LIVEKIT = {"av": {"GPL", "LGPL"}, "livekit-local-inference": {"own terms"}, **CORE}
DEMO = {"espeakng-loader": {"GPL"}, **LIVEKIT}
REDACT = {"python-stdnum": {"LGPL"}, **CORE}
TEST = {"hypothesis": {"MPL"}, **DEMO, **REDACT}
EXPECTED: dict[str, dict[str, set[str]]] = {
    "": CORE,
    "cli": CORE,
    "html": CORE,
    "redact": REDACT,
    "instruments": LIVEKIT,
    "demo": DEMO,
    "test": TEST,
    "dev": {"pylint": {"GPL"}, "astroid": {"LGPL"}, "pathspec": {"MPL"}, **TEST},
}


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def brought(extra: str) -> frozenset[str]:
    """Names of the distributions that come with the core, or with an extra, on this machine."""
    found: set[tuple[str, str]] = set()
    waiting = [("livekit-otel", extra)]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        name, own = one
        for text in _requirements(name):
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": own}):
                waiting += [(_name(requirement.name), wanted) for wanted in ("", *requirement.extras)]
    return frozenset(name for name, _ in found) - {"livekit-otel"}


def _requirements(name: str) -> list[str]:
    if name != "livekit-otel":
        return metadata.distribution(name).requires or []
    # what the checkout says, whatever was installed of it
    extras = PROJECT["optional-dependencies"].items()
    optional = [_with_extra(text, extra) for extra, needs in extras for text in needs]
    return [*PROJECT["dependencies"], *optional]


def _with_extra(text: str, extra: str) -> str:
    need, _, marker = text.partition(";")
    return f"{need}; extra == '{extra}'" + (f" and ({marker})" if marker.strip() else "")


@cache
def judged(name: str) -> frozenset[str]:
    """The licences of a distribution that are not permissive; ``unknown`` where nothing says one."""
    distribution = metadata.distribution(name)
    fields = distribution.metadata
    says = [text for key in ("License-Expression", "License") for text in fields.get_all(key) or ()]
    says += [text for text in fields.get_all("Classifier") or () if text.startswith("License")]
    texts = list(_licence_texts(distribution))
    found = {licence for licence, sign in TEXTS.items() for text in (*says, *texts) if _begins(sign, text)}
    libraries = {licence for licence in _libraries(distribution) if licence}
    if not found and not libraries and not any(PERMISSIVE.search(text) for text in (*says, *texts)):
        found.add("unknown")
    return frozenset(found | libraries)


def _begins(sign: str, text: str) -> bool:
    """A licence's text begins with its name; further down it speaks of others."""
    return re.search(sign, text[:300], re.MULTILINE) is not None


def _licence_texts(distribution: metadata.Distribution) -> Iterator[str]:
    for file in distribution.files or ():
        in_metadata = file.parts[0].endswith(".dist-info")
        if in_metadata and re.search(r"LICEN[CS]E|COPYING", file.name, re.IGNORECASE) and file.suffix != ".py":
            yield Path(str(distribution.locate_file(file))).read_text(encoding="utf-8", errors="replace")


def _libraries(distribution: metadata.Distribution) -> Iterator[str]:
    """Licences of the shared libraries that a wheel brings (not of Python's own modules)."""
    for file in distribution.files or ():
        path = PurePath(str(file))
        shared = re.search(r"\.so(\.|$)|\.dylib$|\.dll$", path.name) and ".cpython-" not in path.name
        if shared and path.name.startswith("lib"):
            known = [licence for start, licence in LIBRARIES.items() if path.name.startswith(start)]
            yield known[0] if known else f"unknown ({path.name})"
        elif "espeak-ng-data" in path.parts:
            yield "GPL"


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


@pytest.mark.parametrize("extra", EXPECTED)
def test_licences(extra: str) -> None:
    """Core and each extra bring no licence but permissive ones and those listed; core has no GPL of any kind."""
    if extra == "dev" and not _installed("ruff"):
        pytest.skip("the linters are not installed; CI runs this again where they are")
    found = {name: set(judged(name)) for name in brought(extra) if judged(name)}
    assert found == EXPECTED[extra]


def test_every_extra_is_judged() -> None:
    """An extra that is added has its row."""
    assert EXPECTED.keys() - {""} == PROJECT["optional-dependencies"].keys()


def test_contents_count_more_than_metadata() -> None:
    """PyAV says that it is BSD; the encoders in its wheel are GPL."""
    assert metadata.metadata("av")["License-Expression"] == "BSD-3-Clause"
    assert "GPL" in judged("av")


@pytest.mark.parametrize("name", ["espeakng-loader", "av", "livekit-local-inference", "certifi", "python-stdnum"])
def test_the_readme_names_them(name: str) -> None:
    """Who installs an extra reads before what licences come with it, in the README and beside the extra."""
    names = {"espeakng-loader": "eSpeak NG", "av": "PyAV", "livekit-local-inference": "LiveKit's local models"}
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Licences")[2]
    assert names.get(name, name) in readme
    extra = {"espeakng-loader": "demo", "python-stdnum": "redact"}.get(name)
    if extra is not None:
        pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        assert re.search(rf"# .*GPL.*\n(# .*\n)*{extra} = \[", pyproject)
