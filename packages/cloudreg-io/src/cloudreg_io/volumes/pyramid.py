"""The arithmetic of a pyramid: exact sums of blocks, means rounded once, modes of labels.

Rounding at every level adds up: truncating 2 × 2 means loses 0.375 grey levels at the first mip and half a level
at the fourth, rounding halves up gains as much. So levels are made from exact sums of mip 0, carried from level to
level and divided once, half to even. A block at the far edge averages the voxels that exist.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError


def sums_dtype(dtype: Any, voxels: int) -> np.dtype[Any]:
    """The smallest data type that holds the exact sum of so many voxels (float64 for floats).

    Raises
    ------
    InputError
        When not even 64 bits do.
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return np.dtype(np.float64)
    bits = 8 * dtype.itemsize + (voxels - 1).bit_length()
    if dtype.kind not in "ui" or bits > 64:
        raise InputError(f"{voxels} voxels of {dtype} cannot be added exactly")
    return np.dtype(f"{dtype.kind}{4 if bits <= 32 else 8}")


def downsample_sums(array: NDArray[Any], factor: Sequence[int], dtype: Any) -> NDArray[Any]:
    """Add up blocks of voxels.

    Parameters
    ----------
    array : [z, y, x]
        Voxels, or sums of a finer level.
    factor : (x, y, z) int
        Size of a block; blocks at the far edges may be smaller.
    dtype : numpy dtype
        Of the result; see `sums_dtype`.

    Returns
    -------
    array [z, y, x] of sums, each size rounded up.
    """
    dtype = np.dtype(dtype)
    x, y, z = factor
    shape = [-(-n // step) for n, step in zip(array.shape, (z, y, x), strict=True)]
    sums = np.empty(shape, dtype)
    for k in range(shape[0]):  # plane by plane: what lies between fits the cache
        plane = _add(list(array[k * z : (k + 1) * z]), dtype)
        # x last: there the stride is unkind to the cache, so it shall have the least to do
        plane = _add([plane[i::y] for i in range(min(y, plane.shape[0]))], dtype)
        sums[k] = _add([plane[:, i::x] for i in range(min(x, plane.shape[1]))], dtype)
    return sums


def _add(parts: Sequence[NDArray[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The sum of 2-D arrays of which the later may lack the last row or column."""
    if len(parts) == 1:
        return parts[0]
    sums = np.empty(parts[0].shape, dtype)
    rows, columns = parts[1].shape
    np.add(parts[0][:rows, :columns], parts[1], out=sums[:rows, :columns], dtype=dtype)
    sums[rows:], sums[:, columns:] = parts[0][rows:], parts[0][:, columns:]
    for part in parts[2:]:
        sums[: part.shape[0], : part.shape[1]] += part
    return sums


def mean_from_sums(
    sums: NDArray[Any],
    dtype: Any,
    *,
    factor: Sequence[int],
    size: Sequence[int],
    lower: Sequence[int] = (0, 0, 0),
) -> NDArray[Any]:
    """Divide sums by the number of voxels in each block: integers half to even, exactly.

    Parameters
    ----------
    sums : [z, y, x]
        Of a level, or a part of it.
    dtype : numpy dtype
        Of the volume.
    factor : (x, y, z) int
        Of the level, from mip 0.
    size : (x, y, z) int
        Of mip 0: tells which blocks are cut off by the far edges.
    lower : (x, y, z) int
        Index in the level of the first sum.

    Returns
    -------
    array [z, y, x] of `dtype`
    """
    means = np.empty(sums.shape, dtype)
    axes = [
        list(_equal_counts(n, f, s, low))
        for n, f, s, low in zip(sums.shape, reversed(factor), reversed(size), reversed(lower), strict=True)
    ]
    for part in product(*axes):
        z, y, x = (where for where, _ in part)
        voxels = math.prod(count for _, count in part)
        for k in range(z.start, z.stop):  # plane by plane, for the cache's sake
            means[k, y, x] = _divide(sums[k, y, x], voxels)
    return means


def _equal_counts(n: int, factor: int, size: int, lower: int) -> Iterator[tuple[slice, int]]:
    """Cut n blocks, from block `lower` on, into those that are whole and the last that is not."""
    whole = min(n, max(0, size // factor - lower))
    if whole:
        yield slice(0, whole), factor
    if whole < n:
        yield slice(whole, n), size - (lower + whole) * factor


def _divide(sums: NDArray[Any], voxels: int) -> NDArray[Any]:
    if sums.dtype.kind == "f":
        return sums / voxels
    if voxels == 1:
        return sums
    shift = voxels.bit_length() - 1
    if voxels == 1 << shift:
        # s + n/2 - 1 + (1 if the quotient is odd), divided by n = 2**shift, rounds half to even
        quotient = sums >> shift
        quotient &= 1
        quotient += sums
        quotient += (voxels >> 1) - 1
        quotient >>= shift
        return quotient
    quotient = sums // voxels
    # an odd count has no halves
    odd = (quotient & 1) if voxels % 2 == 0 else 0
    rounded: NDArray[Any] = (sums + ((voxels - 1) // 2 + odd)) // voxels
    return rounded


def downsample_mode(labels: NDArray[Any], factor: Sequence[int]) -> NDArray[Any]:
    """The most frequent label of each block; of several, the one met first in the order z, y, x.

    Parameters
    ----------
    labels : [z, y, x] of any integer type
    factor : (x, y, z) int
        Size of a block; blocks at the far edges may be smaller.

    Returns
    -------
    array [z, y, x] of the same type, each size rounded up.
    """
    axes = [list(_blocks(n, step)) for n, step in zip(labels.shape, reversed(factor), strict=True)]
    modes = np.empty([-(-n // step) for n, step in zip(labels.shape, reversed(factor), strict=True)], labels.dtype)
    for part in product(*axes):
        source, target, steps = zip(*part, strict=True)
        modes[target] = _mode_of_blocks(labels[source], steps)
    return modes


def _blocks(n: int, step: int) -> Iterator[tuple[slice, slice, int]]:
    """The whole blocks of an axis and the rest: where they are, where they go, how long they are."""
    whole, rest = divmod(n, step)
    if whole:
        yield slice(0, whole * step), slice(0, whole), step
    if rest:
        yield slice(whole * step, n), slice(whole, whole + 1), rest


def _mode_of_blocks(labels: NDArray[Any], steps: Sequence[int]) -> NDArray[Any]:
    views = [
        labels[z :: steps[0], y :: steps[1], x :: steps[2]]
        for z, y, x in product(*(range(step) for step in steps))
    ]
    modes = views[0].copy()
    mixed = np.zeros(modes.shape, bool)  # most blocks hold one label only: they need no count
    for view in views[1:]:
        mixed |= view != modes
    if mixed.any():
        modes[mixed] = _mode(np.stack([view[mixed] for view in views]))
    return modes


def _mode(values: NDArray[Any]) -> NDArray[Any]:
    """Mode of each column; of several, the one in the earliest row."""
    votes = np.zeros(values.shape, np.uint32)
    for row in values:
        votes += values == row
    winner = np.argmax(votes, axis=0)
    modes: NDArray[Any] = np.take_along_axis(values, winner[None], axis=0)[0]
    return modes
