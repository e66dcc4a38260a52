"""Grid: where the samples of an array lie in space.

Sample i of an axis lies at `origin + i * spacing` (µm), and stands for the voxel that reaches half a spacing
to either side. Physical 0 of a volume is the centre of its mip-0 voxel 0; averaging f voxels into one puts
sample i of that level at ((i + 0.5) f − 0.5) times the voxel size. Two grids are compared by these positions
alone, so that arrays of different voxel sizes meet without a shift of half a voxel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.space.bounds import Bounds
from cloudreg_io.space.vector import Vector3, Vector3i, vector3, vector3i
from cloudreg_io.space.voxel_size import VoxelSize

# an extent of 9.999999999 voxels is 10 voxels and a rounding error, not 11
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Grid:
    """A regular grid of samples, all vectors ordered x, y, z.

    Parameters
    ----------
    size : (x, y, z) int
        Number of samples; the array on the grid has shape `size[::-1]`.
    spacing : (x, y, z) float or VoxelSize
        Distance between neighbouring samples in µm.
    origin : (x, y, z) float
        Position of sample 0 in µm.

    Raises
    ------
    InputError
        When a size is below 1, a spacing not positive or a number not finite.
    """

    size: Vector3i
    spacing: Vector3
    origin: Vector3 = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", vector3i(self.size))
        object.__setattr__(self, "spacing", vector3(self.spacing))
        object.__setattr__(self, "origin", vector3(self.origin))
        if min(self.size) < 1:
            raise InputError(f"a grid of size {self.size} (x, y, z) holds no sample")
        if not all(math.isfinite(value) and value > 0 for value in self.spacing):
            raise InputError(f"a grid's spacing is positive, not {self.spacing} µm (x, y, z)")
        if not all(math.isfinite(value) for value in self.origin):
            raise InputError(f"a grid's origin is finite, not {self.origin} µm (x, y, z)")

    @classmethod
    def of_mip(
        cls, size: Sequence[int], voxel_size: Sequence[float] | VoxelSize, factor: Sequence[int] = (1, 1, 1)
    ) -> Grid:
        """The grid of a pyramid level.

        Parameters
        ----------
        size, voxel_size
            Of mip 0 (x, y, z).
        factor : (x, y, z) int
            How many mip-0 voxels one voxel of the level averages; a rest at the far side makes one more.
        """
        spacing, f = vector3(voxel_size), vector3i(factor)
        x, y, z = (-(-int(n) // step) for n, step in zip(size, f, strict=True))
        ox, oy, oz = ((step - 1) / 2 * s for step, s in zip(f, spacing, strict=True))
        return cls((x, y, z), vector3([s * step for s, step in zip(spacing, f, strict=True)]), (ox, oy, oz))

    @classmethod
    def of_array(cls, array: NDArray[Any], voxel_size: Sequence[float] | VoxelSize) -> Grid:
        """The grid of an array [z, y, x] whose voxel 0 lies at physical 0."""
        z, y, x = array.shape
        return cls((x, y, z), vector3(voxel_size))

    @property
    def shape(self) -> Vector3i:
        """Shape of an array [z, y, x] on the grid."""
        x, y, z = self.size
        return (z, y, x)

    @property
    def voxel_size(self) -> VoxelSize:
        """The spacing as a voxel size."""
        return VoxelSize.of(self.spacing)

    @property
    def corner(self) -> Vector3:
        """The lower outer corner of voxel 0 in µm: half a spacing below the origin."""
        return vector3([o - s / 2 for o, s in zip(self.origin, self.spacing, strict=True)])

    @property
    def extent(self) -> Vector3:
        """Distance between the outer corners in µm: size times spacing."""
        return vector3([n * s for n, s in zip(self.size, self.spacing, strict=True)])

    @property
    def centre(self) -> Vector3:
        """The point midway between the outer corners, in µm."""
        return vector3([c + e / 2 for c, e in zip(self.corner, self.extent, strict=True)])

    def moved(self, offset: Sequence[float]) -> Grid:
        """The grid with `offset` (x, y, z, µm) added to every position."""
        return Grid(self.size, self.spacing, vector3([o + d for o, d in zip(self.origin, offset, strict=True)]))

    def centred(self, on: Grid | None = None) -> Grid:
        """The grid moved so that the centre of `on` (by default its own) lies at 0.

        Pass the mip-0 grid as `on` for a level of a pyramid: a level whose last voxel is partly empty has
        a centre of its own, and centring each level on itself would shift them against each other.
        """
        x, y, z = (on or self).centre
        return self.moved((-x, -y, -z))

    def with_spacing(self, spacing: Sequence[float] | VoxelSize, size: Sequence[int] | None = None) -> Grid:
        """The grid of another voxel size that has the same lower outer corner.

        Parameters
        ----------
        spacing : (x, y, z) float or VoxelSize
            In µm.
        size : (x, y, z) int, optional
            By default as many voxels as cover the extent.
        """
        new = vector3(spacing)
        if size is None:
            size = [max(1, math.ceil(e / s - _ROUNDING)) for e, s in zip(self.extent, new, strict=True)]
        return Grid(vector3i(size), new, vector3([c + s / 2 for c, s in zip(self.corner, new, strict=True)]))

    def crop(self, bounds: Bounds) -> Grid:
        """The part of the grid that holds the samples of `bounds` (voxels)."""
        x, y, z = (o + low * s for o, low, s in zip(self.origin, bounds.lower, self.spacing, strict=True))
        return Grid(bounds.size, self.spacing, (x, y, z))

    def axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Positions of the samples along x, along y and along z, in µm."""
        x, y, z = (
            o + s * np.arange(n, dtype=np.float64)
            for n, s, o in zip(self.size, self.spacing, self.origin, strict=True)
        )
        return x, y, z

    def points(self) -> NDArray[np.float64]:
        """Positions (x, y, z) of all samples in µm, shape [z, y, x, 3]."""
        x, y, z = self.axes()
        points = np.empty((*self.shape, 3))
        points[..., 0] = x
        points[..., 1] = y[:, None]
        points[..., 2] = z[:, None, None]
        return points

    def index_of(self, points: ArrayLike) -> NDArray[np.float64]:
        """Fractional sample indices x, y, z of points given in µm, shape [..., 3]."""
        return (np.asarray(points, dtype=np.float64) - self.origin) / self.spacing

    def point_at(self, index: Sequence[float]) -> Vector3:
        """Position in µm of a fractional sample index x, y, z."""
        return vector3([o + i * s for o, i, s in zip(self.origin, index, self.spacing, strict=True)])

    def to_json(self) -> dict[str, list[float] | list[int]]:
        """The grid as JSON: {"size", "spacing_um", "origin_um"}, each x, y, z."""
        return {"size": list(self.size), "spacing_um": list(self.spacing), "origin_um": list(self.origin)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Grid:
        """The grid that `to_json` described.

        Raises
        ------
        InputError
            When a key is missing or holds something other than three numbers.
        """
        try:
            return cls(vector3i(value["size"]), vector3(value["spacing_um"]), vector3(value["origin_um"]))
        except KeyError as error:
            raise InputError(f"a grid needs the key {error}; found: {', '.join(map(str, value))}") from error
        except (TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{dict(value)} does not describe a grid", why=str(error)) from error
