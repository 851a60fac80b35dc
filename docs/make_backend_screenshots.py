"""Makes the pictures of Jaeger's and Phoenix's pages in docs/backends.md, from real servers that hold a demo call.

``python docs/make_backend_screenshots.py --jaeger-ui DIRECTORY`` plays the demo call, sends it to both, and writes the
pictures beside this file; ``--output DIRECTORY`` elsewhere, ``--trace FILE`` takes another call. Needs Chromium and
Playwright, the demo's dependencies, and the servers that ``tests/backends/setup`` makes.

The Go module of Jaeger has no pages. ``DIRECTORY`` is ``packages/jaeger-ui/build`` of a clone of jaeger-ui at the tag
v1.76.0, after ``npm ci && npm run build`` with Node.js 24. Without the option only Phoenix's picture is made.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from livekit_otel import attributes as attr  # noqa: E402
from livekit_otel import read_spans  # noqa: E402
from livekit_otel.spans import SpanRecord  # noqa: E402
from tests.backends.process import Server, wait_until  # noqa: E402
from tests.backends.servers import Collector, Jaeger, Phoenix  # noqa: E402

T = TypeVar("T", bound=Server)
PROJECT = "flower-shop"
WAIT_MS = 120_000
#: seconds; Phoenix makes its tables first, which takes minutes on a busy machine
START_SECONDS = 400.0


@contextmanager
def started(server: T) -> Iterator[T]:
    """A server that may take its time to start."""
    try:
        server.start(START_SECONDS)
        yield server
    finally:
        server.stop()


def demo_call(folder: Path) -> Path:
    """Play the demo call, which takes half a minute; return its trace."""
    subprocess.run([sys.executable, "-m", "livekit_otel", "demo", "-o", str(folder)], check=True, cwd=ROOT)
    return folder / "trace.jsonl"


def without_native(trace: Path, work: Path) -> Path:
    """The call without LiveKit's own spans."""
    lines = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        for resource in line["resourceSpans"]:
            resource["scopeSpans"] = [one for one in resource["scopeSpans"] if one["scope"]["name"] == attr.SCOPE]
    kept = work / "pipeline.jsonl"
    kept.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return kept


def send(trace: Path, endpoint: str, work: Path) -> None:
    """Send a stored call to an OTLP endpoint."""
    state = work / "replay.json"
    command = [sys.executable, "-m", "livekit_otel", "replay", str(trace), "--to", endpoint, "--state", str(state)]
    subprocess.run(command, check=True, cwd=ROOT)
    state.unlink(missing_ok=True)


@contextmanager
def pages(width: int, height: int, scheme: str) -> Iterator[Any]:
    """A page of Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--font-render-hinting=none"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, timezone_id="UTC", locale="en-US"
        )
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        yield page
        browser.close()


def jaeger(trace: Path, spans: list[SpanRecord], ui: Path, work: Path, output: Path) -> Path:
    """Jaeger's timeline of the call: the session, and below each turn its stages."""
    with started(Jaeger(work / "jaeger", ui=ui)) as server, pages(1180, 900, "light") as page:
        send(trace, server.otlp_http, work)
        page.goto(f"{server.query}/trace/{spans[0].trace_id}?uiFind=")
        page.get_by_text("session.start").first.wait_for()
        page.wait_for_timeout(1_000)
        made = output / "jaeger.png"
        page.screenshot(path=made)
    return made


def phoenix(trace: Path, spans: list[SpanRecord], work: Path, output: Path) -> Path:
    """Phoenix's page of a turn: its stages, and what both sides said."""
    turns = [one for one in spans if one.kind == attr.KIND_TURN and one.attributes.get(attr.TURN_HAS_USER)]
    with started(Phoenix(work / "phoenix")) as server:
        env = {"PHOENIX_ENDPOINT": server.url, "PHOENIX_PROJECT": PROJECT}
        with started(Collector("phoenix.yaml", folder=work / "collector", env=env)) as collector:
            send(trace, collector.otlp_http, work)
            source = f"phoenix://{server.url.removeprefix('http://')}/{PROJECT}"
            wait_until("the call in Phoenix", lambda: _stored(source) == len(spans), seconds=60)
        with pages(1440, 960, "dark") as page:
            page.goto(f"{server.url}/redirects/spans/{turns[0].span_id}")
            page.get_by_text("Output", exact=True).first.wait_for()
            page.wait_for_timeout(2_000)
            made = output / "phoenix.png"
            page.screenshot(path=made)
    return made


def _stored(source: str) -> int:
    try:
        return sum(1 for _ in read_spans(source))
    except Exception:  # the project is there as soon as it has a span
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", type=Path)
    parser.add_argument("--output", type=Path, default=HERE)
    parser.add_argument("--jaeger-ui", type=Path)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        trace = options.trace or demo_call(work / "demo")
        trace = without_native(trace, work)
        spans = list(read_spans(trace))
        if options.jaeger_ui is not None:
            print(jaeger(trace, spans, options.jaeger_ui.resolve(), work, options.output))
        print(phoenix(trace, spans, work, options.output))


if __name__ == "__main__":
    main()
