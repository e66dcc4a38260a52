"""Where between the samples a correlation has its maximum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_NODES = np.arange(-2.0, 3.0)
# coefficients, by rising power, of the five Lagrange polynomials on -2, -1, 0, 1, 2
_LAGRANGE = np.linalg.inv(np.vander(_NODES, increasing=True)).T
TAPS = 3  # half width of the interpolation
_STEPS = 12
_LIMIT = 1.5


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


def quartic_peak(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Maximum of the polynomial of degree four along each axis through 5 × 5 × 5 samples.

    A parabola through three samples is drawn towards the middle one by up to a few hundredths of a voxel,
    because the top of a correlation is not a parabola; degree four is right to a few thousandths.

    Returns
    -------
    array of 3
        Offset from the middle along each axis.
    """
    start = quadratic_peak(values)
    offset = start.copy()
    for _ in range(_STEPS):
        gradient, hessian = _derivatives(values, offset)
        if np.linalg.eigvalsh(hessian)[-1] >= 0:  # not a maximum: trust the parabola
            return start
        step = np.clip(np.linalg.solve(hessian, gradient), -0.5, 0.5)
        offset -= step
        if np.abs(offset).max() > _LIMIT:
            return start
        if np.abs(step).max() < 1e-7:
            break
    return offset


def _derivatives(
    values: NDArray[np.float64], at: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gradient and matrix of second derivatives of the interpolating polynomial."""
    weights = np.array([[_weights(u, order) for u in at] for order in range(3)])  # [order, axis, node]
    gradient, hessian = np.empty(3), np.empty((3, 3))
    for i in range(3):
        gradient[i] = _contract(values, weights, [int(axis == i) for axis in range(3)])
        for j in range(3):
            hessian[i, j] = _contract(values, weights, [int(axis == i) + int(axis == j) for axis in range(3)])
    return gradient, hessian


def _contract(values: NDArray[np.float64], weights: NDArray[np.float64], orders: list[int]) -> float:
    first, second, third = (weights[order, axis] for axis, order in enumerate(orders))
    return float(first @ (values @ third) @ second)


def _weights(u: float, order: int) -> NDArray[np.float64]:
    """Values (order 0) or derivatives of the Lagrange polynomials at u."""
    powers = [u**k for k in range(5)]
    if order == 1:
        powers = [0.0] + [k * u ** (k - 1) for k in range(1, 5)]
    elif order == 2:
        powers = [0.0, 0.0] + [k * (k - 1) * u ** (k - 2) for k in range(2, 5)]
    return _LAGRANGE @ np.array(powers)


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
