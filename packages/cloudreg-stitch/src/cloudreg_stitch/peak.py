"""Where between the samples a correlation has its maximum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TAPS = 3  # half width of the interpolation


def quadratic_peak(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Maximum of the parabola through three samples along each axis.

    Parameters
    ----------
    values : array of 3 or 5 samples along each of its axes
        The largest is expected in the middle.

    Returns
    -------
    array
        Offset from the middle along each axis, at most 1; 0 where the samples do not bend downwards.
    """
    middle = tuple(n // 2 for n in values.shape)
    offset = np.zeros(values.ndim)
    for axis in range(values.ndim):
        line = values[tuple(slice(None) if k == axis else middle[k] for k in range(values.ndim))]
        low, centre, high = line[middle[axis] - 1 : middle[axis] + 2]
        bend = 2 * centre - low - high
        if bend > 0:
            offset[axis] = np.clip((high - low) / (2 * bend), -1, 1)
    return offset


def fraction_taps(offset: NDArray[np.float64]) -> NDArray[np.float32]:
    """Weights that sample a block at a point `offset` before each voxel: a windowed sinc.

    Parameters
    ----------
    offset : array of 3
        Along z, y, x; within ±1 voxel.

    Returns
    -------
    float32 array [3, 2 `TAPS` + 1]
    """
    t = np.arange(-TAPS, TAPS + 1)[None, :] + np.asarray(offset)[:, None]
    weights = np.sinc(t) * np.cos(np.clip(t / (TAPS + 1), -1, 1) * np.pi / 2) ** 2
    result: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return result
