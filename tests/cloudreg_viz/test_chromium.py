"""The served link in a real browser: known blobs are seen where they must be, and nothing leaves this machine."""

from __future__ import annotations

import io
import shutil
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np
import pytest

from cloudreg_viz.layers import PALETTE
from cloudreg_viz.outputs import find_outputs, state_of
from cloudreg_viz.serve import serving

pytestmark = pytest.mark.needs("chromium")

FLAGS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WINDOW = {"width": 1200, "height": 900}
QUIET = 1.5  # seconds without a request: the viewer has drawn what it has


class Page:
    """One page load: the requests that it made, the picture, and where the panels are."""

    def __init__(self, page, link):
        self.requests, self.answers = [], {}
        self._last = time.monotonic()
        page.on("request", self._on_request)
        page.on("response", self._on_response)
        page.goto(link)
        deadline = time.monotonic() + 60
        while time.monotonic() - self._last < QUIET:
            assert time.monotonic() < deadline, "the viewer never stops asking"
            page.wait_for_timeout(100)
        self.png = page.screenshot()
        self.panels = page.evaluate(
            "Array.from(document.querySelectorAll('.neuroglancer-rendered-data-panel'))"
            ".map(e => {const r = e.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]})"
        )

    def _on_request(self, request):
        self.requests.append(request.url)
        self._last = time.monotonic()

    def _on_response(self, response):
        self.answers[response.url] = response.status
        self._last = time.monotonic()

    def image(self):
        """The screenshot, shape [y, x, rgb]."""
        from PIL import Image

        return np.asarray(Image.open(io.BytesIO(self.png)).convert("RGB")).astype(int)

    def hosts(self):
        """Everyone who was asked for anything, apart from addresses inside the page."""
        return {urlsplit(url).hostname for url in self.requests if urlsplit(url).scheme not in ("data", "blob")}


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Context: browse(link) -> Page, in a browser with an empty profile."""
    playwright = pytest.importorskip("playwright.sync_api")

    @contextmanager
    def browsing():
        profile = tmp_path_factory.mktemp("profile")
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch_persistent_context(
                profile, executable_path=shutil.which("chromium"), headless=True, args=FLAGS, viewport=WINDOW
            )
            try:
                yield lambda link: Page(browser.new_page(), link)
            finally:
                browser.close()

    with browsing() as open_page:
        yield open_page


def box_of_colour(image, panel, colour):
    """Centre and size (x, y, in pixels) of a box of a colour in a panel; thin axis lines do not count."""
    x0, y0, width, height = (round(value) for value in panel)
    part = image[y0 : y0 + height, x0 : x0 + width]
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    hit = (abs(part - wanted) <= 40).all(axis=2)
    rows = np.flatnonzero(hit.sum(axis=1) >= 5)
    assert rows.size, f"nothing of {colour} is seen"
    columns = np.flatnonzero(hit[rows].mean(axis=0) > 0.5)
    low, high = np.array([columns[0], rows[0]]), np.array([columns[-1], rows[-1]]) + 1
    return (low + high) / 2 + [x0, y0], high - low


def on_screen(panel, state, point, axes):
    """Where a point (voxels of the first layer, corner frame) is seen in a cross-section panel."""
    x0, y0, width, height = panel
    edges = np.array([state["dimensions"][axis][0] for axis in "xyz"])
    offset = (np.array(point) - state["position"]) * edges / edges.min() / state["crossSectionScale"]
    return np.array([x0 + width / 2, y0 + height / 2]) + offset[list(axes)]


def block(size, low, high, value, background=20):
    """An image [z, y, x] with one bright box, low and high in voxels x, y, z."""
    image = np.full(size[::-1], background, np.uint16)
    image[tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))] = value
    return image


SIZE, VOXEL = (40, 30, 20), (2.0, 2.0, 4.0)
# each codec and writer shows one box, which meets the three planes through the middle nowhere near the axis lines
BOXES = {
    "CHN00": ((4, 4, 3), (9, 8, 17)),
    "CHN01": ((26, 3, 3), (34, 9, 17)),
    "CHN02": ((5, 19, 3), (12, 26, 17)),
    "CHN03": ((28, 20, 3), (33, 27, 17)),
    "CHN04": ((16, 1, 3), (18, 4, 17)),
    "CHN05": ((16, 24, 3), (18, 28, 17)),
}
CODECS = {
    "CHN00": {"compress": "gzip"},
    "CHN01": {"by": "cloudreg", "compress": "zstd"},
    "CHN02": {"compress": "br"},
    "CHN03": {"compress": False},
    "CHN04": {"by": "tensorstore, sharded"},
    "CHN05": {"by": "cloudreg", "sharded": True},
}


def test_every_codec_is_drawn_where_it_must_be(tmp_path, write_volume, viz_serve, browse):
    for name, (low, high) in BOXES.items():
        image = block(SIZE, low, high, 900)
        write_volume(tmp_path / name, image, VOXEL, chunk=(16, 16, 16), **CODECS[name])
    state = state_of(find_outputs(tmp_path), "http://host")
    with viz_serve(tmp_path) as (link, _):
        page = browse(link)
        assert page.hosts() == {"127.0.0.1"}
    chunks = [url for url, status in page.answers.items() if "/data/" in url and status in (200, 206)]
    assert {url.split("/")[5] for url in chunks} == set(BOXES)
    image = page.image()
    assert len(page.panels) == 4
    for (low, high), colour in zip(BOXES.values(), PALETTE, strict=False):
        middle = (np.array(low) + high) / 2
        seen, size = box_of_colour(image, page.panels[0], colour)
        np.testing.assert_allclose(seen, on_screen(page.panels[0], state, middle, (0, 1)), atol=1.0)
        np.testing.assert_allclose(size, (np.array(high) - low)[:2] / state["crossSectionScale"], atol=1.0)


def test_an_affine_moves_a_layer_to_where_it_says(tmp_path, write_volume, browse):
    """Twice the voxel size, a flip, a shift: an error of half a voxel would be 10 or 20 pixels."""
    write_volume(tmp_path / "CHN00", block((20, 20, 20), (2, 2, 2), (6, 5, 18), 900), (2, 2, 2))
    write_volume(tmp_path / "CHN01", block((10, 10, 10), (2, 5, 1), (4, 8, 9), 900), (4, 4, 4))
    affine = np.array([[-1.0, 0, 0, 39], [0, 1, 0, -13], [0, 0, 1, 0], [0, 0, 0, 1]])
    with serving(tmp_path, affines={"CHN01": affine}) as served:
        page = browse(served.link)
        state = served.state
    image = page.image()
    seen, _ = box_of_colour(image, page.panels[0], PALETTE[0])
    np.testing.assert_allclose(seen, on_screen(page.panels[0], state, (4, 3.5, 10), (0, 1)), atol=1.0)
    # centre of the box in µm of the layer's own frame (0 at the centre of voxel 0), mapped, in first voxels
    x, y = (2 + 4 - 1) / 2 * 4, (5 + 8 - 1) / 2 * 4
    expected = [(39 - x) / 2 + 0.5, (y - 13) / 2 + 0.5, 10]
    seen, _ = box_of_colour(image, page.panels[0], PALETTE[1])
    np.testing.assert_allclose(seen, on_screen(page.panels[0], state, expected, (0, 1)), atol=1.0)
