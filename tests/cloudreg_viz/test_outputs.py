import json

import numpy as np
import pytest

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.volumes import open_volume
from cloudreg_viz.contrast import contrast_range, look, overview_mip
from cloudreg_viz.outputs import find_outputs, state_of


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.arange(1002, dtype=np.uint16), (11, 998)),  # 0 does not count
        (np.array([5.0, np.nan, np.inf, 7.0], np.float32), (5.02, 6.994)),
        (np.full(100, 7, np.uint16), (0, 7)),
        (np.full(100, -7, np.int16), (-7, 0)),
        (np.zeros(100, np.uint16), (0, 1)),
        (np.r_[np.full(5000, 50), 900].astype(np.uint16), (50, 900)),  # a spot on an even background
    ],
)
def test_contrast_range(values, expected):
    assert contrast_range(values) == pytest.approx(expected, rel=1e-6)


def test_contrast_comes_from_the_coarsest_useful_level(tmp_path, write_volume):
    rng = np.random.default_rng(0)
    image = rng.integers(100, 1100, (104, 104, 104), np.uint16)
    volume = open_volume(write_volume(tmp_path / "v", image, (1, 1, 1), mips=3))
    assert overview_mip(volume) == 1  # 52³ voxels make a histogram, 26³ do not
    low, high = look(volume).contrast
    assert abs(low - 110) < 5
    assert abs(high - 1097) < 5


def test_a_signal_aside_is_looked_at(tmp_path, write_volume):
    image = np.zeros((40, 60, 80), np.uint16)
    image[30:34, 10:20, 50:70] = 500  # centre: x 59.5, y 14.5, z 31.5
    seen = look(open_volume(write_volume(tmp_path / "v", image, (2, 3, 5))))
    assert seen.focus == pytest.approx((59.5 * 2, 14.5 * 3, 31.5 * 5))
    image[:] = 500
    assert look(open_volume(write_volume(tmp_path / "w", image, (2, 3, 5)))).focus is None


def test_a_folder_may_be_named_by_its_relative_path(tmp_path, monkeypatch, write_volume, ramp):
    write_volume(tmp_path / "out" / "CHN00", ramp, (2, 2, 4))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (output,) = find_outputs("../out")
    assert np.array_equal(output.volume.read(), ramp)


def test_volumes_of_a_run_are_found_in_order_and_by_kind(tmp_path, write_volume, ramp):
    for name in ("CHN10", "CHN02", "registration/atlas_on_target"):
        write_volume(tmp_path / name, ramp, (2, 2, 4))
    labels = (ramp // 5000).astype(np.uint32)
    write_volume(tmp_path / "registration" / "labels", labels, (2, 2, 4), layer="segmentation")
    (tmp_path / "shading").mkdir()
    (tmp_path / "CHN02" / "mesh").mkdir()
    (tmp_path / "CHN02" / "mesh" / "info").write_text(json.dumps({"@type": "neuroglancer_legacy_mesh"}))
    (tmp_path / ".cloudreg" / "scratch").mkdir(parents=True)
    (tmp_path / ".cloudreg" / "info").write_text("not a volume")
    outputs = find_outputs(tmp_path)
    assert [output.path for output in outputs] == [
        "CHN02", "CHN10", "registration/atlas_on_target", "registration/labels",
    ]  # fmt: skip
    layers = state_of(outputs, "http://host/data")["layers"]
    assert [each["type"] for each in layers] == ["image"] * 3 + ["segmentation"]
    assert layers[3]["source"]["url"] == "precomputed://http://host/data/registration/labels"


def test_one_precomputed_folder_is_a_run_of_its_own(tmp_path, write_volume, ramp):
    (output,) = find_outputs(write_volume(tmp_path / "brain", ramp, (2, 2, 4)))
    assert (output.name, output.path) == ("brain", "")
    (shown,) = state_of([output], "http://host/data/")["layers"]
    assert shown["source"]["url"] == "precomputed://http://host/data"


def test_a_volume_that_links_out_of_the_run_is_left_out(tmp_path, write_volume, ramp, caplog):
    elsewhere = write_volume(tmp_path / "elsewhere", ramp, (2, 2, 4))
    out = tmp_path / "out"
    write_volume(out / "CHN00", ramp, (2, 2, 4))
    (out / "CHN01").symlink_to(elsewhere)
    assert [output.name for output in find_outputs(out)] == ["CHN00"]
    assert "CHN01 is left out" in caplog.text


def test_an_unreadable_image_is_shown_with_a_warning(tmp_path, write_volume, ramp, caplog):
    write_volume(tmp_path / "CHN00", ramp, (2, 2, 4))
    for chunk in (tmp_path / "CHN00" / "2000_2000_4000").iterdir():
        chunk.unlink()
    (shown,) = state_of(find_outputs(tmp_path), "http://host")["layers"]
    assert "normalized" not in shown["shaderControls"]
    assert "CHN00" in caplog.text


def test_nothing_to_show_says_what_was_looked_for(tmp_path):
    with pytest.raises(NotFoundError, match=r"registration/\*/info"):
        find_outputs(tmp_path)
    with pytest.raises(NotFoundError, match="no folder"):
        find_outputs(tmp_path / "absent")


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b'{"scales": []}'])
def test_a_damaged_info_is_named(tmp_path, content):
    (tmp_path / "CHN00").mkdir()
    (tmp_path / "CHN00" / "info").write_bytes(content)
    with pytest.raises(InputError, match="CHN00/info"):
        find_outputs(tmp_path)
