"""The inner loops of fusion, compiled.

All arithmetic is IEEE float32 in a fixed order for each voxel (no fast-math, no contraction), so that results
do not depend on how the work was cut or on the machine. A canvas is a ring of rows: output row y is kept in
row y modulo the canvas height.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_stitch.compiled import compiled

Plane = NDArray[Any]
Canvas = NDArray[np.float32]


@compiled
def add_plane(
    canvas: Canvas, y: int, x: int, weights: NDArray[np.float32], plane: Plane, first: tuple[int, int]
) -> None:
    """Add a plane to a canvas, voxel on voxel.

    Parameters
    ----------
    canvas : float32 [height, width]
    y, x : int
        Output row (taken modulo the height) and canvas column of `weights[0, 0]`.
    weights : float32 [rows, columns]
    plane : [y, x]
    first : (row, column)
        Voxel of the plane under `weights[0, 0]`.
    """
    row, column = first
    height = canvas.shape[0]
    rows, columns = weights.shape
    for j in range(rows):
        target = canvas[(y + j) % height, x : x + columns]
        values = plane[row + j, column : column + columns]
        weight = weights[j]
        for i in range(columns):
            target[i] += weight[i] * np.float32(values[i])


@compiled
def add_between(
    canvas: Canvas,
    y: int,
    x: int,
    weights: NDArray[np.float32],
    planes: tuple[Plane, Plane],
    share: float,
    first: tuple[int, int],
    fraction: tuple[float, float],
) -> None:
    """Add a tile to a canvas, interpolating linearly between its voxels.

    Parameters
    ----------
    canvas, y, x, weights
        As for `add_plane`.
    planes : two arrays [y, x]
        The lower and the upper plane; the same one twice where only one is there.
    share : float
        Of the lower plane.
    first : (row, column)
        The upper of the two rows (columns) that `weights[0, 0]` lies between; may be outside the plane by one.
    fraction : (y, x) float
        Share of the lower row (column).
    """
    height = canvas.shape[0]
    rows, columns = weights.shape
    low, high = planes
    row, column = first
    fy, fx = np.float32(fraction[0]), np.float32(fraction[1])
    one, low_share = np.float32(1), np.float32(share)
    shares = (low_share * fy, low_share * (one - fy), (one - low_share) * fy, (one - low_share) * (one - fy))
    line = np.empty(columns + 1, np.float32)
    for j in range(rows):
        above = min(max(row + j - 1, 0), low.shape[0] - 1)
        below = min(row + j, low.shape[0] - 1)
        _mix(line, column - 1, (low[above], low[below], high[above], high[below]), shares)
        target = canvas[(y + j) % height, x : x + columns]
        weight = weights[j]
        left, right = line[:columns], line[1:]
        for i in range(columns):
            target[i] += weight[i] * (fx * left[i] + (one - fx) * right[i])


@compiled
def _mix(
    line: NDArray[np.float32],
    column: int,
    rows: tuple[Plane, Plane, Plane, Plane],
    shares: tuple[Any, Any, Any, Any],
) -> None:
    """line[i] = weighted sum of four rows at column + i, held constant beyond their ends."""
    p, q, r, s = shares
    n = len(line)
    begin, end = max(0, -column), min(n, len(rows[0]) - column)
    # slices begin at 0: loops over them need no test for negative indices and are vectorised
    first, last = column + begin, column + end
    a, b, c, d = rows[0][first:last], rows[1][first:last], rows[2][first:last], rows[3][first:last]
    inner = line[begin:end]
    for i in range(len(inner)):
        low = p * np.float32(a[i]) + q * np.float32(b[i])
        inner[i] = low + (r * np.float32(c[i]) + s * np.float32(d[i]))
    line[:begin] = line[begin]
    line[end:] = line[end - 1]


@compiled
def take_rows(canvas: NDArray[np.float32], y: int, out: NDArray[Any], limits: tuple[float, float]) -> None:
    """Move finished rows out of a canvas: rounded half to even, clipped; the canvas is left at 0.

    Parameters
    ----------
    canvas : float32 [z, height, width]
    y : int
        First row, taken modulo the height.
    out : integers [z, rows, width]
    limits : (smallest, largest)
        Of the output's dtype.
    """
    height = canvas.shape[1]
    smallest, largest = np.float32(limits[0]), np.float32(limits[1])
    for k in range(out.shape[0]):
        for j in range(out.shape[1]):
            values = canvas[k, (y + j) % height]
            target = out[k, j]
            for i in range(out.shape[2]):
                target[i] = min(max(np.rint(values[i]), smallest), largest)
                values[i] = np.float32(0)


@compiled
def take_rows_float(canvas: NDArray[np.float32], y: int, out: NDArray[np.float32]) -> None:
    """Move finished rows out of a canvas as they are; see `take_rows`."""
    height = canvas.shape[1]
    for k in range(out.shape[0]):
        for j in range(out.shape[1]):
            values = canvas[k, (y + j) % height]
            out[k, j] = values
            values[:] = np.float32(0)


@compiled
def box_sum(array: NDArray[Any], lower: tuple[int, int, int], upper: tuple[int, int, int], zero: Any) -> Any:
    """Sum of a box of an array [z, y, x].

    Parameters
    ----------
    array : [z, y, x]
    lower, upper : (z, y, x) int
        The box, half-open.
    zero : np.int64(0) or np.float64(0)
        Decides in what the sum is formed; with integers it is exact.
    """
    total = zero
    for k in range(lower[0], upper[0]):
        for j in range(lower[1], upper[1]):
            row = zero
            values = array[k, j, lower[2] : upper[2]]
            for i in range(len(values)):
                row += values[i]
            total += row
    return total
