"""Cubic B-spline of an image: its values anywhere, with the detail that linear interpolation would blur.

Unser, Splines: a perfect fit for signal and image processing, IEEE Signal Processing Magazine 16:22 (1999): a
recursive filter along each axis turns samples into coefficients; a value is a sum of the 4³ coefficients around.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_POLE = math.sqrt(3) - 2
_PAD = 8  # samples of the outside value around the image: the filter has forgotten them where the image begins
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True, eq=False)
class Spline:
    """Coefficients of an image padded with what lies outside of it.

    Attributes
    ----------
    coefficients : [z, y, x] float32
    low, high : float
        Smallest and largest sample: values are clipped to them, so that a sharp edge does not ring.
    """

    coefficients: Float32
    low: float
    high: float

    @classmethod
    def of(cls, image: NDArray[Any], outside: float = 0.0) -> Spline:
        """The spline through the samples of an image [z, y, x], `outside` beyond it."""
        padded = np.pad(image.astype(np.float64), _PAD, constant_values=outside)
        low, high = float(padded.min()), float(padded.max())
        for axis in range(3):
            padded = np.moveaxis(_filtered(np.moveaxis(padded, axis, 0)), 0, axis)
        return cls(np.ascontiguousarray(padded, np.float32), low, high)

    def at(self, indices: Float64) -> Float32:
        """Values at fractional sample indices x, y, z of the image, shape [..., 3]."""
        flat = indices.reshape(-1, 3)
        values = np.empty(len(flat), np.float32)
        for part in chunks(len(flat), _CHUNK):
            values[part] = self._sum(flat[part])
        return np.clip(values, self.low, self.high, out=values).reshape(indices.shape[:-1])

    def _sum(self, indices: Float64) -> Float32:
        sizes = np.array(self.coefficients.shape[::-1])
        position = np.clip(indices + _PAD, 1, sizes - 2.001)
        first = np.floor(position).astype(np.intp)
        weights = _weights((position - first).astype(np.float32))
        strides = (1, sizes[0], sizes[0] * sizes[1])
        corner = (first - 1) @ np.array(strides)
        total = np.zeros(len(indices), np.float32)
        flat = self.coefficients.reshape(-1)
        for k, j, i in itertools.product(range(4), repeat=3):
            weight = weights[i][:, 0] * weights[j][:, 1] * weights[k][:, 2]
            total += weight * flat.take(corner + (i + j * strides[1] + k * strides[2]))
        return total


def chunks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover 0 … count."""
    return (slice(begin, min(begin + size, count)) for begin in range(0, count, size))


def _filtered(samples: Float64) -> Float64:
    """Coefficients along axis 0, mirrored at both ends."""
    result = 6 * samples
    for k in range(1, len(result)):
        result[k] += _POLE * result[k - 1]
    result[-1] = _POLE / (_POLE**2 - 1) * (_POLE * result[-2] + result[-1])
    for k in range(len(result) - 2, -1, -1):
        result[k] = _POLE * (result[k + 1] - result[k])
    return result


def _weights(t: Float32) -> list[Float32]:
    """The four values of the cubic B-spline around a position at t in [0, 1) between two samples."""
    rest = 1 - t
    values = [rest**3 / 6, 2 / 3 - t**2 + t**3 / 2, 2 / 3 - rest**2 + rest**3 / 2, t**3 / 6]
    return [value.astype(np.float32, copy=False) for value in values]
