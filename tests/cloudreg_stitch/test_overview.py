from dataclasses import dataclass

import numpy as np
import pytest

from cloudreg_io.run import open_run
from cloudreg_io.space import VoxelSize
from cloudreg_io.tiles import Tile, TileGrid
from cloudreg_stitch.overview import overview
from cloudreg_stitch.placement import PlacedTile, Placement
from cloudreg_stitch.survey import overview_survey, survey

VOXEL = (5.0, 5.0, 7.0)
POSITIONS = {"A": (0.0, 0.0, 0.0), "B": (50.3, 1.6, 2.25), "C": (1.0, 51.7, 0.5)}


@dataclass
class RampSource:
    """Tiles of a scene that grows evenly along x, y and z, in counts per µm."""

    grid: TileGrid
    slope: tuple = (2.0, 3.0, 5.0)
    channel: str = "CHN00"
    shift: tuple = (0.0, 0.0, 0.0)
    missing: int = -1

    @property
    def dtype(self):
        return np.dtype(np.float32)

    def present(self, tile):
        return np.array([tile.scanned and z != self.missing for z in range(self.grid.planes)])

    def read(self, tile, z, out=None):
        width, height, planes = self.grid.tile_size
        x0, y0, z0 = np.add(POSITIONS[tile.name], self.shift)
        depth = np.arange(planes)[z, None, None] + z0
        row, column = np.arange(height)[:, None] + y0, np.arange(width) + x0
        result = sum(s * v * i for s, v, i in zip(self.slope, VOXEL, (column, row, depth), strict=True)) + 100
        result = np.broadcast_to(result, (depth.shape[0], height, width)).astype(np.float32)
        result[np.arange(planes)[z] == self.missing] = 0
        if out is None:
            return result
        out[:] = result
        return out


def grid():
    cells = {"A": (0, 0), "B": (0, 1), "C": (1, 0), "D": (1, 1)}
    tiles = tuple(
        Tile(name, row, column, (50.0 * column, 50.0 * row, 0.0), name != "D")
        for name, (row, column) in cells.items()
    )
    return TileGrid(2, 2, (62, 60, 20), VoxelSize(*VOXEL), tiles)


def placement(**more):
    tiles = tuple(
        PlacedTile(t.name, t.row, t.column, POSITIONS.get(t.name, t.nominal), t.nominal, 1.0, flags)
        for t, flags in zip(grid().tiles, ((), (), (), ("unscanned",)), strict=True)
    )
    return Placement(tiles, (), VoxelSize(*VOXEL), "CHN00", **more)


def expected(where, mask):
    x, y, z = where.axes()
    ramp = 2 * x[None, None, :] + 3 * y[None, :, None] + 5 * z[:, None, None] + 100
    return np.broadcast_to(ramp, where.shape)[mask]


@pytest.mark.parametrize("function", [survey, overview_survey])
def test_samples_lie_where_the_grid_says(tmp_path, function):
    with open_run(tmp_path, command="test") as run:
        found = function(run, RampSource(grid()))
        array, where, mask = overview(found, placement())
    assert where.spacing == (20.0, 20.0, 21.0)
    assert where.origin == (7.5, 7.5, 7.0)
    assert array.shape == mask.shape == where.shape
    # at the rim of a tile its last sample is carried on by up to a small voxel: look inside only
    inner = mask.copy()
    inner[[0, -2, -1]] = False
    inner[:, [0, 1, -2, -1]] = False
    inner[:, :, [0, 1, -2, -1]] = False
    # and away from the edges of the cross that the tiles make
    x, y, _ = (axis / size for axis, size in zip(where.axes(), VOXEL, strict=True))
    inner &= ~((np.abs(x - 61)[None, None, :] < 8) | (np.abs(y - 59)[None, :, None] < 8))
    inner &= ~((np.abs(x - 50)[None, None, :] < 8) | (np.abs(y - 50)[None, :, None] < 8))
    assert inner.sum() > 100
    assert np.abs(array[inner] - expected(where, inner)).max() < 0.5
    # where the unscanned tile would be there is nothing
    assert not mask[:, -4:, -4:].any()
    assert not array[~mask].any()
    assert mask[:6, :10, :10].all()


def test_a_channel_shift_is_applied(tmp_path):
    with open_run(tmp_path, command="test") as run:
        found = survey(run, RampSource(grid(), shift=(3.0, -2.0, 1.0)))
        array, where, mask = overview(found, placement(channel_shift={"CHN00": (3.0, -2.0, 1.0)}))
    inner = np.zeros_like(mask)
    inner[2:4, 3:8, 3:8] = True
    assert np.abs(array[inner] - expected(where, inner)).max() < 0.5


def test_missing_planes_are_masked(tmp_path):
    with open_run(tmp_path, command="test") as run:
        found = overview_survey(run, RampSource(grid(), missing=10))
        array, where, mask = overview(found, placement())
    assert found.tiles[0].small_absent == (3,)
    inner = mask.copy()
    inner[:, [0, 1, -2, -1]] = inner[:, :, [0, 1, -2, -1]] = False
    inner[[0, -2, -1]] = False
    inner[:, :, 9:] = inner[:, 9:] = False
    assert inner.any()
    assert np.abs(array[inner] - expected(where, inner)).max() < 0.5
    assert not mask[3, 2:8, 2:8].any()
