import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudreg_io.errors import CloudRegError
from cloudreg_io.space import Bounds
from cloudreg_stitch import coverage, seams
from support.mosaics import ArraySource, fuse_array, grid_of, jittered, placement_of

TILE = (40, 32, 9)


def total(counted):
    return sum(c.tiles for c in counted)


@pytest.mark.parametrize("blend", ["cosine", "none"])
@pytest.mark.parametrize("fraction", [0.0, 0.35])
def test_every_voxel_of_the_input_is_found_in_the_volume_or_in_the_count(blend, fraction):
    """Each source voxel holds its own number; an independent look at the volume must agree with the counts."""
    at = jittered(2, 2, TILE, 8, 3)
    grid = grid_of(TILE, at)
    size = int(np.prod(TILE))
    arrays = {
        tile.name: (1 + i * size + np.arange(size, dtype=np.float32)).reshape(TILE[::-1])
        for i, tile in enumerate(grid.tiles)
    }
    source = ArraySource(grid, arrays, {"LOC01": [2, 3]})
    moved = {key: tuple(p + fraction for p in place) for key, place in at.items()}
    mode = "nearest" if fraction else "linear"
    volume, scene, counted = fuse_array(
        source, placement_of(grid, moved), blend=blend, interpolation=mode, strips=2
    )
    rows = {row["name"]: row for row in coverage.report(scene.layout, total(counted))}
    covers = np.zeros(volume.shape, int)
    for tile in scene.layout.footprints:
        covers[tile.home.slices()] += tile.present[:, None, None]
    for tile in scene.layout.footprints:
        indices = arrays[tile.tile.name][tile.present]
        place, row = tile.home.slices(), rows[tile.tile.name]
        found = (volume[place] == arrays[tile.tile.name]) & tile.present[:, None, None]
        single = (covers[place] == 1) & tile.present[:, None, None]
        assert found[single].all()
        assert row["input"] == indices.size == row["alone"] + row["blended"] + row["dropped"]
        if blend == "none":
            assert row["alone"] == found.sum()
            assert row["dropped"] == indices.size - np.isin(indices, volume).sum() > 0
        else:
            assert row["alone"] == single.sum()
            assert row["blended"] == indices.size - single.sum() > 0
        assert row["cropped"] == 0
    assert rows["LOC01"]["missing_planes"] == [2, 3]


def test_cropped_voxels_are_counted_and_lost_ones_are_an_error():
    at = jittered(2, 2, TILE, 8, 3)
    grid = grid_of(TILE, at)
    source = ArraySource(grid, {tile.name: np.ones(TILE[::-1], np.uint16) for tile in grid.tiles})
    box = Bounds((10, 5, 1), (60, 50, 8))
    _, scene, counted = fuse_array(source, placement_of(grid, at), bounds=box)
    rows = coverage.report(scene.layout, total(counted))
    assert sum(row["cropped"] for row in rows) > 0
    for row in rows:
        assert row["alone"] + row["blended"] + row["dropped"] + row["cropped"] == row["input"]
    wrong = total(counted)
    wrong[1, 0] -= 1
    with pytest.raises(CloudRegError, match="accounted for"):
        coverage.report(scene.layout, wrong)


boxes = st.builds(
    lambda x, y, w, h: Bounds((x, y, 0), (x + w, y + h, 1)),
    st.integers(-5, 25),
    st.integers(-5, 25),
    st.integers(0, 12),
    st.integers(0, 12),
)


@given(st.lists(boxes, max_size=8), st.integers(1, 20), st.integers(1, 20))
def test_area_of_a_union_of_boxes(found, width, height):
    window = Bounds((2, 3, 0), (2 + width, 3 + height, 1))
    painted = np.zeros((height, width), bool)
    for box in found:
        _, rows, columns = box.intersection(window).slices(window.lower)
        painted[rows, columns] = True
    assert coverage.union_area(found, window) == painted.sum()


def seam_reports(scene, counted):
    sums = sum(c.seams for c in counted)
    return [seams.report(row, seam) for row, seam in zip(sums, scene.seams, strict=True)]


def test_seam_figures_before_blending_are_the_difference_of_the_tiles():
    at = {(0, 0): (0, 0, 0), (0, 1): (80, 0, 1)}
    grid = grid_of((120, 60, 5), at)
    rng = np.random.default_rng(0)
    arrays = {tile.name: rng.integers(900, 1100, (5, 60, 120)).astype(np.uint16) for tile in grid.tiles}
    arrays["LOC01"] += 20
    _, scene, counted = fuse_array(ArraySource(grid, arrays, {"LOC00": [2]}), placement_of(grid, at))
    (report,) = seam_reports(scene, counted)
    a, b = arrays["LOC00"][[1, 3, 4], :, 80:], arrays["LOC01"][[0, 2, 3], :, :40]
    assert report["overlap_voxels"] == a.size
    assert report["before"] == pytest.approx(abs(a.mean() - b.mean()) / ((a.mean() + b.mean()) / 2), rel=1e-5)


def test_a_hard_step_shows_and_a_blended_one_does_not():
    at = {(0, 0): (0, 0, 0), (1, 0): (0, 72, 0)}
    grid = grid_of((64, 128, 4), at)
    arrays = {"LOC00": np.full((4, 128, 64), 1000, np.uint16), "LOC10": np.full((4, 128, 64), 1010, np.uint16)}
    placement = placement_of(grid, at)
    found = {}
    for blend in ("cosine", "none"):
        _, scene, counted = fuse_array(ArraySource(grid, arrays), placement, blend=blend)
        (report,) = seam_reports(scene, counted)
        found[blend] = report
        assert report["before"] == pytest.approx(10 / 1005, rel=1e-5)
    assert found["none"]["step"]["middle"] == pytest.approx(10 / 1005, rel=1e-4)
    assert abs(found["cosine"]["step"]["begin"]) < 1e-3
    assert abs(found["cosine"]["step"]["end"]) < 1e-3
    summary = seams.summary(list(found.values()))
    assert summary["step"]["middle"]["worst"] == pytest.approx(10 / 1005, rel=1e-4)
    assert summary["step"]["begin"]["worst"] < 1e-3


def test_neighbours_that_do_not_overlap_are_counted():
    at = {(0, 0): (0, 0, 0), (0, 1): (50, 0, 0)}
    grid = grid_of(TILE, at)
    source = ArraySource(grid, {tile.name: np.ones(TILE[::-1], np.uint16) for tile in grid.tiles})
    _, scene, counted = fuse_array(source, placement_of(grid, at))
    reports = seam_reports(scene, counted)
    assert seams.summary(reports)["without_overlap"] == 1
    assert reports[0]["before"] is None
