"""Every file of collector-config/ is valid, and carries calls end to end where its destination runs here."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from livekit.agents.telemetry import trace_types

from livekit_otel import attributes as a

from . import calls
from .process import wait_until
from .servers import CONFIGS, Collector, Jaeger, Phoenix
from .waiting import in_files, in_jaeger

pytestmark = pytest.mark.backend

StartCollector = Callable[..., Collector]
FILES = sorted(path.name for path in CONFIGS.glob("*.yaml"))
MERGED = [
    ("jaeger.yaml", "phoenix.yaml", "langfuse.yaml", "clickhouse.yaml", "file.yaml", "metrics.yaml"),
    ("langfuse.yaml", "metrics.yaml", "gateway.yaml"),
]


def test_every_promised_file_is_there() -> None:
    """The folder holds the files that its README explains, and no other."""
    explained = {line.split("`")[1] for line in (CONFIGS / "README.md").read_text().splitlines() if line[:3] == "| `"}
    assert set(FILES) == {name for name in explained if name.endswith(".yaml")}


def test_attribute_names_exist() -> None:
    """Every attribute that a configuration reads is one that the schema defines, or that LiveKit's own spans have."""
    text = "".join((CONFIGS / file).read_text() for file in FILES)
    named = set(re.findall(r'"((?:livekit_otel|gen_ai)[.][a-z0-9_.]+)"', text))
    assert len(named) > 10
    native = {getattr(trace_types, name) for name in dir(trace_types) if name.startswith("ATTR_")}
    assert sorted(named - set(a.REGISTRY) - native) == []


@pytest.mark.parametrize("files", [(name,) for name in FILES] + MERGED, ids="+".join)  # type: ignore[operator]
def test_file_is_valid(otelcol: Path, files: tuple[str, ...]) -> None:
    """The collector accepts each file as it is, with no variable set, and the combinations that the README names."""
    command = [str(otelcol), "validate", *(part for name in files for part in ("--config", str(CONFIGS / name)))]
    done = subprocess.run(command, env={"HOME": "/"}, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", FILES)
def test_file_starts(collector: StartCollector, name: str) -> None:
    """Each file starts without a warning while its destination is away, and listens on loopback only."""
    server = collector(name, CLICKHOUSE_CREATE_SCHEMA="false")
    assert [line for line in server.output().splitlines() if "\twarn\t" in line or "\terror\t" in line] == []
    assert server.listening() <= {"127.0.0.1"}


def test_jaeger_gets_the_whole_call(collector: StartCollector, jaeger: Jaeger) -> None:
    """With jaeger.yaml both layers of a call are in Jaeger as they were sent, every attribute included."""
    call = calls.make_call("direct")
    assert calls.send(collector("jaeger.yaml", JAEGER_ENDPOINT=jaeger.otlp_grpc).otlp_http, call)
    assert in_jaeger(jaeger, call) == calls.sent(call)
    assert jaeger.listening() == {"127.0.0.1"}


def test_agent_and_gateway(collector: StartCollector, jaeger: Jaeger, tmp_path: Path) -> None:
    """A call through agent and gateway is in Jaeger and in the gateway's archive, each span once."""
    gateway = collector("gateway.yaml", name="gateway", JAEGER_ENDPOINT=jaeger.otlp_grpc)
    agent = collector("agent.yaml", name="agent", GATEWAY_ENDPOINT=gateway.otlp_grpc)
    call = calls.make_call("two hops")
    for start in range(0, len(call), 4):
        assert calls.send(agent.otlp_http, call[start : start + 4])
    assert in_jaeger(jaeger, call) == calls.sent(call)
    assert in_files(tmp_path / "gateway" / "traces") == calls.sent(call)
    with urllib.request.urlopen(gateway.health, timeout=5) as response:
        assert response.status == 200


def test_phoenix_gets_the_call(collector: StartCollector, phoenix: Phoenix) -> None:
    """With phoenix.yaml every span is in the project of PHOENIX_PROJECT, words and kind where its pages show them."""
    call = calls.make_call("phoenix")
    server = collector("phoenix.yaml", PHOENIX_ENDPOINT=phoenix.url, PHOENIX_PROJECT="voice")
    assert calls.send(server.otlp_http, call)
    url = f"{phoenix.url}/v1/projects/voice/spans?limit=1000"

    def stored() -> list[dict[str, Any]]:
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError:  # 404: until its first span is stored, there is no such project
            return []

    wait_until("all spans in Phoenix", lambda: len(stored()) == len(call))
    assert Counter(span["name"] for span in stored()) == Counter(span.name for span in call)
    words = "hello there"
    pages = {
        span["name"]: (span["span_kind"], *map(span["attributes"].get, ("input.value", "output.value")))
        for span in stored()
        if span["name"] in (a.KIND_TURN, a.KIND_STT, a.KIND_TTS, a.KIND_TOOL, a.KIND_SESSION_START)
    }
    assert pages == {
        a.KIND_TURN: ("AGENT", words, words),
        a.KIND_STT: ("CHAIN", None, words),
        a.KIND_TTS: ("CHAIN", words, None),
        a.KIND_TOOL: ("TOOL", words, words),
        a.KIND_SESSION_START: ("CHAIN", None, None),
    }
    assert {address.removeprefix("::ffff:") for address in phoenix.listening()} == {"127.0.0.1"}


def test_files_are_read_back(collector: StartCollector, jaeger: Jaeger, tmp_path: Path) -> None:
    """Files of file.yaml, rotated ones included, reach Jaeger whole through file-replay.yaml, and only once."""
    folder = tmp_path / "traces"
    writer = collector("file.yaml", name="file", FILE_PATH=str(folder / "a.jsonl"), FILE_MAX_MEGABYTES="1")
    # Rotated files begin with the same resource, longer than what the reader tells files apart by, unless told.
    long = {"process.command_args": "x" * 3_000}
    batch = [calls.make_call(f"file {number}", turns=40, resource=long) for number in range(6)]
    for call in batch:
        assert calls.send(writer.otlp_http, call)
    writer.stop()
    assert len(list(folder.glob("*.jsonl"))) > 1
    replay = collector("file-replay.yaml", name="replay", FILE_GLOB=f"{folder}/*.jsonl", NEXT_ENDPOINT=jaeger.otlp_grpc)
    assert [in_jaeger(jaeger, call) for call in batch] == [calls.sent(call) for call in batch]
    replay.stop()
    late = calls.make_call("late", turns=1)
    writer.start()
    assert calls.send(writer.otlp_http, late)
    replay.start()
    assert in_jaeger(jaeger, late) == calls.sent(late)
    assert [in_jaeger(jaeger, call) for call in batch] == [calls.sent(call) for call in batch]
