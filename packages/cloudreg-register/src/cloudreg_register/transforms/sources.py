"""Sources: images and labels to be warped, read box by box from memory, a mapped file or a precomputed volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.files.atomic import atomic_path
from cloudreg_io.space import Bounds, Grid, Vector3i, vector3i
from cloudreg_io.volumes import Volume
from cloudreg_io.volumes.mips import scaled_size
from cloudreg_io.volumes.pyramid import downsample_sums, mean_from_sums, sums_dtype

_ROUNDING = 1e-6


class Source(Protocol):
    """What can be warped."""

    @property
    def grid(self) -> Grid:
        """Where its samples lie, in the physical frame of its volume."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its voxels."""
        ...

    def read(self, bounds: Bounds) -> NDArray[Any]:
        """The voxels [z, y, x] of a box of samples of the grid."""
        ...

    def voxels_read(self, bounds: Bounds) -> int:
        """How many voxels must be in memory to read a box."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ArraySource:
    """An array [z, y, x] in memory."""

    array: NDArray[Any]
    grid: Grid

    def __post_init__(self) -> None:
        _require_fit(self.array, self.grid)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its voxels."""
        return self.array.dtype

    def read(self, bounds: Bounds) -> NDArray[Any]:
        """A view of a box."""
        return self.array[bounds.slices()]

    def voxels_read(self, bounds: Bounds) -> int:
        """None are copied."""
        return 0


@dataclass(frozen=True, slots=True)
class FileSource:
    """An array [z, y, x] in a .npy file, which is mapped: all workers of a machine share one copy in memory."""

    path: Path
    grid: Grid

    @classmethod
    def write(cls, path: Path, array: NDArray[Any], grid: Grid) -> FileSource:
        """Keep an array in a file, atomically."""
        _require_fit(array, grid)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path, durable=False) as temporary, temporary.open("wb") as file:
            np.save(file, array)
        return cls(path, grid)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its voxels."""
        return _mapped(self.path).dtype

    def read(self, bounds: Bounds) -> NDArray[Any]:
        """A view of a box."""
        return _mapped(self.path)[bounds.slices()]

    def voxels_read(self, bounds: Bounds) -> int:
        """None are copied."""
        return 0


@dataclass(frozen=True, slots=True)
class VolumeSource:
    """One channel of a level of a precomputed volume, read as it is or averaged over blocks while it is read.

    Attributes
    ----------
    volume : Volume
    grid : Grid
        Of the samples that `read` gives.
    mip, channel : int
    factor : (x, y, z) int
        How many voxels of the level one sample averages.
    """

    volume: Volume
    grid: Grid
    mip: int = 0
    channel: int = 0
    factor: Vector3i = (1, 1, 1)

    @classmethod
    def of_labels(cls, volume: Volume, grid: Grid | None = None) -> VolumeSource:
        """Labels at their finest: mip 0, never averaged.

        Parameters
        ----------
        volume : Volume
        grid : Grid, optional
            Where the voxels of mip 0 lie, when that is not at the volume's own physical 0 (`Frame.aligned`).
        """
        return cls(volume, grid or volume.grid())

    @classmethod
    def of_image(
        cls, volume: Volume, spacing: Sequence[float], grid: Grid | None = None, channel: int = 0
    ) -> VolumeSource:
        """An image about as fine as wanted: the coarsest mip that is no coarser, averaged where that is too fine.

        Parameters
        ----------
        volume : Volume
        spacing : (x, y, z) float
            Of the samples that are wanted, in µm along the axes of this volume.
        grid : Grid, optional
            As in `of_labels`.
        channel : int
        """
        fine_enough = [max(a, b) for a, b in zip(spacing, volume.voxel_size(), strict=True)]
        mip, edges = volume.mip_at(fine_enough)
        factor = vector3i([max(1, int(s / e + _ROUNDING)) for s, e in zip(fine_enough, edges, strict=True)])
        shift = (0.0, 0.0, 0.0) if grid is None else grid.origin
        level = volume.grid(mip).moved(shift)
        x, y, z = (o + (f - 1) / 2 * s for o, f, s in zip(level.origin, factor, level.spacing, strict=True))
        stretched = [f * s for f, s in zip(factor, level.spacing, strict=True)]
        shrunken = Grid(scaled_size(level.size, factor), (stretched[0], stretched[1], stretched[2]), (x, y, z))
        return cls(volume, shrunken, mip, channel, factor)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its voxels."""
        return self.volume.dtype

    def read(self, bounds: Bounds) -> NDArray[Any]:
        """A box, averaged over blocks; blocks at the far edges are smaller."""
        box = self._of_level(bounds)
        array = self.volume.read(box, self.mip, self.channel)
        if math.prod(self.factor) == 1:
            return array
        sums = downsample_sums(array, self.factor, sums_dtype(array.dtype, math.prod(self.factor)))
        return mean_from_sums(sums, array.dtype, factor=self.factor, size=box.size)

    def voxels_read(self, bounds: Bounds) -> int:
        """Those of the level in the box."""
        return self._of_level(bounds).voxels

    def _of_level(self, bounds: Bounds) -> Bounds:
        lower, upper = (
            vector3i([n * f for n, f in zip(corner, self.factor, strict=True)])
            for corner in (bounds.lower, bounds.upper)
        )
        offset = self.volume.bounds(self.mip).lower
        return Bounds(lower, upper).translate(offset).intersection(self.volume.bounds(self.mip))


def _require_fit(array: NDArray[Any], grid: Grid) -> None:
    if array.shape != grid.shape:
        raise InputError(f"an array {list(array.shape)} does not fit its grid {list(grid.shape)} [z, y, x]")


@lru_cache(maxsize=8)
def _mapped(path: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array
