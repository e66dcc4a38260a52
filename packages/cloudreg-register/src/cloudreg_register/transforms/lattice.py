"""Lattice: a map evaluated at few points, and trilinear between them.

A registration's map is smooth: between points a quarter of the velocity's spacing apart it is a straight line but
for a hundredth of that spacing. So a block of voxels needs its map at some lattice points only. The lattice is
counted from voxel 0 of the grid, so that what a voxel gets does not depend on the block in which it is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.space import Bounds, Grid, Vector3i, vector3i
from cloudreg_register.transforms.transform import Mapper, Transform

_PER_SAMPLE = 4  # lattice points per sample of the velocity, along an axis
_LARGEST_STEP = 64


def lattice_step(transform: Transform, grid: Grid) -> Vector3i:
    """Voxels of a grid from one lattice point to the next, along x, y, z."""
    wanted = min(transform.velocity_grid.spacing) / _PER_SAMPLE
    return vector3i([min(_LARGEST_STEP, max(1, int(wanted / edge))) for edge in grid.spacing])


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """Where the voxels of a box come from, in fractional sample indices of another grid.

    Attributes
    ----------
    nodes : [3, z, y, x] float64
        Indices x, y, z at the lattice points.
    step : (x, y, z) int
        Voxels between lattice points.
    lower : (x, y, z) int
        The voxel at the first lattice point.
    """

    nodes: NDArray[np.float64]
    step: Vector3i
    lower: Vector3i

    @classmethod
    def of(cls, mapper: Mapper, grid: Grid, bounds: Bounds, onto: Grid, step: Vector3i) -> Lattice:
        """The lattice around a box.

        Parameters
        ----------
        mapper : Mapper
            From the volume of `grid` to the volume of `onto`.
        grid : Grid
            Of the voxels, in the physical frame of their volume.
        bounds : Bounds
            The box, in voxels of `grid`; not empty.
        onto : Grid
            In whose indices positions are given, in the physical frame of its volume.
        step : (x, y, z) int
        """
        first = [low // s for low, s in zip(bounds.lower, step, strict=True)]
        last = [max(f, -(-(up - 1) // s)) for up, s, f in zip(bounds.upper, step, first, strict=True)]
        lower = vector3i([f * s for f, s in zip(first, step, strict=True)])
        spacing = [s * edge for s, edge in zip(step, grid.spacing, strict=True)]
        size = [b - a + 1 for a, b in zip(first, last, strict=True)]
        points = Grid(vector3i(size), (spacing[0], spacing[1], spacing[2]), grid.point_at(lower)).points()
        index = onto.index_of(mapper.mapped(points.reshape(-1, 3)))
        return cls(np.ascontiguousarray(index.T).reshape(3, *points.shape[:3]), step, lower)

    def part(self, bounds: Bounds) -> Lattice:
        """The lattice around a smaller box."""
        first = [(low - at) // s for low, at, s in zip(bounds.lower, self.lower, self.step, strict=True)]
        last = [
            max(f, -(-(up - 1 - at) // s))
            for up, at, s, f in zip(bounds.upper, self.lower, self.step, first, strict=True)
        ]
        x, y, z = (slice(a, b + 1) for a, b in zip(first, last, strict=True))
        lower = vector3i([at + f * s for at, f, s in zip(self.lower, first, self.step, strict=True)])
        return Lattice(self.nodes[:, z, y, x], self.step, lower)

    def reach(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The smallest and the largest index x, y, z of all positions in the lattice's box.

        Exact: what is trilinear between points lies between them.
        """
        flat = self.nodes.reshape(3, -1)
        return flat.min(axis=1), flat.max(axis=1)

    def positions(self, bounds: Bounds, origin: NDArray[np.int64]) -> NDArray[np.float32]:
        """Indices [3, z, y, x] of the voxels of a box, counted from sample `origin` (x, y, z)."""
        nodes = (self.nodes - origin[:, None, None, None]).astype(np.float32)
        x, y, z = (
            _weights(low - at, up - at, s, n)
            for low, up, at, s, n in zip(
                bounds.lower, bounds.upper, self.lower, self.step, reversed(nodes.shape[1:]), strict=True
            )
        )
        _, kz, ky, kx = nodes.shape
        planes = np.matmul(z, nodes.reshape(3, kz, ky * kx)).reshape(3, len(z), ky, kx)
        rows: NDArray[np.float32] = np.matmul(y, planes).reshape(-1, kx) @ x.T
        return rows.reshape(3, len(z), len(y), len(x))


@lru_cache(maxsize=256)
def _weights(begin: int, end: int, step: int, nodes: int) -> NDArray[np.float32]:
    """Of the lattice points along an axis, for voxels at these offsets from the first: [voxel, point]."""
    distance = np.abs(np.arange(begin, end)[:, None] / step - np.arange(nodes))
    return np.asarray(np.maximum(0, 1 - distance), np.float32)
