import json

import numpy as np
import pytest

from cloudreg_correct.bias import BiasOptions, bias_stage, coarser, estimate_bias, shrunken, tissue_mask
from cloudreg_io.errors import InputError
from cloudreg_io.fields import Bias
from cloudreg_io.run import open_run
from cloudreg_io.space.grid import Grid


def brain(shape, seed=0):
    """A bright ellipsoid with two kinds of tissue and noise, seen through a slow field; (image, field, inside)."""
    z, y, x = (np.linspace(-1, 1, n) for n in shape)
    r2 = z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2
    inside = r2 < 0.8
    rng = np.random.default_rng(seed)
    tissue = np.where(np.sin(9 * x)[None, None, :] * np.cos(7 * y)[None, :, None] > 0, 400.0, 300.0)
    field = np.exp(0.35 * x[None, None, :] - 0.2 * y[None, :, None] * x[None, None, :] + 0.15 * z[:, None, None])
    field = np.broadcast_to(field, shape)
    image = np.where(inside, tissue * field, 8.0) + rng.normal(0, 4, shape)
    return image.astype(np.float32), field / field[inside].mean(), inside


def test_known_field_is_found():
    image, field, inside = brain((40, 60, 64))
    found = estimate_bias(image, shrink=2)
    error = (found / field)[inside]
    before = field[inside]
    assert np.std(error / error.mean()) < 0.3 * np.std(before)
    assert found[inside].mean() == pytest.approx(1, abs=0.02)


def test_a_volume_of_one_plane_has_a_bias_in_its_plane():
    image, field, inside = brain((9, 60, 64))
    found = estimate_bias(image[4:5], mask=inside[4:5], shrink=2)
    assert found.shape == (1, 60, 64)
    error = (found / field[4:5])[inside[4:5]]
    assert np.std(error / error.mean()) < 0.3 * np.std(field[4:5][inside[4:5]])


def test_no_rim_turns_black():
    # the case in which the older system set 12 % of the voxels to 0
    image, _, _ = brain((48, 200, 200))
    found = estimate_bias(image, shrink=8, iterations=(20, 20))
    assert found.shape == image.shape
    assert found.min() > 0.2
    step = max(float(np.abs(np.diff(found, axis=axis)).max()) for axis in range(3))
    assert step < 0.1


def test_blocks_are_means_and_their_grid_is_at_their_centres():
    volume = np.arange(5 * 4 * 7, dtype=np.float32).reshape(5, 4, 7)
    small = shrunken(volume, 2)
    assert small.shape == (3, 2, 4)
    assert small[0, 0, 0] == pytest.approx(volume[:2, :2, :2].mean())
    assert small[2, 1, 3] == pytest.approx(volume[4:, 2:, 6:].mean())
    grid = coarser(Grid((7, 4, 5), (1.0, 2.0, 3.0), (0.5, 0.0, -1.0)), 2, small.shape)
    assert (grid.origin, grid.spacing) == ((1.0, 1.0, 0.5), (2.0, 4.0, 6.0))


def test_mask_is_the_tissue():
    image, _, inside = brain((20, 40, 40))
    assert (tissue_mask(image) == inside).mean() > 0.98


@pytest.mark.parametrize(
    ("volume", "mask", "message"),
    [
        (np.zeros((4, 5, 6)), None, "no tissue"),
        (np.ones((5, 6)), None, "2 axes"),
        (np.full((4, 5, 6), np.nan), None, "NaN"),
        (np.ones((4, 5, 6)), np.ones((4, 5, 5), bool), "mask"),
        (np.ones((4, 5, 6)), np.zeros((4, 5, 6), bool), "too few"),
    ],
)
def test_what_cannot_be_estimated_is_refused(volume, mask, message):
    with pytest.raises(InputError, match=message):
        estimate_bias(volume, mask=mask)


def test_stage_writes_the_same_bytes_twice_and_says_what_changed(tmp_path):
    image, _, _ = brain((20, 40, 40))
    grid = Grid((40, 40, 20), (20.0, 20.0, 20.0))
    files = []
    for name in ("a", "b"):
        with open_run(tmp_path / name, command="t") as run:
            files.append(bias_stage(run, image, grid, "CHN00", options=BiasOptions((10,), shrink=2)))
    assert files[0].read_bytes() == files[1].read_bytes()
    bias = Bias.load(files[0])
    assert json.loads(files[0].with_suffix(".json").read_text())["version"] == 1
    assert bias.grid.spacing == (40.0, 40.0, 40.0)
    with pytest.raises(InputError, match="overview"), open_run(tmp_path / "a", command="t") as run:
        bias_stage(run, image + 1, grid, "CHN00", options=BiasOptions((10,), shrink=2))
