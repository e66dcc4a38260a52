"""A crop: which tiles and planes a box of the mosaic needs, so that a corner can be tried in minutes.

Tiles that may reach into the box, as far as the stage may be off, are aligned and fused; their neighbours are
aligned with them, because a tile is placed by all its overlaps. Only the planes near the box are read. Tiles that
lie beyond keep the stage's word, which also ties the frame of the box to that of the whole mosaic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.space import Bounds, Vector3, Vector3i, vector3, vector3i
from cloudreg_io.space.grid import Grid
from cloudreg_io.tiles import Acquisition, Tile, TileGrid, TileSource
from cloudreg_stitch.placement import PlacedTile, Placement

_LEAST_PLANES = 48  # for alignment: a thin box would leave it too little to see
_DIGITS = 4  # of a voxel


@dataclass(frozen=True, slots=True)
class Crop:
    """What a box needs.

    Attributes
    ----------
    bounds : Bounds
        The box, in voxels of the mosaic.
    tiles : frozenset of str
        Names of the tiles that are read.
    planes : (first, end)
        The planes of them that are read.
    """

    bounds: Bounds
    tiles: frozenset[str]
    planes: tuple[int, int]

    @classmethod
    def of(
        cls, grid: TileGrid, bounds: Bounds, margin: Vector3i, positions: Mapping[str, Vector3] | None = None
    ) -> Crop | None:
        """What a box needs; None when it lies beside the mosaic.

        Parameters
        ----------
        grid : TileGrid
        bounds : Bounds
        margin : (x, y, z) int
            How far, in voxels, tiles may be off.
        positions : mapping of tile name to (x, y, z), optional
            Where the tiles are known to be, in voxels of the mosaic: nothing is aligned then, without neighbours.
            By default where the stage says.
        """
        known = positions or Placement.by_stage(grid).positions
        reach = Bounds(
            vector3i([low - m - 1 for low, m in zip(bounds.lower, margin, strict=True)]),
            vector3i([high + m + 1 for high, m in zip(bounds.upper, margin, strict=True)]),
        )
        touching = [tile for tile in grid.scanned if _touches(known[tile.name], grid.tile_size, reach)]
        if not touching:
            return None
        depths = [known[tile.name][2] for tile in touching]
        first = int(np.floor(reach.lower[2] - max(depths)))
        end = int(np.ceil(reach.upper[2] - min(depths)))
        chosen = touching if positions else _with_neighbours(grid, touching)
        return cls(
            bounds,
            frozenset(tile.name for tile in chosen),
            _clipped(first, end, 1 if positions else _LEAST_PLANES, grid.planes),
        )

    @classmethod
    def at(cls, grid: TileGrid, bounds: Bounds, placement: Placement) -> Crop | None:
        """What a box needs of tiles that are placed already."""
        shifts = np.abs([(0.0, 0.0, 0.0), *placement.channel_shift.values()]).max(axis=0)
        margin = vector3i(np.ceil(shifts).astype(int).tolist())
        return cls.of(grid, bounds, margin, placement.positions)

    def to_json(self) -> dict[str, Any]:
        """As a JSON value."""
        return {"tiles": sorted(self.tiles), "planes": list(self.planes)}

    def part(self, acquisition: Acquisition) -> Acquisition:
        """The acquisition as if only these planes of these tiles had been imaged."""
        first, end = self.planes
        tiles = tuple(replace(tile, z_ranges=self._ranges(tile)) for tile in acquisition.grid.tiles)
        files: dict[str, dict[str, Sequence[Path | None]]] = {
            channel: {
                name: [path if name in self.tiles and first <= z < end else None for z, path in enumerate(paths)]
                for name, paths in of_channel.items()
            }
            for channel, of_channel in acquisition.files.items()
        }
        return replace(
            acquisition,
            grid=replace(acquisition.grid, tiles=tiles),
            files=files,
            problems=tuple(problem for problem in acquisition.problems if problem.tile in self.tiles),
        )

    def _ranges(self, tile: Tile) -> tuple[tuple[int, int], ...]:
        if tile.name not in self.tiles:
            return ()
        ranges = tile.z_ranges if tile.z_ranges is not None else (self.planes,)
        inside = [(max(first, self.planes[0]), min(end, self.planes[1])) for first, end in ranges]
        return tuple((first, end) for first, end in inside if first < end)

    def grid(self, grid: TileGrid) -> TileGrid:
        """The tiles as deep as the crop; those that are not read count as not scanned."""
        width, height, _ = grid.tile_size
        tiles = tuple(
            replace(tile, scanned=tile.scanned and tile.name in self.tiles, z_ranges=None) for tile in grid.tiles
        )
        return replace(grid, tile_size=(width, height, self.planes[1] - self.planes[0]), tiles=tiles)

    def whole(self, placement: Placement, grid: TileGrid) -> Placement:
        """A placement of the crop's tiles made one of all tiles of `grid`, in the frame of the mosaic."""
        inside = [tile for tile in placement.tiles if tile.scanned]
        # as all tiles of a whole mosaic, those of the crop are on average where the stage says
        offset = np.mean([np.subtract(tile.nominal, tile.position) for tile in inside], axis=0)
        scanned = {tile.name for tile in grid.scanned}
        positions = np.array(
            [np.add(t.position, offset) if t.scanned else t.nominal for t in placement.tiles], np.float64
        )
        positions -= positions[[tile.name in scanned for tile in placement.tiles]].min(axis=0)
        positions = np.round(positions, _DIGITS) + 0.0
        tiles = tuple(
            _widened(tile, vector3(position), tile.name in scanned)
            for tile, position in zip(placement.tiles, positions, strict=True)
        )
        return replace(placement, tiles=tiles)

    def local(self, placement: Placement) -> tuple[Placement, Vector3i]:
        """A placement of the whole mosaic as one of the crop's tiles and planes, and where its voxel 0 lies."""
        inside = [tile for tile in placement.scanned if tile.name in self.tiles]
        lifted = {tile.name: np.add(tile.position, (0, 0, self.planes[0])) for tile in inside}
        origin = vector3i(np.floor(np.min(list(lifted.values()), axis=0)).astype(int).tolist())
        tiles = tuple(
            replace(tile, position=vector3(np.subtract(lifted[tile.name], origin).tolist()))
            if tile.name in lifted
            else replace(tile, flags=("unscanned",))
            for tile in placement.tiles
        )
        return replace(placement, tiles=tiles), origin

    def in_words(self, grid: TileGrid) -> str:
        """What is left out, for a person."""
        return (
            f"a crop: {len(self.tiles)} of {len(grid.scanned)} tiles and {self.planes[1] - self.planes[0]} of "
            f"{grid.planes} planes are read; the whole may place tiles a little differently"
        )


