import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudreg_io.space import Bounds
from cloudreg_stitch.blend import profile, shares
from cloudreg_stitch.layout import Layout
from support.mosaics import ArraySource, fuse_array, grid_of, jittered, placement_of

TILE = (24, 20, 6)


@given(size=st.integers(2, 3000), fraction=st.sampled_from([0.0, 0.1, 0.5, 0.93]))
def test_profile_is_positive_symmetric_and_rises_to_the_middle(size, fraction):
    weights = profile(size, fraction)
    assert len(weights) == size + (fraction > 0)
    assert weights.min() > 0
    assert weights.max() <= 1
    if fraction == 0:
        np.testing.assert_allclose(weights, weights[::-1], rtol=1e-4)
    middle = len(weights) // 2
    assert (np.diff(weights[: middle - 1]) >= 0).all()


positions = st.tuples(st.floats(0, 12), st.floats(0, 12), st.floats(0, 4))
masks = st.lists(st.integers(0, TILE[2] - 1), max_size=3)


@settings(max_examples=40, deadline=None)
@given(
    places=st.lists(positions, min_size=4, max_size=4),
    missing=st.lists(masks, min_size=4, max_size=4),
    value=st.sampled_from([0, 1, 255, 4095, 65535]),
    blend=st.sampled_from(["cosine", "none"]),
    strips=st.sampled_from([1, 3]),
)
def test_a_constant_scene_stays_constant_wherever_a_tile_is(places, missing, value, blend, strips):
    at = dict(zip([(0, 0), (0, 1), (1, 0), (1, 1)], places, strict=True))
    grid = grid_of(TILE, at)
    gone = {tile.name: planes for tile, planes in zip(grid.tiles, missing, strict=True)}
    arrays = {tile.name: np.full(TILE[::-1], value, np.uint16) for tile in grid.tiles}
    source = ArraySource(grid, arrays, gone)
    volume, scene, counted = fuse_array(source, placement_of(grid, at), blend=blend, strips=strips)
    covered = np.zeros(volume.shape, bool)
    for tile in scene.layout.footprints:
        for z in range(volume.shape[0]):
            if tile.planes(z):
                part = Bounds((*tile.bounds.lower[:2], z), (*tile.bounds.upper[:2], z + 1))
                covered[part.intersection(scene.layout.volume).slices()] = True
    assert (volume[covered] == value).all()
    assert (volume[~covered] == 0).all()
    assert sum(count.uncovered for count in counted) == (~covered).sum()


@pytest.mark.parametrize("blend", ["cosine", "none"])
def test_shares_add_up_to_one(blend):
    at = jittered(3, 3, TILE, 7, seed=4)
    grid = grid_of(TILE, at)
    source = ArraySource(grid, {t.name: np.zeros(TILE[::-1], np.uint8) for t in grid.tiles})
    layout = Layout.of(source, placement_of(grid, at))
    z = 3
    plane = Bounds((0, 0, z), (*layout.size[:2], z + 1))
    total = np.zeros(plane.shape[1:])
    parts = np.zeros(plane.shape[1:], int)
    for tile in (tile for tile in layout.footprints if tile.planes(z)):
        present = [layout.footprints[i] for i in layout.neighbours[tile.index] if layout.footprints[i].planes(z)]
        share = shares(tile, present, plane, blend)
        _, rows, columns = share.window.slices((0, 0, z))
        total[rows, columns] += share.values
        parts[rows, columns] += 1
    assert parts.max() >= 3  # a corner where more than two tiles meet
    np.testing.assert_allclose(total[parts > 0], 1, atol=1e-6)
    assert (total[parts == 1] == 1).all()


def test_a_step_between_two_tiles_becomes_a_smooth_ramp():
    at = {(0, 0): (0, 0, 0), (0, 1): (84, 0, 0)}
    grid = grid_of((100, 40, 2), at)
    arrays = {"LOC00": np.full((2, 40, 100), 1000, np.uint16), "LOC01": np.full((2, 40, 100), 1100, np.uint16)}
    volume, _, _ = fuse_array(ArraySource(grid, arrays), placement_of(grid, at))
    row = volume[0, 20].astype(int)
    assert (row[:84] == 1000).all()
    assert (row[100:] == 1100).all()
    assert (np.diff(row) >= 0).all()
    assert np.diff(row).max() <= 100 / 16 * 2.1
    assert np.diff(row)[82:85].max() <= 1  # no kink where the second tile begins


def test_zero_is_a_value_and_not_the_lack_of_one():
    at = {(0, 0): (0, 0, 0), (0, 1): (12, 0, 0)}
    grid = grid_of((24, 8, 1), at)
    arrays = {"LOC00": np.zeros((1, 8, 24), np.uint16), "LOC01": np.full((1, 8, 24), 100, np.uint16)}
    volume, _, _ = fuse_array(ArraySource(grid, arrays), placement_of(grid, at))
    middle = volume[0, 4, 17:19].astype(float)
    np.testing.assert_allclose(middle.mean(), 50, atol=1)
