"""Jacobian and inverse consistency: what shows whether a transform is a diffeomorphism, as maps.

The determinant of the Jacobian of x ↦ y = A φ(x) is by how much a volume grows on its way; where it is not
positive space is folded. It is taken from differences between neighbouring samples of the mapped grid (central,
one-sided at the border), so that it tells of folds between voxels too, which the exact flow of a velocity never
has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.space import Bounds, Grid
from cloudreg_register.transforms.transform import Mapper, Space, Transform, other

_VOXELS = 1 << 21  # mapped at a time


def jacobian_map(transform: Transform, grid: Grid, to: Space = "target") -> NDArray[np.float32]:
    """Determinants of the Jacobian.

    Parameters
    ----------
    transform : Transform
    grid : Grid
        Where they are wanted, in the physical frame of the volume that is mapped; at least two samples an axis.
    to : "target" or "atlas"
        Where that volume is mapped to.

    Returns
    -------
    [z, y, x] float32
        Relative to the sign of the affine map, so that 1 is "unchanged" for a pair of volumes of which one is
        mirrored, too.

    Raises
    ------
    InputError
        When an axis of the grid has a single sample.
    """
    if min(grid.size) < 2:
        raise InputError(f"differences need two samples along every axis, not a grid of {grid.size}")
    mapper = transform.mapper(to)
    sign = np.sign(np.linalg.det(mapper.linear))
    result = np.empty(grid.shape, np.float32)
    for begin, end in _slabs(grid):
        low, high = max(begin - 1, 0), min(end + 1, grid.size[2])
        low = min(low, high - 2)
        positions = _mapped(mapper, grid, low, high)
        result[begin:end] = sign * _determinants(positions, grid)[begin - low : end - low]
    return result


def inverse_consistency_map(transform: Transform, grid: Grid, to: Space = "target") -> NDArray[np.float32]:
    """How far points are from where they were after the way there and back, in µm.

    Parameters
    ----------
    transform, grid, to
        As in `jacobian_map`.

    Returns
    -------
    [z, y, x] float32
    """
    there = transform.mapper(to)
    back = transform.mapper(other(to))
    result = np.empty(grid.shape, np.float32)
    for begin, end in _slabs(grid):
        points = _slab(grid, begin, end).points()
        returned = back.mapped(there.mapped(points.reshape(-1, 3))).reshape(points.shape)
        result[begin:end] = np.linalg.norm(returned - points, axis=-1)
    return result


@dataclass(frozen=True, slots=True)
class Regularity:
    """Whether a transform is a diffeomorphism, in figures.

    Attributes
    ----------
    voxels : int
        Samples that were looked at.
    folded : int
        Of them, those with a determinant that is not positive.
    smallest, largest : float
        Determinants.
    inverse_error_mean_um, inverse_error_max_um : float
    """

    voxels: int
    folded: int
    smallest: float
    largest: float
    inverse_error_mean_um: float
    inverse_error_max_um: float

    @classmethod
    def of(cls, transform: Transform, grid: Grid | None = None) -> Regularity:
        """Figures of the map to the target, on the atlas's own voxels by default."""
        grid = grid or transform.atlas.grid()
        return cls.of_maps(jacobian_map(transform, grid), inverse_consistency_map(transform, grid))

    @classmethod
    def of_maps(cls, determinants: NDArray[np.float32], errors: NDArray[np.float32]) -> Regularity:
        """Figures of a `jacobian_map` and an `inverse_consistency_map`."""
        return cls(
            determinants.size,
            int((determinants <= 0).sum()),
            float(determinants.min()),
            float(determinants.max()),
            float(errors.mean(dtype=np.float64)),
            float(errors.max()),
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "voxels": self.voxels,
            "folded": self.folded,
            "jacobian_min": self.smallest,
            "jacobian_max": self.largest,
            "inverse_error_mean_um": self.inverse_error_mean_um,
            "inverse_error_max_um": self.inverse_error_max_um,
        }


def _slabs(grid: Grid) -> Iterator[tuple[int, int]]:
    depth = max(1, _VOXELS // (grid.size[0] * grid.size[1]))
    for begin in range(0, grid.size[2], depth):
        yield begin, min(begin + depth, grid.size[2])


def _slab(grid: Grid, begin: int, end: int) -> Grid:
    return grid.crop(Bounds((0, 0, begin), (grid.size[0], grid.size[1], end)))


def _mapped(mapper: Mapper, grid: Grid, begin: int, end: int) -> NDArray[np.float64]:
    points = _slab(grid, begin, end).points()
    return mapper.mapped(points.reshape(-1, 3)).reshape(points.shape)


def _determinants(positions: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """Of mapped positions [z, y, x, 3]."""
    x, y, z = (np.gradient(positions, grid.spacing[k], axis=2 - k) for k in range(3))
    return np.asarray((np.cross(x, y) * z).sum(axis=-1))
