"""Small mosaics held in memory, for tests of fusion."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from cloudreg_io.run import count
from cloudreg_io.space import Bounds, VoxelSize
from cloudreg_io.tiles import Tile, TileGrid
from cloudreg_stitch.bands import Scene, fuse_window
from cloudreg_stitch.layout import Layout
from cloudreg_stitch.placement import PlacedTile, Placement
from cloudreg_stitch.seams import seams_of

VOXEL_SIZE = VoxelSize(1.0, 1.0, 4.0)


@dataclass
class ArraySource:
    """A TileSource over arrays [z, y, x] by tile name; `reads` lists the planes that were read."""

    grid: TileGrid
    arrays: dict
    missing: dict = field(default_factory=dict)
    channel: str = "CHN00"
    reads: list = field(default_factory=list)

    @property
    def dtype(self):
        return next(iter(self.arrays.values())).dtype

    def present(self, tile):
        mask = np.zeros(self.grid.planes, bool)
        if tile.scanned:
            mask[:] = True
            mask[list(self.missing.get(tile.name, ()))] = False
        return mask

    def read(self, tile, z, out=None):
        count(planes_decoded=z.stop - z.start)
        self.reads += [(tile.name, k) for k in range(z.start, z.stop)]
        planes = self.arrays[tile.name][z]
        if out is None:
            return planes.copy()
        out[:] = planes
        return out


def grid_of(tile_size, positions, unscanned=()):
    """A grid of tiles at `positions` {(row, column): (x, y, z)}."""
    tiles = tuple(
        Tile(f"LOC{row}{column}", row, column, tuple(map(float, position)), (row, column) not in unscanned)
        for (row, column), position in sorted(positions.items())
    )
    rows, columns = (1 + max(key[axis] for key in positions) for axis in (0, 1))
    return TileGrid(rows, columns, tuple(tile_size), VOXEL_SIZE, tiles)


def placement_of(grid, positions, shift=None):
    tiles = tuple(
        PlacedTile(
            tile.name,
            tile.row,
            tile.column,
            tuple(map(float, positions[tile.row, tile.column])),
            tile.nominal,
            flags=() if tile.scanned else ("unscanned",),
        )
        for tile in grid.tiles
    )
    return Placement(tiles, (), grid.voxel_size, "CHN00", shift or {})


def cut(scene, grid, positions):
    """Tiles cut from an array [z, y, x] at whole positions."""
    width, height, depth = grid.tile_size
    arrays = {}
    for tile in grid.scanned:
        x, y, z = positions[tile.row, tile.column]
        arrays[tile.name] = scene[z : z + depth, y : y + height, x : x + width].copy()
        assert arrays[tile.name].shape == (depth, height, width)
    return arrays


def jittered(rows, columns, tile_size, overlap, seed, xy=3, z=2):
    """Whole positions {(row, column): (x, y, z)}, the smallest of each axis 0."""
    rng = np.random.default_rng(seed)
    at = {
        (r, c): np.array([c * (tile_size[0] - overlap), r * (tile_size[1] - overlap), 0])
        + rng.integers([-xy, -xy, -z], [xy + 1, xy + 1, z + 1])
        for r in range(rows)
        for c in range(columns)
    }
    lowest = np.min(list(at.values()), axis=0)
    return {key: tuple(int(v) for v in value - lowest) for key, value in at.items()}


def fuse_array(
    source, placement, *, blend="cosine", interpolation="linear", bounds=None, strips=1, depth=4, rows=8
):
    """The fused volume as an array, and the counts of all units."""
    layout = Layout.of(source, placement, interpolation=interpolation, bounds=bounds)
    scene = Scene(source, layout, seams_of(layout, source.grid), blend, rows)
    x_end, y_end, z_end = layout.size
    volume = np.full((z_end, y_end, x_end), 7, source.dtype)
    counted = []
    cuts = np.linspace(0, x_end, strips + 1).astype(int)
    for z in range(0, z_end, depth):
        for x0, x1 in pairwise(cuts):
            window = Bounds((x0, 0, z), (x1, y_end, min(z + depth, z_end)))
            parts = []
            counted.append(fuse_window(scene, window, lambda block, parts=parts: parts.append(block.copy())))
            volume[z : z + depth, :, x0:x1] = np.concatenate(parts, axis=1)
    return volume, scene, counted
