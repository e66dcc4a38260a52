"""Blocks: a volume reduced by whole factors, each block of voxels to its mean, or for labels to its mode.

A level that is too large for the memory is read box by box, and only the result is held.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.space import Bounds, Vector3i, VoxelSize, vector3i
from cloudreg_io.volumes.pyramid import downsample_mode, downsample_sums, mean_from_sums, sums_dtype
from cloudreg_io.volumes.volume import Volume

_BOX: Vector3i = (512, 512, 64)  # read at a time, about
_ROUNDING = 1e-6


def block_factors(voxel_size: VoxelSize, resolution_um: float) -> Vector3i:
    """How many voxels along x, y, z make one of at most the resolution; at least 1."""
    return vector3i([max(1, int(resolution_um / edge + _ROUNDING)) for edge in voxel_size])


def block_reduced(array: NDArray[Any], factors: Sequence[int]) -> NDArray[np.float32]:
    """Means of blocks, float32 [z, y, x]; a block at the far edge averages the voxels that exist."""
    factors = vector3i(factors)
    if array.dtype.kind == "b":
        array = array.view(np.uint8)
    voxels = factors[0] * factors[1] * factors[2]
    wide = array.dtype.itemsize == 8 and array.dtype.kind in "iu"  # no exact sum of 64 bits, and none is needed
    dtype = np.dtype(np.float64) if wide else sums_dtype(array.dtype, voxels)
    sums = downsample_sums(array, factors, dtype).astype(np.float64, copy=False)
    z, y, x = array.shape
    return mean_from_sums(sums, np.float32, factor=factors, size=(x, y, z)).astype(np.float32, copy=False)


def reduced_volume(volume: Volume, mip: int, factors: Sequence[int], *, labels: bool) -> NDArray[Any]:
    """A level of a volume, reduced.

    Parameters
    ----------
    volume : Volume
    mip : int
    factors : (x, y, z) int
    labels : bool
        Take modes in place of means.

    Returns
    -------
    [z, y, x]
        Labels of the volume's type; means in float32; with factors of 1 the voxels as they are.
    """
    factors = vector3i(factors)
    if factors == (1, 1, 1):
        return volume.read(mip=mip)
    whole = volume.bounds(mip)
    size = vector3i([-(-n // f) for n, f in zip(whole.size, factors, strict=True)])
    result = np.empty(size[::-1], volume.dtype if labels else np.float32)
    step = vector3i([max(1, box // f) for box, f in zip(_BOX, factors, strict=True)])
    for part in Bounds.of_size(size).chunks(step):
        fine = Bounds(
            vector3i([low * f for low, f in zip(part.lower, factors, strict=True)]),
            vector3i([up * f for up, f in zip(part.upper, factors, strict=True)]),
        )
        voxels = volume.read(fine.translate(whole.lower).intersection(whole), mip)
        result[part.slices()] = downsample_mode(voxels, factors) if labels else block_reduced(voxels, factors)
    return result
