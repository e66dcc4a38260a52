from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import align_scenes
from cloudreg_io.errors import InputError
from cloudreg_io.run import open_run
from cloudreg_io.space import VoxelSize
from cloudreg_io.tiles import Tile, TileGrid
from cloudreg_stitch.binning import bin_plane
from cloudreg_stitch.strips import plan_survey
from cloudreg_stitch.survey import overview_survey, strips_folder, survey
from cloudreg_stitch.tile_statistics import StatisticsGatherer


def grid_of(rows, columns, size, step, voxel=(0.6, 0.6, 3.0)):
    tiles = tuple(
        Tile(f"T{r}-{c}", r, c, (c * step[0], r * step[1], 0.0)) for r in range(rows) for c in range(columns)
    )
    return TileGrid(rows, columns, size, VoxelSize(*voxel), tiles)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(40, 2100), st.integers(40, 2100), st.integers(1, 1500)),
    st.floats(0.02, 0.6),
    st.tuples(st.integers(0, 100), st.integers(0, 100), st.integers(0, 20)),
    st.floats(0.2, 60),
)
def test_a_plan_keeps_to_its_bounds(size, overlap, search, voxel):
    step = (size[0] * (1 - overlap), size[1] * (1 - overlap))
    plan = plan_survey(grid_of(2, 2, size, step, (voxel, voxel, voxel)), search)
    for pair in plan.pairs:
        if pair.strip_a is None:
            continue
        axis = "xy".index(pair.axis)
        for strip in (pair.strip_a, pair.strip_b):
            for (low, high), extent in zip((strip.x, strip.y), size, strict=False):
                assert 0 <= low < high <= extent
                assert low % plan.bin == 0
        # wherever the other tile really is within the search range, the strips hold the overlap
        along_a, along_b = ((strip.x, strip.y)[axis] for strip in (pair.strip_a, pair.strip_b))
        assert along_a[0] <= max(0, pair.nominal[axis] - search[axis])
        assert along_b[1] >= min(size[axis], size[axis] - pair.nominal[axis] + search[axis])
        voxels = sum(np.prod(strip.shape) for strip in (pair.strip_a, pair.strip_b)) * size[2]
        if size[2] >= 16:
            assert voxels * 4 / (plan.bin**2 * plan.bin_z) <= 64e6
    covered = plan.slab_planes
    assert list(covered) == sorted(set(covered))
    assert all(0 <= z < size[2] for z in covered)
    assert 1 <= plan.small <= min(size[:2])
    assert 1 <= plan.small_z <= size[2]


def test_large_tiles_keep_a_tenth_at_full_resolution():
    plan = plan_survey(grid_of(3, 3, (2048, 2048, 1200), (1740, 1740)), (60, 60, 10))
    kept = sum(np.prod(strip.shape) for strip in plan.strips_of(4).values()) * len(plan.slab_planes)
    assert kept <= 0.1 * 2048 * 2048 * 1200
    assert len(plan.slabs) >= 3


def test_a_grid_without_scanned_tiles_is_refused():
    grid = grid_of(1, 1, (64, 64, 8), (50, 50))
    with pytest.raises(InputError, match="no tile"):
        plan_survey(replace(grid, tiles=(replace(grid.tiles[0], scanned=False),)), (10, 10, 2))


