"""Direct normalised correlation of small blocks at full resolution."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True, cache=True, fastmath=True)
def detrended(voxels: NDArray[Any]) -> NDArray[np.float32]:
    """Take a parabola along each axis out of a block [z, y, x].

    Shading and haze vary slowly: over a block they are such a parabola, nearly. What is left is orthogonal
    to parabolas, so a correlation with it cannot be drawn aside by slow variation of the other block.
    """
    nz, ny, nx = voxels.shape
    along_z = np.zeros(nz, np.float64)
    along_y = np.zeros(ny, np.float64)
    along_x = np.zeros(nx, np.float64)
    row = np.zeros(nx, np.float32)
    for z in range(nz):
        row[:] = 0
        for y in range(ny):
            total = np.float32(0)
            for x in range(nx):
                value = np.float32(voxels[z, y, x])
                row[x] += value
                total += value
            along_y[y] += total
            along_z[z] += total
        for x in range(nx):
            along_x[x] += row[x]
    mean = along_z.sum() / (nz * ny * nx)
    fit_z = _parabola(along_z / (ny * nx) - mean)
    fit_y = _parabola(along_y / (nz * nx) - mean)
    fit_x = _parabola(along_x / (nz * ny) - mean).astype(np.float32)
    result = np.empty((nz, ny, nx), np.float32)
    for z in range(nz):
        for y in range(ny):
            level = np.float32(mean + fit_z[z] + fit_y[y])
            for x in range(nx):
                result[z, y, x] = np.float32(voxels[z, y, x]) - (level + fit_x[x])
    return result


@njit(nogil=True, cache=True)
def _parabola(profile: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least-squares parabola, without its mean, through a profile of mean 0."""
    n = profile.size
    fit = np.zeros(n)
    if n < 3:
        return fit
    u = np.arange(n) - (n - 1) / 2
    v = u * u - np.mean(u * u)
    return fit + u * (np.sum(u * profile) / np.sum(u * u)) + v * (np.sum(v * profile) / np.sum(v * v))


@njit(nogil=True, cache=True, fastmath=True)
def _add_products(sums: NDArray[np.float32], a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
    for x in range(a.size):
        sums[x] += a[x] * b[x]


@njit(nogil=True, cache=True)
def _sum(values: NDArray[np.float32]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


@njit(nogil=True, cache=True)
def block_sums(
    block: NDArray[np.float32], window: NDArray[np.float32]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Sums of which the correlation of a block with every place in a larger window is made.

    Parameters
    ----------
    block : float32 array [z, y, x]
        Of mean 0.
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


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True, fastmath=True)
def sampled_variance(voxels: NDArray[Any]) -> float:
    """Variance of a block, from a quarter of its rows and half of the columns of those."""
    nz, ny, nx = voxels.shape
    first = np.float32(voxels[0, 0, 0])
    one = 0.0
    two = 0.0
    n = 0
    for z in range(0, nz, 2):
        for y in range(0, ny, 2):
            for x in range(0, nx, 2):
                value = np.float32(voxels[z, y, x]) - first
                one += value
                two += value * value
                n += 1
    return two / n - (one / n) ** 2


@njit(nogil=True, cache=True, fastmath=True)
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


@njit(nogil=True, cache=True, fastmath=True)
def _add_scaled(sums: NDArray[np.float32], values: NDArray[np.float32], scale: np.float32) -> None:
    for x in range(values.size):
        sums[x] += values[x] * scale
