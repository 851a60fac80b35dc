"""Sends voice calls to Langfuse in its terms: input and output text, types, levels, usage without double counting.

::

    from livekit_otel.exporters import langfuse

    provider.add_span_processor(langfuse())

The preset maps copies (see :mod:`.spans`) in the thread of the batch processor; other exporters get the original
spans. docs/langfuse.md describes the treatment of LiveKit's spans and of spans from other instrumentations.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Mapping
from typing import Literal
from urllib.parse import urlsplit

from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter

from ...errors import OptionError
from .export import LangfuseExporter
from .prices import Prices
from .processor import LangfuseBatchProcessor, LangfuseSimpleProcessor
from .spans import Settings

__all__ = ["LangfuseExporter", "langfuse"]

_CLOUD = "https://cloud.langfuse.com"
_PATH = "/api/public/otel/v1/traces"
_ENVIRONMENT = re.compile(r"[a-z0-9_-]{1,40}")


def langfuse(
    *,
    public_key: str | None = None,
    secret_key: str | None = None,
    host: str | None = None,
    environment: str | None = None,
    release: str | None = None,
    trace_name: str = "voice call",
    tags: Iterable[str] = (),
    native: Literal["drop", "keep"] = "drop",
    units: bool = False,
    foreign_usage: Literal["drop", "keep"] = "drop",
    price_buckets: Mapping[str, Iterable[str]] | None = None,
    batch: bool = True,
    timeout: float = 30.0,
) -> SpanProcessor:
    """A processor that sends spans to Langfuse (cloud or self-hosted, version 3 or 4); add it to the provider.

    Turns become agents with the user's words as input and the agent's words as output; requests to models become
    generations with usage in buckets that do not overlap. Session id, user id (``user.id``), environment, tags and
    trace name are set on every span. A session's own attributes under ``langfuse.`` take precedence.

    Args:
        public_key, secret_key: API keys of the project; default: ``LANGFUSE_PUBLIC_KEY`` and ``LANGFUSE_SECRET_KEY``.
        host: address; default: ``LANGFUSE_BASE_URL`` or ``LANGFUSE_HOST``, then Langfuse's European cloud.
        environment: 1 to 40 of ``a-z 0-9 _ -``; default: ``LANGFUSE_TRACING_ENVIRONMENT``. Without it, Langfuse uses
            ``deployment.environment.name`` of the resource, or ``default``.
        release: default: ``LANGFUSE_RELEASE``.
        trace_name: name of the traces in Langfuse.
        tags: tags for every trace; a session adds its own with the attribute ``langfuse.trace.tags``.
        native: LiveKit's own spans: ``drop`` them, because the pipeline spans contain the same data and usage must
            count once; or ``keep`` them. A span below a dropped span moves to the nearest ancestor that is sent, else
            (below LiveKit's span of the call) to the call's ``session``; otherwise it becomes a root with a link.
        units: also report the units that speech services bill, as buckets ``characters`` (TTS) and ``milliseconds``
            (of audio). Their cost comes from the model definition in Langfuse; they do not count as tokens.
        foreign_usage: tokens and costs on spans of other instrumentations (OpenAI's, OpenLLMetry's) below a model
            request that reports its own usage: ``drop`` them, because they are the same tokens, or ``keep`` them.
        price_buckets: for models with your own prices in Langfuse, the names of these prices by model name (``*``
            matches any text): ``{"gpt-realtime*": ["input_text_tokens", "input_audio_tokens", …]}``. Tokens are
            split into priced buckets; without a known price, only into input and output.
        batch: False sends each span in the thread that ends it, for scripts and tests.
        timeout: seconds for each request, including retries.

    Raises:
        OptionError: a key is missing, or an option has an invalid value.
    """
    public = _key("public_key", public_key, "LANGFUSE_PUBLIC_KEY")
    secret = _key("secret_key", secret_key, "LANGFUSE_SECRET_KEY")
    if public.startswith("sk-lf-") or secret.startswith("pk-lf-"):
        raise OptionError("Langfuse: public_key and secret_key are swapped; the secret key starts with sk-lf-")
    if ":" in public:
        raise OptionError("Langfuse: public_key contains a colon; pass the two keys separately")
    if native not in ("drop", "keep"):
        raise OptionError(f"Langfuse: native must be 'drop' or 'keep', not {native!r}")
    if foreign_usage not in ("drop", "keep"):
        raise OptionError(f"Langfuse: foreign_usage must be 'drop' or 'keep', not {foreign_usage!r}")
    if not isinstance(timeout, (int, float)) or isinstance(timeout, bool) or not 0 < timeout < float("inf"):
        raise OptionError(f"Langfuse: timeout must be a positive number of seconds, not {timeout!r}")
    if not isinstance(trace_name, str) or not trace_name:
        raise OptionError(f"Langfuse: trace_name must be a string, not {trace_name!r}")
    settings = Settings(
        environment=_environment(environment),
        release=release or os.environ.get("LANGFUSE_RELEASE") or None,
        trace_name=trace_name,
        tags=_tags(tags),
        native=native,
        units=bool(units),
        foreign_usage=foreign_usage,
        prices=Prices(price_buckets),
    )
    token = base64.b64encode(f"{public}:{secret}".encode()).decode()
    exporter = LangfuseExporter(_otlp(_host(host) + _PATH, token, timeout), settings)
    return LangfuseBatchProcessor(exporter) if batch else LangfuseSimpleProcessor(exporter)


def _otlp(endpoint: str, token: str, timeout: float) -> SpanExporter:
    # imported here: not every user of the package needs an HTTP client
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    headers = {"Authorization": f"Basic {token}", "x-langfuse-ingestion-version": "4"}
    return OTLPSpanExporter(endpoint=endpoint, headers=headers, timeout=timeout, compression=Compression.Gzip)


def _key(name: str, value: str | None, variable: str) -> str:
    found = value if value is not None else os.environ.get(variable, "")
    found = found.strip() if isinstance(found, str) else ""
    if not found:
        raise OptionError(f"Langfuse: no {name}; pass it, or set {variable} (Langfuse: project settings, API keys)")
    return found


def _host(host: str | None) -> str:
    found = host or os.environ.get("LANGFUSE_BASE_URL") or os.environ.get("LANGFUSE_HOST") or _CLOUD
    try:
        parts = urlsplit(found.strip())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise OptionError(f"Langfuse: host {_shown(found)!r} is not an address; give one like {_CLOUD}")
    if parts.username is not None or parts.query or parts.fragment:
        raise OptionError("Langfuse: host must be an address without keys; pass keys as public_key and secret_key")
    return found.strip().rstrip("/").removesuffix(_PATH).removesuffix("/api/public/otel")


def _shown(address: str) -> str:
    return re.sub(r"[^/@]*@", "", address)


def _environment(value: str | None) -> str | None:
    found = value if value is not None else os.environ.get("LANGFUSE_TRACING_ENVIRONMENT") or None
    if found is None:
        return None
    if not isinstance(found, str) or not _ENVIRONMENT.fullmatch(found) or found.startswith("langfuse"):
        raise OptionError(
            f"Langfuse: environment {found!r} is not 1 to 40 of a-z, 0-9, _ and - (and must not begin with 'langfuse')"
        )
    return found


def _tags(tags: Iterable[str]) -> tuple[str, ...]:
    found = (tags,) if isinstance(tags, str) else tuple(tags)
    for tag in found:
        if not isinstance(tag, str) or not tag:
            raise OptionError(f"Langfuse: tag {tag!r} is not a string")
    return found
