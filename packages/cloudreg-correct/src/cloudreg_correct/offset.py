"""The background where every plane is full of tissue, so that nothing shows it by itself.

A background that is wrong by e counts bends the logarithm of dim planes more than that of bright ones: where the
field is S and plane i has the brightness a_i,

    log(raw - B) = log S + log tissue_i + e / (a_i S) + …

so the slope of each plane's residual along 1/S grows with 1/a_i, and the growth is e. Planes of different
brightness are needed; what the sample says about e is followed until it says 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cloudreg_correct.robust import CommonField

Float64 = NDArray[np.float64]

_STEPS = 12
_ENOUGH = 0.5  # counts
_START = 100.0  # counts: what most cameras are set to
_LEAST_PLANES = 8

Fit = Callable[[float], tuple[CommonField, Float64]]


def consistent_offset(fit: Fit, highest: float) -> float:
    """The background under which dim and bright planes show the same field.

    Parameters
    ----------
    fit : callable
        From a background to the common field and the logarithm of each plane's brightness.
    highest : float
        The background is at most this: the darkest pixels.

    Returns
    -------
    float
        Counts, 0 to `highest`.
    """
    offset = min(_START, highest)
    for _ in range(_STEPS):
        step = _error(*fit(offset))
        previous, offset = offset, float(np.clip(offset + step, 0, highest))
        if abs(offset - previous) < _ENOUGH:
            break
    return offset


def _error(common: CommonField, brightness: Float64) -> float:
    """By how many counts the background was taken too low."""
    if len(brightness) < _LEAST_PLANES:
        return 0.0
    inverse = np.exp(-common.field)
    moment, square = np.zeros(len(brightness)), np.zeros(len(brightness))
    for differences, axis in ((common.y, 0), (common.x, 1)):
        slope = np.diff(inverse, axis=axis)
        residual = differences.values - np.diff(common.field, axis=axis)
        moment += (differences.weights * residual * slope).sum(axis=(1, 2))
        square += (differences.weights * slope**2).sum(axis=(1, 2))
    if not square.any():
        return 0.0
    return _slope(np.exp(-brightness), moment / (square + 1e-12), square)


def _slope(x: Float64, y: Float64, weights: Float64) -> float:
    """Robust slope of y over x, by reweighted least squares with Cauchy weights."""
    slope, trust = 0.0, weights
    for _ in range(10):
        total = trust.sum()
        dx, dy = x - (trust * x).sum() / total, y - (trust * y).sum() / total
        spread = (trust * dx**2).sum()
        if spread <= 0:
            return 0.0
        slope = float((trust * dx * dy).sum() / spread)
        scaled = (dy - slope * dx) * np.sqrt(weights)
        width = 2 * 1.4826 * float(np.median(np.abs(scaled))) + 1e-12
        trust = weights / (1 + (scaled / width) ** 2)
    return slope
