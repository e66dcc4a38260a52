"""Frames: from CloudReg's to Neuroglancer's, as its JSON wants them.

CloudReg puts physical 0 of a volume at the *centre* of its mip-0 voxel 0; Neuroglancer puts coordinate 0 at
that voxel's *corner*, so that voxel i covers [i, i + 1). A point therefore moves by half a voxel of its own
volume, and an affine map between two volumes of different voxel sizes changes its translation
(`cloudreg_io.space.Affine.to_neuroglancer`).

Neuroglancer reads the linear part of a layer's matrix as a map between physical lengths, whatever the two
scales are, and its last column in units of `outputDimensions` (google/neuroglancer,
src/coordinate_transform.ts, `transformBoundingBox`). With `outputDimensions` of 1 µm the matrix is simply the
map in µm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cloudreg_io.space import Affine, VoxelSize

MICROMETRE = 1e-6


def dimensions(voxel_size: VoxelSize) -> dict[str, list[Any]]:
    """Neuroglancer's coordinate space x, y, z with one unit a voxel, in metres."""
    # 0.585 * 1e-6 is 5.849999999999999e-07: round to a millionth of a nanometre
    return {axis: [round(um * MICROMETRE, 15), "m"] for axis, um in zip("xyz", voxel_size, strict=True)}


def position(point_um: Sequence[float], voxel_size: VoxelSize) -> list[float]:
    """Neuroglancer's position (voxels, x y z) of a point in µm of CloudReg's frame of that volume."""
    return [um / edge + 0.5 for um, edge in zip(point_um, voxel_size, strict=True)]


def layer_transform(affine: ArrayLike, voxel_size: VoxelSize, onto: VoxelSize) -> dict[str, Any]:
    """The `transform` of a layer's source that shows a layer in the frame of another volume.

    Parameters
    ----------
    affine : array_like, shape (4, 4)
        y = affine @ x, x in µm of the layer's frame, y in µm of the frame it is shown in; 0 is the centre of
        each volume's voxel 0.
    voxel_size : VoxelSize
        Mip-0 voxel size of the layer.
    onto : VoxelSize
        Mip-0 voxel size of the volume that gives the frame.

    Raises
    ------
    InputError
        When the matrix is not an invertible affine map of 3-D space.
    """
    return {
        "matrix": Affine(np.asarray(affine)).to_neuroglancer(voxel_size, onto).matrix[:3].tolist(),
        "inputDimensions": dimensions(voxel_size),
        "outputDimensions": {axis: [MICROMETRE, "m"] for axis in "xyz"},
    }
