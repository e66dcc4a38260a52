"""Layout: the placement of one channel in voxels of the output, ready to be fused.

A position p falls apart into the voxel below it and a fraction. Where the fraction matters (and interpolation
is wanted), output voxel v takes its value between source voxels v - floor(p) - 1 and v - floor(p); elsewhere
p is rounded and counts are copied. Beyond the outermost source voxel its value is held for the rest of the
voxel, so that no row, column or plane is lost to a fraction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.space import Bounds, Vector3, Vector3i
from cloudreg_io.tiles import Tile, TileGrid, TileSource
from cloudreg_stitch.placement import Placement

Interpolation = Literal["linear", "nearest"]

# Below a twentieth of a voxel interpolation changes less than noise does, and it costs exactness.
_NEGLIGIBLE = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Footprint:
    """Where one tile lies in the output.

    Attributes
    ----------
    tile : Tile
    index : int
        Its place in `Layout.footprints`; ties are decided by it.
    origin : (x, y, z) int
        Output voxel of source voxel 0, rounded down.
    fraction : (x, y, z) float
        What rounding down took away; 0 on axes that are not interpolated.
    size : (x, y, z) int
        Size of the tile in voxels.
    present : bool array [planes]
        Which planes exist.
    """

    tile: Tile
    index: int
    origin: Vector3i
    fraction: Vector3
    size: Vector3i
    present: NDArray[np.bool_]

    @property
    def bounds(self) -> Bounds:
        """Output voxels that get a value from this tile."""
        x, y, z = (n + (f > 0) for n, f in zip(self.size, self.fraction, strict=True))
        return Bounds.of_size((x, y, z), self.origin)

    @property
    def home(self) -> Bounds:
        """Output voxels nearest to the source voxels, one for one: what accounting counts."""
        x, y, z = (o + (f >= 0.5) for o, f in zip(self.origin, self.fraction, strict=True))
        return Bounds.of_size(self.size, (x, y, z))

    def planes(self, z: int) -> tuple[tuple[int, float], ...]:
        """Planes that make output plane z and their shares, which add up to 1; empty where none is there."""
        k, f = z - self.origin[2], self.fraction[2]
        candidates = ((k, 1.0),) if f == 0 else ((k - 1, f), (k, 1.0 - f))
        found = [(k, share) for k, share in candidates if 0 <= k < self.size[2] and self.present[k]]
        return tuple(found) if len(found) == 2 else tuple((k, 1.0) for k, _ in found)

    def home_plane(self, z: int) -> int | None:
        """The plane that is nearest to output plane z, None where there is none."""
        k = z - self.home.lower[2]
        return k if 0 <= k < self.size[2] and self.present[k] else None


@dataclass(frozen=True)
class Layout:
    """All scanned tiles of a channel in the output volume.

    Attributes
    ----------
    footprints : tuple of Footprint
        In the order in which they are added: by first row, then by their order in the grid.
    size : (x, y, z) int
        Of the output volume.
    """

    footprints: tuple[Footprint, ...]
    size: Vector3i

    @classmethod
    def of(
        cls,
        source: TileSource,
        placement: Placement,
        *,
        interpolation: Interpolation = "linear",
        bounds: Bounds | None = None,
    ) -> Layout:
        """Lay out a channel.

        Parameters
        ----------
        source : TileSource
        placement : Placement
            Its `channel_shift` for the source's channel is added to every position.
        interpolation : "linear" or "nearest"
        bounds : Bounds, optional
            The part of the mosaic that becomes the volume.

        Raises
        ------
        InputError
            The placement is not one of this acquisition, or the bounds leave nothing.
        """
        positions = _positions(source.grid, placement)
        whole = Bounds.of_size(_size(positions.values(), placement.channel_shift, source.grid.tile_size))
        window = whole if bounds is None else whole.intersection(bounds)
        if window.is_empty:
            raise InputError(
                f"bounds {bounds} hold nothing of the mosaic, which has {whole.size} voxels (x, y, z)",
                fix="--bounds X0 Y0 Z0 X1 Y1 Z1, in voxels of the fused volume",
            )
        shift = placement.channel_shift.get(source.channel, (0.0, 0.0, 0.0))
        tiles = [
            _footprint(source, tile, _add(positions[tile.name], shift), window.lower, interpolation)
            for tile in source.grid.scanned
        ]
        tiles.sort(key=lambda footprint: (footprint.bounds.lower[1], footprint.index))
        return cls(tuple(replace(tile, index=i) for i, tile in enumerate(tiles)), window.size)

    @property
    def volume(self) -> Bounds:
        """The output voxels."""
        return Bounds.of_size(self.size)

    @cached_property
    def neighbours(self) -> tuple[tuple[int, ...], ...]:
        """For each footprint the indices, itself among them, of those that share output voxels with it."""
        boxes = [tile.bounds for tile in self.footprints]
        return tuple(
            tuple(j for j, other in enumerate(boxes) if i == j or not box.intersection(other).is_empty)
            for i, box in enumerate(boxes)
        )

    @property
    def tile_height(self) -> int:
        """Most output rows that one tile touches."""
        return max((tile.bounds.size[1] for tile in self.footprints), default=0)

    def within(self, window: Bounds) -> Iterator[Footprint]:
        """The footprints that touch a box, in the order in which they are added."""
        for tile in self.footprints:
            if not tile.bounds.intersection(window).is_empty:
                yield tile

    def input_planes(self) -> int:
        """Number of planes of the channel."""
        return sum(int(tile.present.sum()) for tile in self.footprints)


def _positions(grid: TileGrid, placement: Placement) -> dict[str, Vector3]:
    placed = placement.positions
    for tile in grid.scanned:
        if tile.name not in placed:
            raise InputError(
                f"tile {tile.name} is not in the placement",
                why="the placement belongs to another acquisition",
                fix="run the alignment of this acquisition, or give its own placement: --placement FILE",
            )
    names = {tile.name for tile in grid.scanned}
    if not names:
        raise InputError("no tile of this acquisition is scanned: there is nothing to fuse")
    return {name: position for name, position in placed.items() if name in names}


def _size(positions: Any, shifts: Mapping[str, Vector3], tile_size: Sequence[int]) -> Vector3i:
    """Size of the volume that holds every channel, so that all channels have the same grid."""
    farthest = np.max(np.array(list(positions), dtype=float), axis=0)
    shift = np.max(np.array([(0.0, 0.0, 0.0), *shifts.values()], dtype=float), axis=0)
    x, y, z = (math.floor(p + 0.5) + int(n) for p, n in zip(farthest + shift, tile_size, strict=True))
    return (x, y, z)


def _add(a: Vector3, b: Vector3) -> Vector3:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def _footprint(
    source: TileSource, tile: Tile, position: Vector3, lower: Vector3i, interpolation: Interpolation
) -> Footprint:
    split = [_split(p - low, interpolation) for p, low in zip(position, lower, strict=True)]
    (x, fx), (y, fy), (z, fz) = split
    index = source.grid.scanned.index(tile)
    return Footprint(tile, index, (x, y, z), (fx, fy, fz), source.grid.tile_size, source.present(tile))


def _split(position: float, interpolation: Interpolation) -> tuple[int, float]:
    """The voxel below a position and the fraction that is left, 0 when it does not matter."""
    below = math.floor(position)
    fraction = position - below
    if interpolation == "nearest" or not _NEGLIGIBLE < fraction < 1 - _NEGLIGIBLE:
        return math.floor(position + 0.5), 0.0
    return below, fraction