@dataclass(frozen=True, slots=True, eq=False)
class CroppedTiles:
    """The tiles and planes of a crop, as a source of their own."""

    source: TileSource
    crop: Crop

    @property
    def grid(self) -> TileGrid:
        """The tiles, as deep as the crop."""
        return self.crop.grid(self.source.grid)

    @property
    def channel(self) -> str:
        """Name of the channel."""
        return self.source.channel

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the planes."""
        return self.source.dtype

    def present(self, tile: Tile) -> NDArray[np.bool_]:
        """Which of the crop's planes exist."""
        return self.source.present(self.source.grid.tile(tile.name))[slice(*self.crop.planes)]

    def read(self, tile: Tile, z: slice, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Planes z, counted from the crop's first, of a tile as [z, y, x]."""
        first, end = self.crop.planes
        wanted = range(first, end)[z]
        return self.source.read(self.source.grid.tile(tile.name), slice(wanted.start, wanted.stop), out)


def moved(grid: Grid, voxels: Vector3i, spacing: Sequence[float]) -> Grid:
    """A grid whose voxel 0 lies at `voxels` (x, y, z) of a volume with voxels of `spacing` µm."""
    return replace(grid, origin=vector3([o + n * s for o, n, s in zip(grid.origin, voxels, spacing, strict=True)]))


def _touches(position: Vector3, size: Vector3i, box: Bounds) -> bool:
    return all(
        p < high and low < p + n for p, n, low, high in zip(position, size, box.lower, box.upper, strict=True)
    )


def _with_neighbours(grid: TileGrid, tiles: Sequence[Tile]) -> list[Tile]:
    steps = list(product((-1, 0, 1), repeat=2))
    cells = {(tile.row + dy, tile.column + dx) for tile in tiles for dy, dx in steps}
    return [tile for tile in grid.scanned if (tile.row, tile.column) in cells]


def _clipped(first: int, end: int, least: int, planes: int) -> tuple[int, int]:
    lack = max(0, least - (end - first))
    first, end = first - lack // 2, end + (lack - lack // 2)
    # a box at an end of the tiles is widened to the other side
    first, end = first - max(0, end - planes), end + max(0, -first)
    return max(0, first), min(planes, end)


def _widened(tile: PlacedTile, position: Vector3, scanned: bool) -> PlacedTile:
    if tile.scanned or not scanned:
        return replace(tile, position=position if scanned else tile.nominal)
    return replace(tile, position=position, confidence=0.0, flags=("stage_position",))
