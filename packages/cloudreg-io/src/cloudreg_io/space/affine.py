"""Affine: a linear map with a translation between two physical frames, in µm.

A point is a column (x, y, z); `(b @ a).apply(p)` is `b.apply(a.apply(p))`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.space.voxel_size import VoxelSize

# below, the map flattens space and its inverse is noise
_SMALLEST_RECIPROCAL_CONDITION = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """A 4×4 matrix in µm whose last row is 0 0 0 1. Equal and hashed by value; the matrix is read-only.

    Parameters
    ----------
    matrix : array_like, [4, 4], or [3, 4] without the last row

    Raises
    ------
    InputError
        When the shape is another, a number is not finite, the last row is not 0 0 0 1 or the map is singular.
    """

    matrix: NDArray[np.float64]

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        if matrix.shape == (3, 4):
            matrix = np.vstack([matrix, [0, 0, 0, 1]])
        if matrix.shape != (4, 4):
            raise InputError(f"an affine map is a 4×4 matrix, not {list(matrix.shape)}")
        if not np.isfinite(matrix).all():
            raise InputError(f"an affine map of finite numbers is needed, not {matrix.tolist()}")
        if not np.allclose(matrix[3], [0, 0, 0, 1], rtol=0, atol=1e-9):
            raise InputError(
                f"the last row of an affine map is 0 0 0 1, not {matrix[3].tolist()}",
                why="the matrix is transposed, or is a projection",
            )
        matrix[3] = [0, 0, 0, 1]
        scales = np.linalg.svd(matrix[:3, :3], compute_uv=False)
        if scales[2] <= _SMALLEST_RECIPROCAL_CONDITION * scales[0]:
            raise InputError(f"the affine map {matrix.tolist()} is singular: it maps space onto a plane or less")
        matrix += 0.0  # −0 and 0 are one value and must have one hash
        matrix.flags.writeable = False
        object.__setattr__(self, "matrix", matrix)

    @classmethod
    def identity(cls) -> Affine:
        """The map that moves nothing."""
        return cls(np.eye(4))

    @classmethod
    def from_parameters(
        cls,
        *,
        translation: Sequence[float] = (0, 0, 0),
        rotation: Sequence[float] = (0, 0, 0),
        scale: Sequence[float] = (1, 1, 1),
    ) -> Affine:
        """Scale, then rotate about x, then y, then z (fixed axes), then translate.

        Parameters
        ----------
        translation : (x, y, z) float
            In µm; neither scaled nor rotated.
        rotation : (x, y, z) float
            In degrees, counter-clockwise when looking against the axis.
        scale : (x, y, z) float
        """
        linear = np.diag([float(value) for value in scale])
        for axis, degrees in enumerate(rotation):
            linear = _rotation(axis, math.radians(degrees)) @ linear
        return cls(np.column_stack([linear, [float(value) for value in translation]]))

    @property
    def linear(self) -> NDArray[np.float64]:
        """The 3×3 part."""
        return self.matrix[:3, :3]

    @property
    def translation(self) -> NDArray[np.float64]:
        """Where 0 goes (x, y, z), in µm."""
        return self.matrix[:3, 3]

    @property
    def determinant(self) -> float:
        """By how much volumes grow; negative for a map that mirrors."""
        return float(np.linalg.det(self.linear))

    def __matmul__(self, other: Affine) -> Affine:
        return Affine(self.matrix @ other.matrix)

    def inverse(self) -> Affine:
        """The map back."""
        linear = np.linalg.inv(self.linear)
        return Affine(np.column_stack([linear, -linear @ self.translation]))

    def apply(self, points: ArrayLike) -> NDArray[np.float64]:
        """Map points x, y, z in µm, shape [..., 3]."""
        array = np.asarray(points, dtype=np.float64)
        if array.shape[-1:] != (3,):
            raise InputError(f"points have three coordinates x, y, z: shape [n, 3], not {list(array.shape)}")
        mapped: NDArray[np.float64] = array @ self.linear.T + self.translation
        return mapped

    def to_neuroglancer(self, voxel_size: VoxelSize, onto: VoxelSize) -> Affine:
        """The same map between frames whose 0 is the outer corner of voxel 0, as Neuroglancer counts.

        Parameters
        ----------
        voxel_size, onto : VoxelSize
            Mip-0 voxel sizes of the volume that is mapped and of the one that gives the frame.
        """
        to_centre, to_corner = np.eye(4), np.eye(4)
        to_centre[:3, 3] = [-edge / 2 for edge in voxel_size]
        to_corner[:3, 3] = [edge / 2 for edge in onto]
        return Affine(to_corner @ self.matrix @ to_centre)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.matrix, dtype=dtype, copy=copy)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Affine) and np.array_equal(self.matrix, other.matrix)

    def __hash__(self) -> int:
        return hash(self.matrix.tobytes())

    def __reduce__(self) -> tuple[type[Affine], tuple[NDArray[np.float64]]]:
        return (Affine, (self.matrix,))  # pickle would lose the read-only flag


def _rotation(axis: int, angle: float) -> NDArray[np.float64]:
    cosine, sine = math.cos(angle), math.sin(angle)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix
