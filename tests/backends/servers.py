"""The servers that tests talk to: a collector with one of its configurations, Jaeger, Phoenix, ClickHouse's engine.

All listen on 127.0.0.1 with free ports and keep what they write in the folder they are given.
"""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from . import install
from .process import Server, answers, free_ports

CONFIGS = Path(__file__).resolve().parents[2] / "collector-config"
READY_LINE = "Everything is ready. Begin running and processing data."


class Collector(Server):
    """The collector with files of ``collector-config/`` (names) or any others (paths).

    ``env`` sets variables of the configuration; the addresses to listen on are chosen here unless they are in it. The
    queue's folder and every other relative path are under ``folder``, so a restart finds them again.
    """

    def __init__(
        self, *configs: str | Path, folder: Path, env: Mapping[str, str] | None = None, name: str = "collector"
    ) -> None:
        grpc, http, health, metrics, page = free_ports(5)
        chosen = {
            "LISTEN_GRPC": f"127.0.0.1:{grpc}",
            "LISTEN_HTTP": f"127.0.0.1:{http}",
            "HEALTH_LISTEN": f"127.0.0.1:{health}",
            "TELEMETRY_PORT": str(metrics),
            "PROMETHEUS_LISTEN": f"127.0.0.1:{page}",
            **(env or {}),
        }
        self.otlp_grpc = f"http://{chosen['LISTEN_GRPC']}"
        self.otlp_http = f"http://{chosen['LISTEN_HTTP']}"
        self.health = f"http://{chosen['HEALTH_LISTEN']}/"
        self.telemetry = f"http://127.0.0.1:{chosen['TELEMETRY_PORT']}/metrics"
        self.prometheus = f"http://{chosen['PROMETHEUS_LISTEN']}/metrics"
        command: list[str | Path] = [install.executable("collector")]
        for config in configs:
            command += ["--config", CONFIGS / config]  # an absolute path stays as it is
        super().__init__(name, command, folder, chosen)
        self._starts = 0

    def start(self, seconds: float = 30.0) -> None:
        self._starts = self.output().count(READY_LINE) + 1
        super().start(seconds)

    def is_ready(self) -> bool:
        return self.output().count(READY_LINE) >= self._starts

    def own_metric(self, name: str) -> float:
        """Sum of one of the collector's own metrics (agent.yaml and gateway.yaml), 0.0 when it is not there."""
        with urllib.request.urlopen(self.telemetry, timeout=5) as response:
            page = response.read().decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", page, re.MULTILINE))


_JAEGER = """
service:
  extensions: [jaeger_storage, jaeger_query]
  telemetry: {{metrics: {{level: none}}, logs: {{level: info}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [jaeger_storage_exporter]}}
extensions:
  jaeger_storage:
    backends:
      memory: {{memory: {{max_traces: {max_traces}}}}}
  jaeger_query:
    storage: {{traces: memory}}
    ui: {{assets_path: "{ui}"}}
    enable_tracing: false # of its own queries, to whatever listens on 4317
    http: {{endpoint: "127.0.0.1:{query_port}"}}
    grpc: {{endpoint: "127.0.0.1:{query_grpc_port}"}}
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: "127.0.0.1:{otlp_grpc_port}", max_recv_msg_size_mib: 64}}
      http: {{endpoint: "127.0.0.1:{otlp_http_port}"}}
exporters:
  jaeger_storage_exporter: {{trace_storage: memory}}
"""


class Jaeger(Server):
    """Jaeger with storage in memory: what it acknowledged is there to be read, until it is stopped.

    ``ui`` is a folder with its built pages, which its Go module lacks. ``ports`` may fix any of ``otlp_grpc_port``,
    ``otlp_http_port``, ``query_port`` and ``query_grpc_port``.
    """

    def __init__(self, folder: Path, *, max_traces: int = 10_000, ui: Path | None = None, **ports: int) -> None:
        names = ("otlp_grpc_port", "otlp_http_port", "query_port", "query_grpc_port")
        chosen = dict(zip(names, free_ports(4), strict=True)) | ports
        self.otlp_grpc = f"http://127.0.0.1:{chosen['otlp_grpc_port']}"
        self.otlp_http = f"http://127.0.0.1:{chosen['otlp_http_port']}"
        self.query = f"http://127.0.0.1:{chosen['query_port']}"
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "jaeger.yaml"
        config.write_text(_JAEGER.format(max_traces=max_traces, ui=ui or "", **chosen))
        super().__init__("jaeger", [install.executable("jaeger"), "--config", config], folder, {})

    def is_ready(self) -> bool:
        return answers(f"{self.query}/api/v3/services")


class Phoenix(Server):
    """Phoenix with an SQLite file in ``folder``; it is told to ask nothing of the network."""

    def __init__(self, folder: Path, **more_env: str) -> None:
        http, grpc = free_ports(2)
        self.url = f"http://127.0.0.1:{http}"
        env = {
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(http),
            "PHOENIX_GRPC_PORT": str(grpc),
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_TELEMETRY_ENABLED": "false",
            "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
            "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",
            "PHOENIX_AGENTS_DISABLE_BASH": "true",
            "PHOENIX_ENABLE_MCP_SERVER": "false",
            # Whatever it asks of the network all the same ends at a closed port of this machine.
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1,localhost",
            **more_env,
        }
        command = [install.executable("phoenix"), Path(__file__).parent / "phoenix" / "serve.py"]
        super().__init__("phoenix", command, folder, env)

    def is_ready(self) -> bool:
        return answers(f"{self.url}/readyz")


class ClickHouse(Server):
    """ClickHouse's engine, embedded behind HTTP, with its tables in ``folder``.

    ``endpoint`` is for the collector's exporter, ``host`` for readers.
    """

    def __init__(self, folder: Path, **env: str) -> None:
        (port,) = free_ports(1)
        self.host = f"127.0.0.1:{port}"
        self.url = f"http://{self.host}"
        self.endpoint = f"{self.url}?compress=none"
        serve = Path(__file__).parent / "clickhouse" / "serve.py"
        super().__init__("clickhouse", [install.executable("clickhouse"), serve, str(port), folder], folder, env)

    def is_ready(self) -> bool:
        return answers(f"{self.url}/ping")

    def query(self, sql: str, **parameters: str) -> list[dict[str, Any]]:
        """Runs a query, and returns its rows. RuntimeError with what the engine says where it fails."""
        asked = {"default_format": "JSONEachRow", **{f"param_{name}": one for name, one in parameters.items()}}
        request = urllib.request.Request(f"{self.url}/?{urlencode(asked)}", data=sql.encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=300) as response:
                return [json.loads(line) for line in response if line.strip()]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from None


def running_in_ci() -> bool:
    """Whether a server that cannot be started fails a test instead of skipping it."""
    return os.environ.get("CI", "").lower() in {"1", "true"}
