"""The endpoints that the environment configures, and whether they acknowledge a test span."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from urllib.parse import urlsplit

from ..errors import EndpointError, OptionError
from ..otlp import protobuf
from ..transport.address import ENCODE, check_url, environment_headers, traces_url
from ..transport.credentials import Redactor, is_ambiguous, secrets_of, shown
from ..transport.otlp_endpoint import NO_ANSWER, Endpoint, Rejected
from .environment import is_true
from .grpc import send_grpc
from .model import Check

__all__ = ["check"]

_AREA = "endpoints"
_PROTOCOLS = ("http/protobuf", "http/json", "grpc")
_HUNG = "the server hangs, or a firewall or proxy drops requests: check the server's log, or raise --timeout"
_LANGFUSE_CLOUD = "https://cloud.langfuse.com"


@dataclass
class Destination:
    """An endpoint: ``why`` names the setting that configures it; ``headers`` are secret."""

    why: str
    url: str = field(repr=False)
    protocol: str = "http/protobuf"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def check(
    variables: Mapping[str, str], *, to: str | None, headers: Mapping[str, str], send: bool, timeout: float
) -> Iterator[Check]:
    """The exporters and endpoints, each with the result of a test span."""
    destinations: list[Destination] = []
    yield from _exporters(variables)
    try:
        if to is not None:
            destinations.append(Destination("--to", traces_url(to), headers=headers))
        destinations += _langfuse(variables)
        destinations += _otlp(variables)
    except OptionError as error:
        yield Check(_AREA, "problem", str(error), "correct the variable")
    for one in destinations:
        yield _try(one, variables, timeout) if send else Check(_AREA, "note", f"{_name(one)}: not tested")
    if not destinations:
        text = "the environment configures no endpoint; exporters created in code cannot be seen here"
        yield Check(_AREA, "note", text, "test one with --to URL, or set OTEL_EXPORTER_OTLP_ENDPOINT")


def _exporters(variables: Mapping[str, str]) -> Iterator[Check]:
    """Check OTEL_TRACES_EXPORTER, which ``opentelemetry-instrument`` reads."""
    names = _names(variables)
    known = {entry.name for entry in metadata.entry_points(group="opentelemetry_traces_exporter")}
    for name in names:
        if name == "none":
            text = "OTEL_TRACES_EXPORTER is none: opentelemetry-instrument exports nothing"
            yield Check(_AREA, "problem", text, "set OTEL_TRACES_EXPORTER to otlp, or unset it")
        elif name in known or name == "otlp":
            yield Check(_AREA, "ok", f"OTEL_TRACES_EXPORTER names {name}")
        else:
            text = f"OTEL_TRACES_EXPORTER names {name}, but no installed package provides it"
            yield Check(_AREA, "problem", text, f"install its package, or choose one of {', '.join(sorted(known))}")


def _names(variables: Mapping[str, str]) -> list[str]:
    return [name for name in (one.strip() for one in variables.get("OTEL_TRACES_EXPORTER", "").split(",")) if name]


def _otlp(variables: Mapping[str, str]) -> Iterator[Destination]:
    traces = variables.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    base = variables.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    names = _names(variables)
    wanted = [name for name in names if name.startswith("otlp")]
    # opentelemetry-instrument uses the names; an OTLPSpanExporter created in code reads the endpoint regardless
    if not (traces or base or wanted):
        return
    protocol = _either(variables, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    if "otlp_proto_grpc" in wanted:
        protocol = "grpc"
    protocol = protocol or "http/protobuf"
    if protocol not in _PROTOCOLS:
        raise OptionError(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}, not one of {', '.join(_PROTOCOLS)}")
    headers = environment_headers(variables)
    if traces:
        why = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
    else:
        why = "OTEL_EXPORTER_OTLP_ENDPOINT" if base else "the default of OTEL_TRACES_EXPORTER=otlp"
    if protocol == "grpc":
        if is_ambiguous(traces or base):
            raise OptionError(f"{why}: {shown(traces or base)!r} is not an address; {ENCODE}")
        yield Destination(why, traces or base or "http://localhost:4317", protocol, headers)
        return
    # the variable for traces is used unchanged; the path is appended to the general variable
    base = (base or "http://localhost:4318").rstrip("/") + "/v1/traces"
    try:
        yield Destination(why, check_url(traces or base), protocol, headers)
    except OptionError as error:
        raise OptionError(f"{why}: {error}") from None


def _langfuse(variables: Mapping[str, str]) -> Iterator[Destination]:
    public, secret = (variables.get(f"LANGFUSE_{kind}_KEY", "").strip() for kind in ("PUBLIC", "SECRET"))
    if not (public and secret):
        return
    host = _either(variables, "LANGFUSE_BASE_URL", "LANGFUSE_HOST") or _LANGFUSE_CLOUD
    credentials = base64.b64encode(f"{public}:{secret}".encode()).decode()
    headers = {"authorization": f"Basic {credentials}", "x-langfuse-ingestion-version": "4"}
    try:
        yield Destination("LANGFUSE_*", traces_url(host.rstrip("/") + "/api/public/otel"), headers=headers)
    except OptionError as error:
        raise OptionError(f"LANGFUSE_BASE_URL: {error}") from None


def _either(variables: Mapping[str, str], *names: str) -> str:
    return next((value for name in names if (value := variables.get(name, "").strip())), "")


def _name(one: Destination) -> str:
    sent = sorted(one.headers)
    return f"{shown(one.url)} ({one.why}, {one.protocol}{', headers ' + ', '.join(sent) if sent else ''})"


def _try(one: Destination, variables: Mapping[str, str], timeout: float) -> Check:
    if is_true(variables, "OTEL_SDK_DISABLED") and one.why.startswith("OTEL_"):
        return Check(_AREA, "note", f"{_name(one)}: not tested, OTEL_SDK_DISABLED is true")
    started = time.monotonic()
    try:
        if one.protocol == "grpc":
            send_grpc(one.url, one.headers, timeout)
        else:
            _send_http(one, timeout)
    except EndpointError as error:
        reason = _hidden(error.reason.removeprefix(f"{shown(one.url)}: "), one)
        hung = reason == NO_ANSWER
        if hung:
            reason = f"no response within {timeout:g} s"
        fix = _wrong_port(one) or error.fix or (_HUNG if hung else "check that it is running and the address is right")
        return Check(_AREA, "problem", f"{_name(one)}: {reason}", fix)
    except OptionError as error:
        return Check(_AREA, "problem", f"{_name(one)}: {error}", "correct the variable")
    took = time.monotonic() - started
    return Check(_AREA, "ok", f"{_name(one)}: acknowledged a test span in {took:.2f} s")


def _wrong_port(one: Destination) -> str:
    """A hint if the port is that of the other protocol, which is the most common mistake."""
    try:
        port = urlsplit(one.url).port
    except ValueError:
        port = None
    if one.protocol == "grpc":
        return "4318 is the port of OTLP/HTTP; OTLP/gRPC listens on 4317" if port == 4318 else ""
    return "4317 is the port of OTLP/gRPC; OTLP/HTTP listens on 4318" if port == 4317 else ""


def _send_http(one: Destination, timeout: float) -> None:
    encoding = "json" if one.protocol == "http/json" else "protobuf"
    endpoint = Endpoint(one.url, one.headers, encoding=encoding, timeout=timeout, patience=0)
    now = str(time.time_ns())
    span = {
        "traceId": secrets.token_hex(16), "spanId": secrets.token_hex(8), "name": "livekit-otel doctor", "kind": 1,
        "startTimeUnixNano": now, "endTimeUnixNano": now,
    }  # fmt: skip
    service = [{"key": "service.name", "value": {"stringValue": "livekit-otel-doctor"}}]
    scopes = [{"scope": {"name": "livekit-otel-doctor"}, "spans": [span]}]
    document = {"resourceSpans": [{"resource": {"attributes": service}, "scopeSpans": scopes}]}
    (part,) = protobuf.parts(document, "")
    try:
        answer = endpoint.send(protobuf.encode([part.message], encoding))
    except Rejected as rejected:
        raise EndpointError(str(rejected), "check that this is the OTLP/HTTP address") from None
    if answer.rejected:
        raise EndpointError(f"accepted the request but rejected the span: {answer.message or 'no reason given'}")


def _hidden(text: str, one: Destination) -> str:
    """Text without the secrets of the endpoint, because servers and libraries repeat what they receive."""
    return Redactor({*one.headers.values(), *secrets_of(one.url)})(text)
