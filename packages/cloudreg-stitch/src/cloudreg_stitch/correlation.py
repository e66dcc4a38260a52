"""Normalised cross-correlation of two strips at every shift of a range, by FFT.

At each shift the correlation is normalised over the region that the two strips have in common there
(D. Padfield, "Masked object registration in the Fourier domain", IEEE TIP 21, 2012). That region is always a box,
so its means and norms come from integral images (J. P. Lewis, "Fast template matching", Vision Interface 1995).

The same transforms also give the correlation with the second strip mirrored through its centre. A mirrored
strip has the same texture, contrast and noise but cannot match: its correlations are the *null* against
which a peak must stand out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from cloudreg_stitch.highpass import summed_volume

Range = tuple[int, int]  # shifts from … to …, both included
_LEAST_COMMON = 0.05  # of the voxels: with less in common a correlation says nothing


@dataclass(frozen=True, slots=True, eq=False)
class CorrelationMap:
    """Correlation at every shift.

    Attributes
    ----------
    ncc : float32 array [z, y, x]
        Normalised cross-correlation at shift `first + index`; 0 where too little is in common.
    null : float32 array [z, y, x]
        The same with the second strip mirrored.
    weight : float32 array [z, y, x]
        Square root of the fraction of voxels in common, 0 to 1: the correlation of unrelated strips
        scatters as 1 / weight.
    first : (z, y, x) int
        Smallest shift.
    """

    ncc: NDArray[np.float32]
    null: NDArray[np.float32]
    weight: NDArray[np.float32]
    first: tuple[int, int, int]


def correlate(
    a: NDArray[np.float32], b: NDArray[np.float32], shifts: tuple[Range, Range, Range]
) -> CorrelationMap:
    """Correlate a[i] with b[i − shift].

    Parameters
    ----------
    a, b : float32 arrays [z, y, x]
        Their sizes may differ.
    shifts : three (first, last)
        Along z, y, x.
    """
    size = [
        fft.next_fast_len(max(na - first, nb + last, na, nb), real=True)
        for na, nb, (first, last) in zip(a.shape, b.shape, shifts, strict=True)
    ]
    transform_a = fft.rfftn(a, size, workers=1)
    transform_b = fft.rfftn(b, size, workers=1)
    steps = [np.arange(first, last + 1) for first, last in shifts]
    cross = _inverse(transform_a * transform_b.conj(), size, [k % n for k, n in zip(steps, size, strict=True)])
    mirrored = [(nb - 1 + k) % n for k, n, nb in zip(steps, size, b.shape, strict=True)]
    cross_null = _inverse(transform_a * transform_b, size, mirrored)
    del transform_a, transform_b  # as large as the strips, and more is to come
    boxes_a, boxes_b = _common(steps, a.shape, b.shape), _common([-k for k in steps], b.shape, a.shape)
    boxes_m = [(nb - high, nb - low) for (low, high), nb in zip(boxes_b, b.shape, strict=True)]
    moments_a, moments_b = _Moments(a), _Moments(b)
    count = _outer([high - low for low, high in boxes_a])
    weight = np.sqrt(count / max(1, min(a.size, b.size)))
    weight[weight < _LEAST_COMMON**0.5] = 0
    sums_a = moments_a.over(boxes_a)
    ncc = _normalise(cross, sums_a, moments_b.over(boxes_b), count)
    null = _normalise(cross_null, sums_a, moments_b.over(boxes_m), count)
    for array in (ncc, null):
        array[weight == 0] = 0
    return CorrelationMap(ncc, null, weight.astype(np.float32), (shifts[0][0], shifts[1][0], shifts[2][0]))


def _inverse(spectrum: NDArray[Any], size: list[int], wanted: list[NDArray[np.intp]]) -> NDArray[np.float64]:
    """The inverse transform at a box of outputs only: each axis is cut before the next is transformed."""
    along_z = fft.ifft(spectrum, axis=0, overwrite_x=True, workers=1)[wanted[0]]
    along_y = fft.ifft(along_z, axis=1, overwrite_x=True, workers=1)[:, wanted[1]]
    along_x = fft.irfft(along_y, size[2], axis=2, overwrite_x=True, workers=1)[:, :, wanted[2]]
    result: NDArray[np.float64] = along_x.astype(np.float64)
    return result


_Boxes = list[tuple[NDArray[np.intp], NDArray[np.intp]]]


def _common(steps: list[NDArray[np.intp]], here: tuple[int, ...], there: tuple[int, ...]) -> _Boxes:
    """Where in an array the other one lies at every shift: from … to, along each axis; empty if nowhere."""
    lows = [np.clip(k, 0, n) for k, n in zip(steps, here, strict=True)]
    highs = [np.clip(m + k, 0, n) for k, n, m in zip(steps, here, there, strict=True)]
    return [(low, np.maximum(low, high)) for low, high in zip(lows, highs, strict=True)]


class _Moments:
    """Sums and sums of squares of an array over many boxes."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self._tables = [summed_volume(values, power) for power in (1, 2)]

    def over(self, boxes: _Boxes) -> list[NDArray[np.float64]]:
        sums = []
        for table in self._tables:
            total = table
            for axis, (low, high) in enumerate(boxes):
                total = np.take(total, high, axis) - np.take(total, low, axis)
            sums.append(total)
        return sums


def _outer(lengths: list[NDArray[np.intp]]) -> NDArray[np.float64]:
    z, y, x = (length.astype(np.float64) for length in lengths)
    return z[:, None, None] * y[None, :, None] * x[None, None, :]


def _normalise(
    cross: NDArray[np.float64],
    a: list[NDArray[np.float64]],
    b: list[NDArray[np.float64]],
    count: NDArray[np.float64],
) -> NDArray[np.float32]:
    n = np.maximum(1, count)
    covariance = cross - a[0] * b[0] / n
    variance = np.maximum(0, a[1] - a[0] ** 2 / n) * np.maximum(0, b[1] - b[0] ** 2 / n)
    # strips without any texture have variances of rounding errors
    floor = 1e-12 * max(1e-30, float(variance.max()))
    ncc = np.where(variance > floor, covariance / np.sqrt(np.maximum(variance, floor)), 0)
    return np.clip(ncc, -1, 1).astype(np.float32)
