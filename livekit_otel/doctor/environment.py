"""Environment variables that decide whether and how much is traced."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from .. import attributes as attr
from ..instrumentation.options import ALLOW_PII_VARIABLE
from .model import Check, Level

__all__ = ["check", "is_true"]

_AREA = "environment"
_SDK_ATTRIBUTES = 128
_FALSY = ("0", "false", "no", "off")
_TRUTHY = ("1", "true", "yes", "on", "")
_LANGFUSE_ENVIRONMENT = re.compile(r"(?!langfuse)[a-z0-9_-]{1,40}")


def is_true(variables: Mapping[str, str], name: str) -> bool:
    """Whether a variable is true by OpenTelemetry's rules for booleans."""
    return variables.get(name, "").strip().lower() == "true"


def check(variables: Mapping[str, str]) -> Iterator[Check]:
    """Check the relevant variables that are set."""
    found = [
        *_switches(variables),
        *_limit(variables, "VALUE_LENGTH", attr.MAX_VALUE_BYTES, "cuts the journal that reports are rebuilt from"),
        *_limit(variables, "COUNT", _SDK_ATTRIBUTES, "drops attributes of spans that carry the journal"),
        *_sampler(variables),
        *_content(variables),
        *_langfuse(variables),
    ]
    yield from found or [Check(_AREA, "ok", "no variable prevents tracing")]


def _switches(variables: Mapping[str, str]) -> Iterator[Check]:
    if is_true(variables, "OTEL_SDK_DISABLED"):
        yield Check(_AREA, "problem", "OTEL_SDK_DISABLED is true: nothing is traced", "unset OTEL_SDK_DISABLED")
    disabled = [name.strip() for name in variables.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")]
    if "livekit_otel" in disabled or "*" in disabled:
        text = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS names livekit_otel: opentelemetry-instrument skips it"
        yield Check(_AREA, "problem", text, "remove it from OTEL_PYTHON_DISABLED_INSTRUMENTATIONS")


def _limit(variables: Mapping[str, str], what: str, least: int, effect: str) -> Iterator[Check]:
    names = (f"OTEL_SPAN_ATTRIBUTE_{what}_LIMIT", f"OTEL_ATTRIBUTE_{what}_LIMIT")
    name = next((one for one in names if variables.get(one, "").strip()), None)
    if name is None:
        return
    text = variables[name].strip()
    try:
        limit = int(text)
    except ValueError:
        limit = -1
    fix = f"unset {name}, or set it to {least} or more"
    if limit < 0:
        yield Check(_AREA, "problem", f"{name} is {text!r}, not a number: the SDK raises an error", fix)
    elif limit < least:
        yield Check(_AREA, "problem", f"{name} is {limit}: it {effect}", fix)
    else:
        yield Check(_AREA, "ok", f"{name} is {limit}, enough for the journal")


def _sampler(variables: Mapping[str, str]) -> Iterator[Check]:
    sampler = variables.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    if sampler in ("always_off", "parentbased_always_off"):
        fix = "unset OTEL_TRACES_SAMPLER"
        yield Check(_AREA, "problem", f"OTEL_TRACES_SAMPLER is {sampler}: no call is traced", fix)
    elif sampler.endswith("traceidratio"):
        ratio = variables.get("OTEL_TRACES_SAMPLER_ARG", "1.0")
        text = f"OTEL_TRACES_SAMPLER samples only part of the calls ({ratio}); the others have no report"
        yield Check(_AREA, "note", text)
    elif sampler:
        yield Check(_AREA, "ok", f"OTEL_TRACES_SAMPLER is {sampler}")


def _content(variables: Mapping[str, str]) -> Iterator[Check]:
    raw = variables.get(ALLOW_PII_VARIABLE)
    if raw is None:
        text = f"{ALLOW_PII_VARIABLE} is not set: what people say is recorded, unless the code turns it off"
        yield Check(_AREA, "ok", text)
        return
    value = raw.strip().lower()
    if value in _FALSY:
        text = f"{ALLOW_PII_VARIABLE} is {value}: what people say is not recorded, reports have empty messages"
        yield Check(_AREA, "note", text)
        return
    known = value in _TRUTHY
    text = f"{ALLOW_PII_VARIABLE} is {'set' if known else 'neither true nor false'}: what people say is recorded"
    level: Level = "ok" if known else "note"
    yield Check(_AREA, level, text, "" if known else f"set {ALLOW_PII_VARIABLE} to true or false")


def _langfuse(variables: Mapping[str, str]) -> Iterator[Check]:
    keys = [name for name in ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY") if variables.get(name, "").strip()]
    if len(keys) == 1:
        other = "LANGFUSE_SECRET_KEY" if keys[0].startswith("LANGFUSE_PUBLIC") else "LANGFUSE_PUBLIC_KEY"
        yield Check(_AREA, "problem", f"{keys[0]} is set, {other} is not: Langfuse rejects the spans", f"set {other}")
    name = "LANGFUSE_TRACING_ENVIRONMENT"
    environment = variables.get(name, "")
    if environment and not _LANGFUSE_ENVIRONMENT.fullmatch(environment):
        text = f"{name} is not a name that Langfuse accepts"
        yield Check(_AREA, "problem", text, "use 1 to 40 of a-z 0-9 _ - and do not begin with langfuse")
