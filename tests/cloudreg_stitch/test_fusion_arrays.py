"""Fusion of tiles in memory: exactness, interpolation, union, missing planes, decoding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudreg_io.errors import InputError
from cloudreg_io.space import Bounds
from cloudreg_stitch.layout import Layout
from support.mosaics import ArraySource, cut, fuse_array, grid_of, jittered, placement_of

TILE = (40, 32, 9)


def scene(seed, shape=(16, 100, 120), dtype=np.uint16):
    limits = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(limits.min, limits.max + 1, shape).astype(dtype)


def union(grid, at, shape):
    covered = np.zeros(shape, bool)
    for tile in grid.scanned:
        x, y, z = at[tile.row, tile.column]
        covered[z : z + TILE[2], y : y + TILE[1], x : x + TILE[0]] = True
    return covered


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from([np.uint8, np.uint16]), strips=st.sampled_from([1, 4])
)
def test_tiles_cut_at_whole_positions_give_the_scene_back(seed, dtype, strips):
    at = jittered(3, 3, TILE, 8, seed)
    grid = grid_of(TILE, at, unscanned=[(2, 2)])
    truth = scene(seed, dtype=dtype)
    source = ArraySource(grid, cut(truth, grid, at))
    fused, made, counted = fuse_array(source, placement_of(grid, at), strips=strips)
    assert made.layout.size == placement_of(grid, at).size(TILE)
    covered = union(grid, at, fused.shape)
    depth, height, width = fused.shape
    assert (fused == np.where(covered, truth[:depth, :height, :width], 0)).all()
    assert sum(c.uncovered for c in counted) == (~covered).sum()


def test_depth_is_the_union_of_the_tiles_and_no_plane_is_lost():
    at = {(0, 0): (0, 0, 3), (0, 1): (32, 0, 0)}
    grid = grid_of(TILE, at)
    truth = scene(1)
    fused, _, _ = fuse_array(ArraySource(grid, cut(truth, grid, at)), placement_of(grid, at))
    assert fused.shape[0] == 12
    assert (fused[:9, :, 45] == truth[:9, :32, 45]).all()
    assert (fused[3:, :, 5] == truth[3:12, :32, 5]).all()
    assert (fused[:3, :, 5] == 0).all()


@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.8])
def test_fractions_lose_no_plane_row_or_column(fraction):
    at = {(0, 0): (fraction, fraction, fraction)}
    grid = grid_of(TILE, at)
    truth = scene(2, (9, 32, 40))
    fused, made, counted = fuse_array(ArraySource(grid, {"LOC00": truth}), placement_of(grid, at))
    assert made.layout.size == tuple(n + (fraction >= 0.5) for n in TILE)
    assert sum(c.uncovered for c in counted) == 0
    assert sum(c.tiles.sum() for c in counted) == truth.size
    assert (fused[0, 0, 0], fused[-1, -1, -1]) == (
        truth[0, 0, 0],
        truth[-1, -1, -1] if fraction >= 0.5 else fused[-1, -1, -1],
    )


def test_interpolation_is_linear_in_x_y_and_z():
    z, y, x = np.indices((9, 32, 40))
    plane = (1000 + 20 * x + 30 * y + 50 * z).astype(np.uint16)
    at = {(0, 0): (0.25, 0.5, 0.7)}
    fused, _, _ = fuse_array(ArraySource(grid_of(TILE, at), {"LOC00": plane}), placement_of(grid_of(TILE, at), at))
    inner = (slice(1, 9), slice(1, 32), slice(1, 40))
    expected = 1000 + 20 * (x - 0.25) + 30 * (y - 0.5) + 50 * (z - 0.7)
    np.testing.assert_allclose(fused[inner], np.rint(expected)[inner], atol=1)


@pytest.mark.parametrize("position", [(0.04, 0.97, 0.02), (0.4, 0.6, 0.3)])
def test_counts_are_copied_with_nearest_and_where_fractions_do_not_matter(position):
    at = {(0, 0): position}
    grid = grid_of(TILE, at)
    truth = scene(3, (9, 32, 40))
    mode = "linear" if position[0] == 0.04 else "nearest"
    fused, _, _ = fuse_array(ArraySource(grid, {"LOC00": truth}), placement_of(grid, at), interpolation=mode)
    assert (fused[:, 1:, :40] == truth).all()


def test_missing_planes_are_masked_not_black():
    at = {(0, 0): (0, 0, 0), (0, 1): (30, 0, 0)}
    grid = grid_of(TILE, at)
    truth = scene(4)
    arrays = cut(truth, grid, at)
    arrays["LOC00"][4] = 0
    fused, _, counted = fuse_array(ArraySource(grid, arrays, {"LOC00": [4]}), placement_of(grid, at))
    assert (fused[4, :, 30:70] == truth[4, :32, 30:70]).all()  # the overlap comes from the other tile alone
    assert (fused[4, :, :30] == 0).all()
    assert sum(c.uncovered for c in counted) == 30 * 32


def test_each_plane_is_read_once_for_each_slab_and_strip_it_touches():
    at = jittered(2, 2, TILE, 8, 5)
    grid = grid_of(TILE, at)
    source = ArraySource(grid, cut(scene(5), grid, at))
    fuse_array(source, placement_of(grid, at))
    assert sorted(source.reads) == sorted((tile.name, k) for tile in grid.tiles for k in range(TILE[2]))


@settings(max_examples=15, deadline=None)
@given(
    places=st.lists(st.tuples(st.floats(0, 30), st.floats(0, 30), st.floats(0, 5)), min_size=3, max_size=3),
    missing=st.lists(st.integers(0, 8), max_size=3),
    blend=st.sampled_from(["cosine", "none"]),
    interpolation=st.sampled_from(["linear", "nearest"]),
)
def test_bytes_and_sums_do_not_depend_on_strips_or_rows(places, missing, blend, interpolation):
    at = dict(zip([(0, 0), (0, 1), (1, 0)], places, strict=True))
    grid = grid_of(TILE, at)
    arrays = {tile.name: scene(i, TILE[::-1]) for i, tile in enumerate(grid.tiles)}
    source = ArraySource(grid, arrays, {"LOC01": missing})
    whole = fuse_array(source, placement_of(grid, at), blend=blend, interpolation=interpolation)
    cuts = fuse_array(source, placement_of(grid, at), blend=blend, interpolation=interpolation, strips=5, rows=3)
    assert (whole[0] == cuts[0]).all()
    for name in ("tiles", "seams", "uncovered"):
        np.testing.assert_array_equal(
            sum(getattr(c, name) for c in whole[2]), sum(getattr(c, name) for c in cuts[2])
        )


def test_bounds_cut_the_same_voxels_out():
    at = jittered(2, 3, TILE, 8, 6)
    grid = grid_of(TILE, at)
    source = ArraySource(grid, cut(scene(6), grid, at))
    whole, _, _ = fuse_array(source, placement_of(grid, at))
    box = Bounds((20, 11, 2), (70, 50, 8))
    part, _, _ = fuse_array(source, placement_of(grid, at), bounds=box)
    assert (part == whole[box.slices()]).all()


def test_channel_shift_moves_the_tiles_and_keeps_the_grid_of_all_channels():
    at = {(0, 0): (0, 0, 0), (0, 1): (32, 0, 0)}
    grid = grid_of(TILE, at)
    truth = scene(7)
    shifted = ArraySource(grid, cut(truth, grid, at), channel="CHN01")
    placement = placement_of(grid, at, {"CHN01": (2.0, -1.0, 1.0)})
    fused, made, _ = fuse_array(shifted, placement)
    assert made.layout.size == Layout.of(ArraySource(grid, shifted.arrays), placement).size == (74, 32, 10)
    assert (fused[1:10, :31, 2:74] == truth[:9, 1:32, :72]).all()
    assert not fused[0].any()


def test_float_tiles_are_blended_without_rounding():
    at = {(0, 0): (0, 0, 0), (0, 1): (32, 0, 0)}
    grid = grid_of(TILE, at)
    truth = np.random.default_rng(8).normal(size=(9, 32, 80)).astype(np.float32)
    fused, _, _ = fuse_array(ArraySource(grid, cut(truth, grid, at)), placement_of(grid, at))
    assert (fused[:, :, :32] == truth[:, :, :32]).all()
    np.testing.assert_allclose(fused, truth[:, :, :72], rtol=1e-6, atol=1e-6)


def test_a_placement_of_another_acquisition_is_refused_by_tile():
    at = {(0, 0): (0, 0, 0), (0, 1): (32, 0, 0)}
    grid = grid_of(TILE, at)
    other = grid_of(TILE, {(0, 0): (0, 0, 0)})
    source = ArraySource(grid, cut(scene(9), grid, at))
    with pytest.raises(InputError, match="LOC01"):
        Layout.of(source, placement_of(other, at))
    with pytest.raises(InputError, match="bounds"):
        Layout.of(source, placement_of(grid, at), bounds=Bounds((500, 0, 0), (600, 10, 10)))
