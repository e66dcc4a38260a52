import json

import numpy as np
import pytest

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.fields import Shading
from cloudreg_io.volumes import open_volume
from cloudreg_viz.picture import draw
from cloudreg_viz.placement_file import read_placement
from cloudreg_viz.planes import bar_length, length_text, three_planes

TILES = [
    {"name": "a", "position": [0, 0, 0], "nominal": [0, 0, 0], "flags": []},
    {"name": "b", "position": [18.5, 0.25, 0], "nominal": [18, 0, 0], "flags": ["stage_position"]},
    {"name": "c", "position": [0, 14, 0], "nominal": [0, 14, 0], "flags": ["unscanned"]},
]
PAIRS = [{"a": "a", "b": "b", "axis": "x", "displacement": [18.5, 0.25, 0], "confidence": 1, "used": True}]


def test_three_planes_show_the_voxels_of_their_place(tmp_path, write_volume, ramp):
    volume = open_volume(write_volume(tmp_path / "v", ramp, (2, 3, 5)))
    xy, zy, xz = three_planes(volume, focus_um=(2 * 7, 3 * 11, 5 * 13))
    np.testing.assert_array_equal(xy.pixels, ramp[13])
    np.testing.assert_array_equal(zy.pixels, ramp[:, :, 7].T)
    np.testing.assert_array_equal(xz.pixels, ramp[:, 11])
    assert (xy.at, zy.at, xz.at) == (13, 7, 11)
    assert (xy.extent_um, zy.extent_um, xz.extent_um) == ((80, 90), (100, 90), (80, 100))
    assert [plane.at for plane in three_planes(volume)] == [10, 20, 15]


@pytest.mark.parametrize(("width", "length"), [(1000, 200), (999, 100), (50, 10), (12345, 2000), (0.9, 0.1)])
def test_the_scale_bar_is_round_and_near_a_fifth(width, length):
    assert bar_length(width) == pytest.approx(length)


def test_length_text():
    assert [length_text(um) for um in (0.5, 200, 2000)] == ["0.5 µm", "200 µm", "2 mm"]


def test_a_run_is_drawn(tmp_path, write_volume, ramp):
    image = pytest.importorskip("PIL.Image")
    write_volume(tmp_path / "CHN00", ramp, (2, 2, 4))
    plain, full = tmp_path / "plain.png", tmp_path / "full.png"
    draw(tmp_path, plain, width=600)
    labels = (ramp // 5000).astype(np.uint32)
    write_volume(tmp_path / "registration" / "labels", labels, (2, 2, 4), layer="segmentation")
    (tmp_path / "placement.json").write_text(json.dumps({"tiles": TILES, "pairs": PAIRS}))
    (tmp_path / "shading").mkdir()
    flat = 1 + 0.3 * np.add.outer(np.linspace(-1, 1, 16), np.linspace(-1, 1, 22)).astype(np.float32)
    Shading.normalised(flat).save(tmp_path / "shading" / "CHN00.tif")
    draw(tmp_path, full, width=600)
    small, large = image.open(plain).convert("RGB"), image.open(full).convert("RGB")
    assert small.width == large.width == 600
    assert large.height > small.height + 100
    colours = {colour for _, colour in large.getcolors(1 << 20)}
    assert (0x5E, 0xC9, 0x62) in colours  # a tile that is trusted
    assert (0xFF, 0x6A, 0x3D) in colours  # one that is flagged
    before = full.read_bytes()
    draw(tmp_path, full, width=600)
    assert full.read_bytes() == before  # no time stamp


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"tiles": [{}], "pairs": []}', '{"tiles": 3, "pairs": []}'])
def test_a_damaged_placement_is_named(tmp_path, content):
    (tmp_path / "placement.json").write_text(content)
    with pytest.raises(InputError, match=r"placement\.json"):
        read_placement(tmp_path / "placement.json")


def test_what_cannot_be_drawn(tmp_path, write_volume, ramp):
    with pytest.raises(NotFoundError):
        draw(tmp_path, tmp_path / "a.png")
    write_volume(tmp_path / "CHN00", ramp, (2, 2, 4))
    with pytest.raises(InputError, match="PNG"):
        draw(tmp_path, tmp_path / "a.tiff")
