"""Missing data: which voxels of a sample were imaged at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BORDER_IS_EMPTY = 0.5  # share of the faces: with more of it, 0 is the background


def imaged_weights(array: NDArray[np.floating]) -> NDArray[np.float32]:
    """Which voxels of a sample [z, y, x] were imaged: 0 or 1.

    Voxels of exactly 0 were not: a slab that is lost, tiles that were never scanned. Unless most of the volume's
    faces are 0 too: then 0 is what the background looks like. What touches a missing voxel is left out as well,
    because it may be the mean of tissue and nothing.
    """
    absent = array == 0
    faces = np.concatenate([np.take(absent, index, axis).ravel() for axis in range(3) for index in (0, -1)])
    if not absent.any() or faces.mean() > _BORDER_IS_EMPTY:
        return np.ones(array.shape, np.float32)
    near = absent.copy()
    for axis in range(3):
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        near[tuple(behind)] |= absent[tuple(ahead)]
        near[tuple(ahead)] |= absent[tuple(behind)]
    imaged: NDArray[np.float32] = (~near).astype(np.float32)
    return imaged
