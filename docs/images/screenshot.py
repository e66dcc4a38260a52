"""Makes docs/images/viewer.png: the page that `cloudreg viz serve OUT` shows, in headless Chromium.

    python docs/images/screenshot.py OUT docs/images/viewer.png

Needs Debian's `chromium`, `pip install playwright` and `cloudreg-viz[serve]`. Nothing but the served page is
asked for: every other host is blocked.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from cloudreg_viz.serve import serving

FLAGS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
QUIET_SECONDS = 3.0


def screenshot(out: str, file: Path) -> None:
    """Serve `out`, wait until the page asks for nothing more, and take its picture."""
    with serving(out) as served, sync_playwright() as driver, tempfile.TemporaryDirectory() as profile:
        browser = driver.chromium.launch_persistent_context(
            profile,
            executable_path=shutil.which("chromium"),
            args=FLAGS,
            viewport={"width": 1000, "height": 700},
        )
        page, last = browser.new_page(), [time.monotonic()]
        page.on("request", lambda _: last.append(time.monotonic()))
        page.on("response", lambda _: last.append(time.monotonic()))
        page.goto(served.link)
        while time.monotonic() - last[-1] < QUIET_SECONDS:
            page.wait_for_timeout(100)
        picture = Image.open(io.BytesIO(page.screenshot()))
        browser.close()
    # 64 colours: a third of the size
    picture.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    screenshot(sys.argv[1], Path(sys.argv[2]))
