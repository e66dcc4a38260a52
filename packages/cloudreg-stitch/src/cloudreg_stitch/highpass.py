"""Local means taken away, plane by plane: what is left is texture, without vignetting and haze."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True, cache=True, fastmath={"contract"})
def highpass(planes: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """Subtract the mean of the (2 radius + 1)² square around each voxel, cut off at the border.

    Parameters
    ----------
    planes : float32 array [z, y, x]
    radius : int
        In voxels.

    Returns
    -------
    float32 array [z, y, x]
    """
    depth, height, width = planes.shape
    result = np.empty_like(planes)
    column = np.empty(width, np.float32)  # sums over the rows of the square
    running = np.empty(width + 1, np.float64)
    for z in range(depth):
        plane = planes[z]
        for x in range(width):
            column[x] = 0.0
        rows = 0
        for y in range(min(radius, height)):
            rows += 1
            for x in range(width):
                column[x] += plane[y, x]
        for y in range(height):
            if y + radius < height:
                rows += 1
                for x in range(width):
                    column[x] += plane[y + radius, x]
            if y - radius - 1 >= 0:
                rows -= 1
                for x in range(width):
                    column[x] -= plane[y - radius - 1, x]
            running[0] = 0.0
            for x in range(width):
                running[x + 1] = running[x] + column[x]
            for x in range(width):
                low = max(0, x - radius)
                high = min(width, x + radius + 1)
                mean = (running[high] - running[low]) / (rows * (high - low))
                result[z, y, x] = np.float32(plane[y, x] - mean)
    return result


@njit(nogil=True, cache=True)
def summed_volume(values: NDArray[np.float32], power: int) -> NDArray[np.float64]:
    """Sums of values (power 1) or of their squares (2) over all boxes that begin at voxel 0.

    Parameters
    ----------
    values : float32 array [z, y, x]

    Returns
    -------
    float64 array [z + 1, y + 1, x + 1]
        Entry (z, y, x) is the sum over the box of that extent (an integral image in three dimensions).
    """
    depth, height, width = values.shape
    total = np.zeros((depth + 1, height + 1, width + 1), np.float64)
    for z in range(depth):
        for y in range(height):
            row = 0.0
            for x in range(width):
                value = float(values[z, y, x])
                row += value * value if power == 2 else value
                total[z + 1, y + 1, x + 1] = (
                    row + total[z + 1, y, x + 1] + total[z, y + 1, x + 1] - total[z, y, x + 1]
                )
    return total
