"""Local means taken away, plane by plane: what is left is texture, without vignetting and haze."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cloudreg_stitch.compiled import compiled


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
    _, height, width = planes.shape
    result = np.empty_like(planes)
    _highpass(planes, radius, _per_length(height, radius), _per_length(width, radius), result)
    return result


def _per_length(size: int, radius: int) -> NDArray[np.float32]:
    """One over the number of voxels of an axis within `radius` of each."""
    i = np.arange(size)
    length = np.minimum(i + radius + 1, size) - np.maximum(i - radius, 0)
    return (1 / length).astype(np.float32)


@compiled
def _highpass(
    planes: NDArray[np.float32],
    radius: int,
    per_row: NDArray[np.float32],
    per_column: NDArray[np.float32],
    result: NDArray[np.float32],
) -> None:
    depth, height, width = planes.shape
    column = np.empty(width, np.float32)  # sums over the rows of the square
    running = np.empty(width + 1, np.float32)
    sums = np.empty(width, np.float32)
    for z in range(depth):
        plane = planes[z]
        column[:] = 0
        for y in range(min(radius, height)):
            column += plane[y]
        for y in range(height):
            if y + radius < height:
                column += plane[y + radius]
            if y > radius:
                column -= plane[y - radius - 1]
            total = np.float32(0)
            for x in range(width):
                running[x] = total
                total += column[x]
            running[width] = total
            _window_sums(running, radius, sums)
            for x in range(width):
                result[z, y, x] = plane[y, x] - sums[x] * (per_column[x] * per_row[y])


@compiled
def _window_sums(running: NDArray[np.float32], radius: int, sums: NDArray[np.float32]) -> None:
    """Sums over 2 radius + 1 entries from running sums; the long middle part needs no look at the borders."""
    width = sums.size
    first, last = min(radius, width), max(width - radius, min(radius, width))
    for x in range(first):
        sums[x] = running[min(width, x + radius + 1)] - running[0]
    for x in range(first, last):
        sums[x] = running[x + radius + 1] - running[x - radius]
    for x in range(last, width):
        sums[x] = running[width] - running[max(0, x - radius)]


@compiled
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
