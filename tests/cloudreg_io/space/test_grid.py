import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudreg_io.errors import InputError
from cloudreg_io.space import Bounds, Grid

sizes = st.tuples(*[st.integers(1, 40)] * 3)
spacings = st.tuples(*[st.floats(0.1, 100)] * 3)
origins = st.tuples(*[st.floats(-1e4, 1e4)] * 3)
grids = st.builds(Grid, sizes, spacings, origins)


def test_averaging_puts_samples_where_the_averaged_voxels_are():
    positions = np.arange(12) * 0.5  # mip 0 along x
    level = Grid.of_mip((12, 7, 5), (0.5, 1.0, 2.0), (4, 2, 1))
    np.testing.assert_allclose(level.axes()[0], positions.reshape(3, 4).mean(axis=1))
    assert level.size == (3, 4, 5)  # 7 rows: three pairs and a rest
    assert level.origin == (0.75, 0.5, 0.0)
    assert level.spacing == (2.0, 2.0, 2.0)


def test_levels_are_centred_on_mip_0_not_on_themselves():
    full, level = Grid.of_mip((7, 7, 7), (1, 1, 1)), Grid.of_mip((7, 7, 7), (1, 1, 1), (2, 2, 2))
    assert full.centred().origin == (-3.0, -3.0, -3.0)
    assert level.centred(full).origin == (-2.5, -2.5, -2.5)
    assert level.centred().origin != level.centred(full).origin


@given(grids)
def test_points_and_indices_are_inverse(grid):
    points = grid.points()
    assert points.shape == (*grid.shape, 3)
    z, y, x = np.indices(grid.shape)
    np.testing.assert_allclose(grid.index_of(points), np.stack([x, y, z], axis=-1), atol=1e-6)


@given(grids, spacings)
def test_another_spacing_keeps_the_lower_corner_and_covers_the_extent(grid, spacing):
    other = grid.with_spacing(spacing)
    np.testing.assert_allclose(other.corner, grid.corner, atol=1e-6)
    for mine, theirs, step in zip(grid.extent, other.extent, spacing, strict=True):
        assert mine - 2e-6 * step - 1e-9 <= theirs < mine + step + 1e-9


def test_an_atlas_and_labels_of_half_the_voxel_size_share_both_outer_corners():
    atlas = Grid((10, 20, 30), (100, 100, 100)).centred()
    labels = atlas.with_spacing((50, 50, 50))
    assert labels.size == (20, 40, 60)
    assert labels.centre == atlas.centre == (0.0, 0.0, 0.0)


def test_an_extent_that_is_whole_but_for_rounding_gets_no_extra_voxel():
    assert Grid((3, 3, 3), (0.1, 0.1, 0.1)).with_spacing((0.3, 0.3, 0.3)).size == (1, 1, 1)


def test_a_crop_keeps_the_positions():
    grid = Grid((9, 8, 7), (1.5, 2.0, 5.0), (10.0, -3.0, 0.25))
    box = Bounds((2, 1, 3), (9, 4, 5))
    np.testing.assert_allclose(grid.crop(box).points(), grid.points()[box.slices()])


@given(grids)
def test_json_round_trip(grid):
    assert Grid.from_json(grid.to_json()) == grid


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (((0, 1, 1), (1, 1, 1)), "holds no sample"),
        (((1, 1, 1), (1, 0, 1)), "positive"),
        (((1, 1, 1), (1, float("nan"), 1)), "positive"),
        (((1, 1, 1), (1, 1, 1), (0, 0, float("inf"))), "finite"),
    ],
)
def test_impossible_grids_are_refused(arguments, named):
    with pytest.raises(InputError, match=named):
        Grid(*arguments)


@pytest.mark.parametrize("value", [{}, {"size": [1, 1], "spacing_um": [1, 1, 1], "origin_um": [0, 0, 0]}])
def test_json_that_is_no_grid_is_refused(value):
    with pytest.raises(InputError, match="grid"):
        Grid.from_json(value)
