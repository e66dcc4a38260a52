"""A source of corrected planes: the decorator through which corrections reach alignment and fusion.

Nothing is written in between: planes are corrected as they are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_correct.apply import BiasOfPlane, Clipped, correct_plane
from cloudreg_io.errors import InputError
from cloudreg_io.fields import Bias, Shading
from cloudreg_io.run.counters import count
from cloudreg_io.space import Vector3
from cloudreg_io.tiles import Tile, TileGrid, TileSource


@dataclass(frozen=True, slots=True, eq=False)
class CorrectedTiles:
    """The planes of another source, corrected.

    Attributes
    ----------
    source : TileSource
    shading : Shading, optional
        Of the shape of the planes.
    bias : Bias, optional
        In the frame of the fused volume; needs `positions`.
    positions : mapping of tile name to (x, y, z)
        Where voxel 0 of each tile lies in the fused volume, in voxels.

    Raises
    ------
    InputError
        Shading of another shape, or a bias without positions.
    """

    source: TileSource
    shading: Shading | None = None
    bias: Bias | None = None
    positions: Mapping[str, Vector3] = field(default_factory=dict)

    def __post_init__(self) -> None:
        x, y, _ = self.source.grid.tile_size
        if self.shading is not None and self.shading.flat.shape != (y, x):
            raise InputError(
                f"the shading is {list(self.shading.flat.shape)} [y, x], the planes are {[y, x]}",
                why="it was estimated on another acquisition",
                fix="estimate it on this one",
            )
        if self.bias is not None:
            lost = [tile.name for tile in self.source.grid.scanned if tile.name not in self.positions]
            if lost:
                raise InputError(f"a bias needs the position of every tile; none for {', '.join(lost[:5])}")

    @property
    def grid(self) -> TileGrid:
        """The tiles."""
        return self.source.grid

    @property
    def channel(self) -> str:
        """Name of the channel."""
        return self.source.channel

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the raw planes."""
        return self.source.dtype

    def present(self, tile: Tile) -> NDArray[np.bool_]:
        """Which of the tile's planes exist."""
        return self.source.present(tile)

    def read(self, tile: Tile, z: slice, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Corrected planes z of a tile as [z, y, x]; planes that are not there read as 0."""
        planes = self.source.read(tile, z, out)
        wanted = range(*z.indices(self.grid.planes))
        here = self.present(tile)
        clipped = Clipped()
        for plane, index in zip(planes, wanted, strict=True):
            if here[index]:
                clipped += correct_plane(plane, self.shading, self._bias_of(tile, index), out=plane)[1]
        count(values_clipped_low=clipped.low, values_clipped_high=clipped.high)
        return planes

    def _bias_of(self, tile: Tile, plane: int) -> BiasOfPlane | None:
        if self.bias is None:
            return None
        x, y, z = self.positions[tile.name]
        voxel = self.grid.voxel_size
        width, height, _ = self.grid.tile_size
        return BiasOfPlane.at(self.bias, (x, y, z + plane), (voxel.x, voxel.y, voxel.z), (height, width))
