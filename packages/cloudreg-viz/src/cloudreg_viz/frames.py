"""The half voxel: from CloudReg's frame to Neuroglancer's, in one place.

CloudReg puts physical 0 of a volume at the *centre* of its mip-0 voxel 0; Neuroglancer puts coordinate 0 at
that voxel's *corner*, so that voxel i covers [i, i + 1). A point therefore moves by half a voxel of its own
volume, and an affine map between two volumes of different voxel sizes changes its translation.

Neuroglancer reads the linear part of a layer's matrix as a map between physical lengths, whatever the two
scales are, and its last column in units of `outputDimensions` (google/neuroglancer,
src/coordinate_transform.ts, `transformBoundingBox`). With `outputDimensions` of 1 µm the matrix is simply the
map in µm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.space import VoxelSize

MICROMETRE = 1e-6


def dimensions(voxel_size: VoxelSize) -> dict[str, list[Any]]:
    """Neuroglancer's coordinate space x, y, z with one unit a voxel, in metres."""
    # 0.585 * 1e-6 is 5.849999999999999e-07: round to a millionth of a nanometre
    return {axis: [round(um * MICROMETRE, 15), "m"] for axis, um in zip("xyz", voxel_size, strict=True)}


def position(point_um: Sequence[float], voxel_size: VoxelSize) -> list[float]:
    """Neuroglancer's position (voxels, x y z) of a point in µm of CloudReg's frame of that volume."""
    return [um / edge + 0.5 for um, edge in zip(point_um, voxel_size, strict=True)]


def corner_affine(affine: ArrayLike, voxel_size: VoxelSize, onto: VoxelSize) -> NDArray[np.float64]:
    """An affine map between two centred frames, as a map between the same volumes' corner frames.

    Parameters
    ----------
    affine : array_like, shape (4, 4)
        y = affine @ x, x in µm of the layer's frame, y in µm of the frame it is shown in.
    voxel_size : VoxelSize
        Mip-0 voxel size of the layer.
    onto : VoxelSize
        Mip-0 voxel size of the volume that gives the frame.

    Returns
    -------
    array, shape (4, 4)
        The same map with both zeros at the corner of voxel 0.

    Raises
    ------
    InputError
        When the matrix is not an invertible affine map of 3-D space.
    """
    matrix = np.array(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or not np.array_equal(matrix[3], [0, 0, 0, 1]):
        raise InputError(
            f"not an affine map: {np.array2string(matrix, precision=3)}",
            fix="give a finite 4×4 matrix in µm whose last row is 0 0 0 1",
        )
    if np.linalg.matrix_rank(matrix[:3, :3]) < 3:
        raise InputError("the affine map is singular: it would show the layer flat", fix="check its 3×3 part")
    half_in, half_out = np.array([*voxel_size]) / 2, np.array([*onto]) / 2
    matrix[:3, 3] += half_out - matrix[:3, :3] @ half_in
    return matrix


def layer_transform(affine: ArrayLike, voxel_size: VoxelSize, onto: VoxelSize) -> dict[str, Any]:
    """The `transform` of a layer's source; see `corner_affine` for the arguments."""
    return {
        "matrix": corner_affine(affine, voxel_size, onto)[:3].tolist(),
        "inputDimensions": dimensions(voxel_size),
        "outputDimensions": {axis: [MICROMETRE, "m"] for axis in "xyz"},
    }
