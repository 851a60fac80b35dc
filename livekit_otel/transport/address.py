"""Addresses of OTLP endpoints and servers, HTTP headers, TLS certificates."""

from __future__ import annotations

import base64
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from ..errors import OptionError, SourceError
from .credentials import is_ambiguous, shown

__all__ = [
    "ENCODE",
    "Tls",
    "check_url",
    "environment_headers",
    "local_path",
    "parse_header",
    "scheme_of",
    "tls_of_exporters",
    "traces_url",
    "without_credentials",
]

ENCODE = "percent-encode / ? # and @ in user and password, as %2F %3F %23 and %40"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


def scheme_of(source: str) -> str:
    """The scheme of a source that is a URL, in lower case; an empty string for a path."""
    url = _URL.match(source)
    return url[1].lower() if url else ""


def local_path(source: str) -> Path | None:
    """The path of a source that is a path or a ``file://`` URL; None for standard input (``-``)."""
    if source == "-":
        return None
    try:
        return Path(unquote(urlsplit(source).path) if scheme_of(source) == "file" else source)
    except ValueError:
        raise SourceError(f"{shown(source)}: not a valid address; give a path") from None


def check_url(url: str) -> str:
    """Return the URL, or raise :class:`OptionError`."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if is_ambiguous(url):
        raise OptionError(f"{shown(url)!r} is not an OTLP/HTTP address; {ENCODE}")
    if not valid or any(character <= " " or character > "~" for character in url):
        raise OptionError(f"{shown(url)!r} is not an OTLP/HTTP address; it looks like http://host:4318")
    return url


def traces_url(url: str) -> str:
    """The address for traces; the endpoint may be given with or without ``/v1/traces``."""
    parts = urlsplit(check_url(url))
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith("/v1/traces") else path + "/v1/traces", fragment=""))


def parse_header(text: str) -> tuple[str, str]:
    """Parse ``name=value`` from the command line."""
    name, separator, value = text.partition("=")
    return _checked_header(name, value if separator else None, "a header")


def environment_headers(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The headers from the OTLP environment variables, parsed as the SDK's exporters parse them.

    Raises:
        OptionError: a part is not of the form ``name=value``; the message does not repeat the value.
    """
    name = "OTEL_EXPORTER_OTLP_TRACES_HEADERS"
    text = environment.get(name)
    if text is None:
        name = "OTEL_EXPORTER_OTLP_HEADERS"
        text = environment.get(name, "")
    found: dict[str, str] = {}
    for number, pair in enumerate(text.split(","), 1):
        if pair.strip():
            key, separator, value = pair.partition("=")
            decoded = unquote(value) if separator else None
            key, value = _checked_header(unquote(key), decoded, f"part {number} of {name}")
            found[key] = value
    return found


def _checked_header(name: str, value: str | None, where: str) -> tuple[str, str]:
    name = name.strip().lower()
    if value is None or not _TOKEN.fullmatch(name):
        raise OptionError(f"{where} is not of the form name=value")
    value = value.strip()
    if any(ord(character) < 32 or ord(character) == 127 or ord(character) > 255 for character in value):
        raise OptionError(f"{where}: the value of {name} has characters that a header cannot contain")
    return name, value


def without_credentials(url: str) -> tuple[str, dict[str, str]]:
    """Split a URL into the URL without ``user:password@`` and the header with these credentials."""
    parts = urlsplit(url)
    credentials, separator, host = parts.netloc.rpartition("@")
    if not separator:
        return url, {}
    encoded = base64.b64encode(unquote(credentials).encode()).decode()
    return urlunsplit(parts._replace(netloc=host)), {"authorization": f"Basic {encoded}"}


@dataclass(frozen=True)
class Tls:
    """TLS settings: an SSL context, and the CA file if one is configured."""

    context: ssl.SSLContext
    authorities: str | None


def tls_of_exporters(url: str) -> Tls | None:
    """The certificates from the environment variables of OpenTelemetry's exporters."""
    if not url.startswith("https"):
        return None
    files = {}
    for kind in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"):
        name = f"OTEL_EXPORTER_OTLP_{kind}"
        files[kind] = os.environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{kind}") or os.environ.get(name) or None
    try:
        context = ssl.create_default_context(cafile=files["CERTIFICATE"])
        if files["CLIENT_CERTIFICATE"]:
            context.load_cert_chain(files["CLIENT_CERTIFICATE"], files["CLIENT_KEY"])
    except OSError as error:
        raise OptionError(f"OTEL_EXPORTER_OTLP_CERTIFICATE or its client files cannot be used: {error}") from None
    return Tls(context, files["CERTIFICATE"])
