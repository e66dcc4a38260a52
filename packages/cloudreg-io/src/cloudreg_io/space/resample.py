"""Resample: the values of an array at the samples of another grid.

Axis by axis, since grids are parallel: each output sample is a weighted sum of the input samples around its
physical position. A sample stands for its whole voxel: positions up to half a voxel beyond the outermost sample
are inside and take the values at the border; farther out is outside. SimpleITK's resampling with an identity
transform has the same conventions and gives the same numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.space.grid import Grid

# positions that should fall between two voxels exactly must not be decided by rounding errors
_TOLERANCE = 1e-9
_BLOCK_VOXELS = 1 << 23


def resample(
    array: NDArray[Any],
    grid: Grid,
    onto: Grid,
    *,
    order: Literal[0, 1, 3] = 1,
    outside: float | None = 0.0,
    antialias: bool = False,
) -> NDArray[Any]:
    """Evaluate an array at the samples of another grid.

    Parameters
    ----------
    array : [z, y, x]
        Any real dtype.
    grid : Grid
        Where the array's samples lie.
    onto : Grid
        Where values are wanted, in the same frame.
    order : 0, 1 or 3
        0 takes the nearest sample and never computes with values: for labels. 1 is linear. 3 is cubic (Keys
        1981, a = −1/2), which keeps more detail and may overshoot.
    outside : float, optional
        Value of samples that lie in no voxel of `grid`; None continues the values at the border.
    antialias : bool
        On axes where the spacing grows, average over about a coarser voxel, so that every input sample counts.
        Without it, samples between the output positions are skipped, and noise and fine texture fold into the
        result. No effect with order 0.

    Returns
    -------
    array [z, y, x]
        Of `onto.shape` and of the input's dtype; integers are rounded and clipped.

    Raises
    ------
    InputError
        When the array does not fit its grid, or the dtype cannot be interpolated or cannot hold `outside`.
    """
    if array.shape != grid.shape:
        raise InputError(f"array {list(array.shape)} does not fit its grid {list(grid.shape)} [z, y, x]")
    if order not in (0, 1, 3):
        raise InputError(f"order {order} is not one of 0 (nearest), 1 (linear), 3 (cubic)")
    if order and array.dtype.kind not in "iuf":
        raise InputError(f"{array.dtype} values cannot be interpolated", fix="order=0")
    fill = None if outside is None else _as_dtype(outside, array.dtype)
    axes = onto.axes()
    # axis k of x, y, z is axis 2 - k of the array
    indices = [(axes[k] - grid.origin[k]) / grid.spacing[k] for k in (2, 1, 0)]
    if order == 0:
        result = _nearest(array, indices)
    else:
        ratios = [onto.spacing[k] / grid.spacing[k] if antialias else 1.0 for k in (2, 1, 0)]
        result = _interpolate(array, indices, order, ratios)
    for axis, index in enumerate(indices if fill is not None else ()):
        inside = (index >= -0.5 - _TOLERANCE) & (index < array.shape[axis] - 0.5 - _TOLERANCE)
        result[(slice(None),) * axis + (~inside,)] = fill
    return result


def _nearest(array: NDArray[Any], indices: list[NDArray[np.float64]]) -> NDArray[Any]:
    nearest = [
        np.clip(np.floor(index + 0.5 + _TOLERANCE), 0, n - 1).astype(np.intp)
        for index, n in zip(indices, array.shape, strict=True)
    ]
    return array[np.ix_(*nearest)]


def _interpolate(
    array: NDArray[Any], indices: list[NDArray[np.float64]], order: int, ratios: list[float]
) -> NDArray[Any]:
    small = array.dtype.itemsize <= 2 or array.dtype == np.float32
    work = np.dtype(np.float32 if small else np.float64)
    taps = [_Taps.of(index, n, order, r) for index, n, r in zip(indices, array.shape, ratios, strict=True)]
    # the axis that shrinks most goes first: the others then have less to do
    axes = sorted(range(3), key=lambda a: len(indices[a]) / array.shape[a])
    result = np.empty([len(index) for index in indices], array.dtype)
    # Planes are made in blocks, since passes need several times the memory of their result; blocks are deep
    # enough that few input planes are gone through twice.
    plane = max(array[0].size, result[0].size)
    depth = max(4 * len(taps[0].index), _BLOCK_VOXELS // plane)
    for begin in range(0, len(result), depth):
        part, taps_z = taps[0].part(array, slice(begin, begin + depth))
        for axis in axes:
            part = (taps_z if axis == 0 else taps[axis]).apply(part, axis, work)
        result[begin : begin + depth] = _rounded(part, array.dtype)
    return result


def _rounded(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind == "f" or values.dtype == dtype:
        return values
    low, high = _float_limits(np.iinfo(dtype), values.dtype)
    return np.clip(np.rint(values, out=values), low, high, out=values)


@dataclass(frozen=True, slots=True)
class _Taps:
    """For one axis, which input samples make each output sample, and with what weights: both [tap, output]."""

    index: NDArray[np.intp]
    weight: NDArray[np.float64]

    @classmethod
    def of(cls, position: NDArray[np.float64], n: int, order: int, ratio: float) -> _Taps:
        # averaging over this width makes the filter as wide as linear interpolation at the coarser spacing is
        width = math.sqrt(2 * (max(1.0, ratio) ** 2 - 1))
        radius = (1 if order == 1 else 2) + width / 2
        position = np.clip(position, 0, n - 1)
        first = np.floor(position - radius).astype(np.intp) + 1
        index = first + np.arange(math.ceil(2 * radius))[:, None]
        weight = _weights(index - position, order, width)
        weight[(index < 0) | (index >= n)] = 0
        used = weight.any(axis=1)
        return cls(np.clip(index[used], 0, n - 1), weight[used] / weight.sum(axis=0))

    def part(self, array: NDArray[Any], outputs: slice) -> tuple[NDArray[Any], _Taps]:
        """The planes of an array that some outputs along z need, and taps that count from the first of them."""
        index = self.index[:, outputs]
        low, high = int(index.min()), int(index.max()) + 1
        return array[low:high], _Taps(index - low, self.weight[:, outputs])

    def apply(self, array: NDArray[Any], axis: int, work: np.dtype[Any]) -> NDArray[Any]:
        """The weighted sums along an axis; the array itself where nothing is to be done."""
        if len(self.index) == 1 and np.array_equal(self.index[0], np.arange(array.shape[axis])):
            return array
        shape = list(array.shape)
        shape[axis] = self.index.shape[1]
        result = np.zeros(shape, work)
        along = [-1 if a == axis else 1 for a in range(3)]
        for index, weight in zip(self.index, self.weight.astype(work), strict=True):
            result += array.take(index, axis=axis) * weight.reshape(along)
        return result


def _weights(offset: NDArray[np.float64], order: int, width: float) -> NDArray[np.float64]:
    """Weights of samples at these offsets, where the interpolated function is averaged over `width`.

    The average over an interval of what is interpolated keeps ramps where they are, for any width; stretching the
    kernel would not.
    """
    if width == 0:
        return _kernel(offset, order)
    return (_integral(offset + width / 2, order) - _integral(offset - width / 2, order)) / width


# Order 3: R. Keys, Cubic convolution interpolation for digital image processing, IEEE Trans. ASSP 29 (1981).


def _kernel(offset: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    d = np.minimum(np.abs(offset), 2)
    if order == 1:
        return np.asarray(np.maximum(0.0, 1 - d))
    inner = (1.5 * d - 2.5) * d * d + 1
    outer = ((-0.5 * d + 2.5) * d - 4) * d + 2
    return np.where(d < 1, inner, outer)


def _integral(offset: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """The kernel's integral from 0 to the offset."""
    d = np.abs(offset)
    if order == 1:
        d = np.minimum(d, 1)
        half = d - d * d / 2
    else:
        d = np.minimum(d, 2)
        inner = ((0.375 * d - 2.5 / 3) * d * d + 1) * d
        outer = (((-0.125 * d + 2.5 / 3) * d - 2) * d + 2) * d - 1 / 6
        half = np.where(d < 1, inner, outer)
    return np.asarray(np.copysign(half, offset))


def _as_dtype(value: float, dtype: np.dtype[Any]) -> Any:
    if dtype.kind in "iub":
        low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if not float(value).is_integer() or not low <= value <= high:
            raise InputError(f"the outside value {value} cannot be held by {dtype}")
        return dtype.type(int(value))
    return dtype.type(value)


def _float_limits(limits: np.iinfo[Any], work: np.dtype[Any]) -> tuple[float, float]:
    """The dtype's range, its ends moved inwards to floats that convert back without overflow."""
    low, high = work.type(limits.min), work.type(limits.max)
    if int(high) > limits.max:
        high = np.nextafter(high, work.type(0))
    return low, high
