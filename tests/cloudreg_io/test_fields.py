import json

import numpy as np
import pytest
import tifffile

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.fields import Bias, Shading
from cloudreg_io.space import Grid


def flat_field(shape=(20, 30)):
    y, x = np.indices(shape) / np.array(shape)[:, None, None] - 0.5
    field = 1 - 0.8 * (x**2 + y**2)
    return field / field.mean()


def test_shading_round_trip_as_two_float_pages(tmp_path):
    shading = Shading(flat_field(), np.full((20, 30), 101.5))
    path = tmp_path / "shading" / "CHN00.tif"
    shading.save(path)
    again = Shading.load(path)
    np.testing.assert_array_equal(again.flat, shading.flat)
    np.testing.assert_array_equal(again.background, shading.background)
    pages = tifffile.imread(path)
    assert pages.dtype == np.float32
    np.testing.assert_array_equal(pages[1], 101.5)


def test_files_hold_no_time(tmp_path):
    for name in ("a.tif", "b.tif"):
        Shading(flat_field(), np.zeros((20, 30))).save(tmp_path / name)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert "DateTime" not in tiff.pages[0].tags


def test_normalised_takes_any_scale_and_one_background():
    shading = Shading.normalised(flat_field() * 1234.5, 100)
    assert shading.flat.mean(dtype=float) == pytest.approx(1, abs=1e-6)
    assert shading.shape == shading.background.shape == (20, 30)


def spoilt(value):
    field = flat_field()
    field[3, 4] = value
    return field


@pytest.mark.parametrize(
    ("flat", "background", "named"),
    [
        (flat_field(), np.zeros((20, 31)), "do not fit"),
        (flat_field()[None], np.zeros((1, 20, 30)), "do not fit"),
        (spoilt(np.nan), np.zeros((20, 30)), r"not finite, the first at \[3, 4\]"),
        (spoilt(0), np.zeros((20, 30)), r"ranges from 0 to .* zero or negative"),
        (spoilt(-1), np.zeros((20, 30)), "ranges from -1"),
        (spoilt(0.1), np.zeros((20, 30)), r"gains of .* to 10 lie outside \[0.2, 5\]"),
        (flat_field() * 1.5, np.zeros((20, 30)), "mean 1.5, not 1"),
        (flat_field(), spoilt(np.inf), "background holds 1 values that are not finite"),
    ],
)
def test_shading_that_cannot_be_right_is_refused(flat, background, named):
    with pytest.raises(InputError, match=named):
        Shading(flat, background)


def test_a_file_with_bad_values_is_named(tmp_path):
    path = tmp_path / "CHN00.tif"
    tifffile.imwrite(path, np.zeros((2, 5, 6), np.float32))
    with pytest.raises(InputError, match=r"CHN00.tif: the flat-field ranges from 0 to 0"):
        Shading.load(path)


@pytest.mark.parametrize("content", [np.ones((3, 5, 6), np.float32), np.ones((2, 5, 6), np.uint16)])
def test_another_tiff_is_refused(tmp_path, content):
    path = tmp_path / "CHN00.tif"
    tifffile.imwrite(path, content, photometric="minisblack")
    with pytest.raises(InputError, match=r"CHN00.tif"):
        Shading.load(path)


def test_damage_is_named(tmp_path):
    path = tmp_path / "CHN00.tif"
    with pytest.raises(NotFoundError, match=r"CHN00\.tif"):
        Shading.load(path)
    path.write_text("<html>proxy error</html>")
    with pytest.raises(InputError, match=r"CHN00.tif: not a TIFF"):
        Shading.load(path)
    Shading(flat_field(), np.zeros((20, 30))).save(path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"CHN00\.tif"):
        Shading.load(path)


@pytest.mark.parametrize("size", [(6, 5, 4), (6, 5, 1), (1, 1, 1)])
def test_bias_round_trip_with_its_grid(tmp_path, size):
    grid = Grid.of_mip([8 * n - 3 for n in size], (0.585, 0.585, 3.5), (8, 8, 8))
    field = np.random.default_rng(1).uniform(0.5, 2, grid.shape)
    path = tmp_path / "bias" / "CHN00.tif"
    Bias(field, grid).save(path)
    again = Bias.load(path)
    assert again.grid == grid
    np.testing.assert_array_equal(again.field, field.astype(np.float32))


def test_bias_that_does_not_fit_is_refused(tmp_path):
    grid = Grid((6, 5, 4), (1, 1, 1))
    with pytest.raises(InputError, match="does not fit its grid"):
        Bias(np.ones((6, 5, 4)), grid)
    with pytest.raises(InputError, match="zero or negative"):
        Bias(np.zeros(grid.shape), grid)
    path = tmp_path / "CHN00.tif"
    Bias(np.ones(grid.shape), grid).save(path)
    (tmp_path / "CHN00.json").write_text(json.dumps({"grid": {"size": [6, 5]}}))
    with pytest.raises(InputError, match=r"CHN00\.json"):
        Bias.load(path)
    (tmp_path / "CHN00.json").unlink()
    with pytest.raises(NotFoundError, match=r"CHN00\.json"):
        Bias.load(path)
