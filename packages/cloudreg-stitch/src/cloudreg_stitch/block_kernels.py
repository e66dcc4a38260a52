"""Direct normalised correlation of small blocks at full resolution."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_stitch.compiled import compiled


@compiled
def _add_products(sums: NDArray[np.float32], a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
    for x in range(a.size):
        sums[x] += a[x] * b[x]


@compiled
def _sum(values: NDArray[np.float32]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


@compiled
def block_sums(
    block: NDArray[np.float32], window: NDArray[np.float32]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Sums of which the correlation of a block with every place in a larger window is made.

    Parameters
    ----------
    block : float32 array [z, y, x]
        Of mean 0, nearly.
    window : float32 array [z + 2 rz, y + 2 ry, x + 2 rx]

    Returns
    -------
    energy : float
        Sum of squares of the block.
    cross, energy_there : float64 arrays [2 rz + 1, 2 ry + 1, 2 rx + 1]
        Sum of products, and sum of squares (less the mean) of the part of the window that is covered.
    """
    nz, ny, nx = block.shape
    mz, my, mx = window.shape
    sz, sy, sx = mz - nz + 1, my - ny + 1, mx - nx + 1
    cross = np.empty((sz, sy, sx))
    # one sum per column: the inner loop is then free of dependencies, and the sums stay exact enough
    sums = np.empty((sx, nx), np.float32)
    for k in range(sz):
        for j in range(sy):
            sums[:] = 0
            for z in range(nz):
                for y in range(ny):
                    line = block[z, y]
                    other = window[z + k, y + j]
                    for i in range(sx):
                        _add_products(sums[i], line, other[i : i + nx])
            for i in range(sx):
                cross[k, j, i] = _sum(sums[i])
    energy = 0.0
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                energy += float(block[z, y, x]) ** 2
    return energy, cross, _window_energy(window, nz, ny, nx)


@compiled
def _window_energy(window: NDArray[np.float32], nz: int, ny: int, nx: int) -> NDArray[np.float64]:
    mz, my, mx = window.shape
    sz, sy, sx = mz - nz + 1, my - ny + 1, mx - nx + 1
    sums = np.empty((mz, my, sx))  # of the rows of the covered part
    squares = np.empty((mz, my, sx))
    for z in range(mz):
        for y in range(my):
            one = 0.0
            two = 0.0
            for x in range(nx):
                value = float(window[z, y, x])
                one += value
                two += value * value
            sums[z, y, 0] = one
            squares[z, y, 0] = two
            for i in range(1, sx):
                old = float(window[z, y, i - 1])
                new = float(window[z, y, i + nx - 1])
                one += new - old
                two += new * new - old * old
                sums[z, y, i] = one
                squares[z, y, i] = two
    result = np.zeros((sz, sy, sx))
    for k in range(sz):
        for j in range(sy):
            for i in range(sx):
                one = 0.0
                two = 0.0
                for z in range(nz):
                    for y in range(ny):
                        one += sums[z + k, y + j, i]
                        two += squares[z + k, y + j, i]
                result[k, j, i] = max(0.0, two - one * one / (nz * ny * nx))
    return result


@compiled
def sampled_variance(voxels: NDArray[Any]) -> float:
    """Variance of a block, from a quarter of its rows and half of the columns of those."""
    nz, ny, nx = voxels.shape
    first = float(voxels[0, 0, 0])
    one = 0.0
    two = 0.0
    n = 0
    for z in range(0, nz, 2):
        for y in range(0, ny, 2):
            for x in range(0, nx, 2):
                value = float(voxels[z, y, x]) - first
                one += value
                two += value * value
                n += 1
    return two / n - (one / n) ** 2


@compiled
def moved(voxels: NDArray[np.float32], taps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Filter a block along z, y and x in turn.

    Parameters
    ----------
    voxels : float32 array [z + 2 m, y + 2 m, x + 2 m]
    taps : float32 array [3, 2 m + 1]
        Weights along z, y, x; those of `cloudreg_stitch.peak.fraction_taps` move the block.

    Returns
    -------
    float32 array [z, y, x]
    """
    n = taps.shape[1]
    nz, ny, nx = voxels.shape[0] - n + 1, voxels.shape[1] - n + 1, voxels.shape[2] - n + 1
    along_z = np.zeros((nz, ny + n - 1, nx + n - 1), np.float32)
    for z in range(nz):
        for k in range(n):
            for y in range(ny + n - 1):
                _add_scaled(along_z[z, y], voxels[z + k, y], taps[0, k])
    row = np.empty(nx + n - 1, np.float32)
    result = np.zeros((nz, ny, nx), np.float32)
    for z in range(nz):
        for y in range(ny):
            row[:] = 0
            for k in range(n):
                _add_scaled(row, along_z[z, y + k], taps[1, k])
            for k in range(n):
                _add_scaled(result[z, y], row[k : k + nx], taps[2, k])
    return result


@compiled
def _add_scaled(sums: NDArray[np.float32], values: NDArray[np.float32], scale: np.float32) -> None:
    for x in range(values.size):
        sums[x] += values[x] * scale
