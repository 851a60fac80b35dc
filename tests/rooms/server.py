"""LiveKit's own server, on loopback alone."""

from __future__ import annotations

import json
from pathlib import Path

from tests.backends import install
from tests.backends.process import Server, answers, free_ports

KEY, SECRET = "rooms", "a secret of the tests, which is long enough"


class LiveKitServer(Server):
    """A server without any room. ``url`` is what workers and callers connect to."""

    def __init__(self, folder: Path) -> None:
        port, udp = free_ports(2)
        self.http = f"http://127.0.0.1:{port}"
        self.url = f"ws://127.0.0.1:{port}"
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "livekit.json"  # JSON is YAML, too
        settings = {
            "port": port,
            "bind_addresses": ["127.0.0.1"],
            "keys": {KEY: SECRET},
            "logging": {"level": "info"},
            "room": {"auto_create": True, "empty_timeout": 30, "departure_timeout": 1},
            # what keeps media on loopback; the default opens a TCP port on every interface
            "rtc": {
                "tcp_port": 0,
                "udp_port": udp,
                "use_external_ip": False,
                "interfaces": {"includes": ["lo"]},
                "ips": {"includes": ["127.0.0.1/32"]},
                "enable_loopback_candidate": True,
            },
        }
        config.write_text(json.dumps(settings))
        super().__init__("livekit", [install.executable("livekit"), "--config", config], folder, {})

    def is_ready(self) -> bool:
        return answers(self.http)
