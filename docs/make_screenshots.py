"""Makes the pictures of the page in README and docs, from the trace of a demo call.

``python docs/make_screenshots.py`` writes them beside this file; ``--output DIRECTORY`` elsewhere, ``--trace FILE``
takes another call. Needs Chromium and Playwright, as the browser tests do; CI runs it with every change.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from livekit_otel import build_report, read_spans
from livekit_otel.report.render_html import to_html

HERE = Path(__file__).resolve().parent
DEMO = HERE.parent / "tests" / "data" / "demo-trace.jsonl.gz"
#: file -> width, height, scale, colours, and what is opened
PICTURES: dict[str, tuple[int, int, float, str, str]] = {
    "report.png": (1160, 1240, 1.0, "light", ""),
    "report-dark.png": (1160, 900, 1.0, "dark", "#turn-1"),
    "report-phone.png": (390, 844, 2.0, "light", ""),
}


def make(trace: Path, folder: Path) -> list[Path]:
    """The pictures of a call, by name; ``folder`` has to be there."""
    from playwright.sync_api import sync_playwright

    page = to_html(build_report(read_spans(trace)))
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        file = Path(work, "call.html")
        file.write_text(page, encoding="utf-8")
        arguments = ["--no-sandbox", "--disable-gpu", "--font-render-hinting=none"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        made = [_picture(browser, file, folder / name, *how) for name, how in PICTURES.items()]
        browser.close()
    return made


def _picture(
    browser: Any, page: Path, output: Path, width: int, height: int, scale: float, scheme: str, place: str
) -> Path:
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=scale,
        color_scheme=scheme,
        timezone_id="America/New_York",
        locale="en-US",
    )
    opened = context.new_page()
    opened.goto(page.as_uri() + place)
    opened.wait_for_selector("html[data-filled=true]")
    # the focus ring says where the keyboard is, which nobody needs to know in a picture
    opened.evaluate("() => document.activeElement?.blur()")
    opened.wait_for_timeout(300)
    opened.screenshot(path=output)
    context.close()
    return output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trace", type=Path, default=DEMO)
    parser.add_argument("--output", type=Path, default=HERE)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for made in make(options.trace, options.output):
        print(made, made.stat().st_size)


if __name__ == "__main__":
    main()