@pytest.mark.parametrize("edge", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_bins_are_exact_means(edge, dtype):
    plane = np.random.default_rng(edge).integers(0, 256 if dtype == np.uint8 else 65536, (67, 90)).astype(dtype)
    out = np.empty((67 // edge, 90 // edge), np.float32)
    bin_plane(plane, edge, out)
    whole = plane[: 67 // edge * edge, : 90 // edge * edge].astype(float)
    expected = whole.reshape(67 // edge, edge, 90 // edge, edge).mean(axis=(1, 3))
    assert np.allclose(out, expected, rtol=1e-6 if dtype == np.float32 else 1e-7)


def test_every_plane_is_read_once_and_kept_as_planned(tmp_path):
    source = align_scenes.scene(1, 2, seed=1, tile=128, planes=40)
    align_scenes.PLANES_READ.clear()
    with open_run(tmp_path, command="test") as run:
        found = survey(run, source)
        plan = found.plan
        assert sorted(align_scenes.PLANES_READ) == [(t.name, z) for t in source.grid.tiles for z in range(40)]
        tile = source.grid.tiles[0]
        stack = source.read(tile, slice(0, 40)).astype(float)
        strip = plan.strips_of(0)["right"]
        part = stack[:, strip.y[0] : strip.y[1], strip.x[0] : strip.x[1]]
        folder = strips_folder(run.scratch, "CHN00", 0)
        assert (np.load(folder / "right_slabs.npy") == part[list(plan.slab_planes)]).all()
        binned = np.load(folder / "right_binned.npy")
        rows, columns = (n // plan.bin for n in strip.shape)
        whole = part[: binned.shape[0] * plan.bin_z, : rows * plan.bin, : columns * plan.bin]
        means = whole.reshape(binned.shape[0], plan.bin_z, rows, plan.bin, columns, plan.bin).mean(axis=(1, 3, 5))
        assert np.allclose(binned, means, rtol=1e-5)
        small = found.small(0)
        n, m = plan.small, plan.small_z
        shape = (40 // m, m, 128 // n, n, 128 // n, n)
        means = stack[: shape[0] * m, : shape[2] * n, : shape[4] * n].reshape(shape).mean(axis=(1, 3, 5))
        assert np.allclose(small, means, rtol=1e-5)
        assert found.small_z0 == (m - 1) / 2
        assert found.tiles[0].mean == pytest.approx(small.mean(), rel=1e-4)


def test_other_channels_are_read_at_every_nth_plane(tmp_path):
    source = align_scenes.scene(1, 2, seed=2, tile=128, planes=40, missing={"LOC001": (2,)})
    align_scenes.PLANES_READ.clear()
    with open_run(tmp_path, command="test") as run:
        found = overview_survey(run, source)
        n = found.plan.small_z
        assert n == 4
        assert sorted(align_scenes.PLANES_READ) == [
            (t.name, z) for t in source.grid.tiles for z in range(2, 40, 4)
        ]
        assert found.small_z0 == 2
        assert found.small(0).shape == (10, 128 // found.plan.small, 128 // found.plan.small)
        assert found.tiles[1].small_absent == (0,)


def gathered(planes, edge=4):
    gatherer = StatisticsGatherer(planes.dtype, edge)
    binned = np.empty((planes.shape[1] // edge, planes.shape[2] // edge), np.float32)
    for z, plane in enumerate(planes):
        bin_plane(plane, edge, binned)
        gatherer.add(z, plane, binned)
    return gatherer.result(float(planes.mean()), [], [])


def test_noise_is_told_from_tissue():
    rng = np.random.default_rng(3)
    vignetting = 1 - 0.5 * np.linspace(-1, 1, 128) ** 2
    noise = (100 + 300 * vignetting + rng.normal(0, 6, (32, 128, 128))).astype(np.uint16)
    found = gathered(noise)
    assert found.blank
    assert found.contrast == pytest.approx(1, abs=0.08)
    assert found.change == pytest.approx(6, rel=0.05)
    smooth = np.cumsum(np.cumsum(rng.normal(0, 1, (32, 128, 128)), 1), 2) / 8
    assert not gathered((noise + np.abs(smooth)).astype(np.uint16)).blank


def test_a_constant_tile_is_blank_and_a_clipped_one_is_counted():
    assert gathered(np.full((16, 64, 64), 100, np.uint16)).contrast == 0
    planes = np.random.default_rng(4).integers(0, 60000, (16, 64, 64)).astype(np.uint16)
    planes[:, :, :32] = 65535
    found = gathered(planes)
    assert found.saturated == pytest.approx(0.5)
    assert found.digest != gathered(planes + np.uint16(1)).digest
    assert found.digest == gathered(planes.copy()).digest


def test_a_single_plane_is_not_called_blank():
    assert not gathered(np.random.default_rng(5).integers(0, 99, (1, 64, 64)).astype(np.uint16)).blank
