"""What is too small for the smooth field: dust on the optics, ripple of the sheet.

The planes without the smooth field and without their own local brightness are averaged robustly. The average is
cut into bands by the undecimated B3-spline ("starlet") wavelet; in each band, only what stands out from the
noise is kept. The noise of a band is measured, not assumed: it is the band of half the difference between the
averages of two random halves of the planes (Starck, Murtagh & Fadili, Sparse Image and Signal Processing,
2010, ch. 3 and 6).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

_RADIUS = 8  # blocks: what is wider belongs to the smooth field
_BANDS = 4
_THRESHOLD = 3.5  # standard deviations
_B3 = np.array([1, 4, 6, 4, 1], np.float32) / 16


def common_detail(residual: Float32, weights: Float32, groups: NDArray[np.integer]) -> Float32:
    """Detail [y, x] common to log images `residual` [n, y, x], each known up to its own slow variation."""
    local = _box_sum(weights * residual) / (_box_sum(weights) + np.float32(1e-3))
    detail = residual - local
    # a mean over a window that is mostly empty follows the pixel itself: such pixels say nothing
    trust = weights * (_box_sum(weights) > 0.25 * (2 * _RADIUS + 1) ** 2)
    variance = (trust * detail**2).sum(axis=(1, 2)) / (trust.sum(axis=(1, 2)) + np.float32(1e-6))
    variance = (variance + np.float32(1e-6))[:, None, None]
    trust = trust * 3 / (2 + detail**2 / variance) / variance
    half = _half(groups)
    noise = (_mean(detail[half], trust[half]) - _mean(detail[~half], trust[~half])) / 2
    return _denoise(_mean(detail, trust), np.asarray(noise, np.float32))


def _half(groups: NDArray[np.integer]) -> NDArray[np.bool_]:
    names = np.unique(groups)
    if len(names) < 4:  # too few tiles to tell chance from detail by tiles: go by planes
        groups, names = np.arange(len(groups)), np.arange(len(groups))
    return np.isin(groups, np.random.default_rng(1).permutation(names)[: len(names) // 2])


def _mean(values: Float32, weights: Float32) -> Float32:
    return np.asarray((weights * values).sum(axis=0) / (weights.sum(axis=0) + np.float32(1e-9)))


def _denoise(image: Float32, noise: Float32) -> Float32:
    kept = np.zeros_like(image)
    for band in range(_BANDS):
        smooth, smooth_noise = _b3(image, 2**band), _b3(noise, 2**band)
        limit = _THRESHOLD * 1.4826 * float(np.median(np.abs(noise - smooth_noise)))
        wavelet = image - smooth
        kept += np.where(np.abs(wavelet) > limit, wavelet, 0)
        image, noise = smooth, smooth_noise
    return kept


def _b3(image: Float32, step: int) -> Float32:
    """The B3 spline with holes of `step`, mirrored at the borders."""
    for axis in (0, 1):
        n = image.shape[axis]
        total = np.zeros_like(image)
        for k, weight in enumerate(_B3):
            # reflection about the outer samples, repeated for short axes
            period = max(1, 2 * (n - 1))
            index = np.abs((np.arange(n) + (k - 2) * step) % period)
            index = np.minimum(index, period - index)
            total += weight * np.take(image, index, axis=axis)
        image = total
    return image


def _box_sum(images: Float32) -> Float32:
    """Sums over windows of ± `_RADIUS` blocks, cut at the border."""
    total = images.astype(np.float64)
    for axis in (1, 2):
        n = total.shape[axis]
        cumulative = np.insert(np.cumsum(total, axis=axis), 0, 0, axis=axis)
        upper = np.minimum(np.arange(n) + _RADIUS + 1, n)
        lower = np.maximum(np.arange(n) - _RADIUS, 0)
        total = np.take(cumulative, upper, axis=axis) - np.take(cumulative, lower, axis=axis)
    return total.astype(np.float32)
