"""The arithmetic of correction: corrected = (raw − background) / (flat · bias), rounded, clipped, counted.

All of it is float32, in one pass over a plane. Values that the dtype cannot hold are clipped to its ends, never
wrapped around, and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_correct.compiled import compiled
from cloudreg_io.errors import InputError
from cloudreg_io.fields import Bias, Shading

Float32 = NDArray[np.float32]
_SUPPORTED = ("uint8", "uint16", "float32")


@dataclass(frozen=True, slots=True)
class Clipped:
    """How many values of a plane did not fit the dtype."""

    low: int = 0
    high: int = 0

    def __add__(self, other: Clipped) -> Clipped:
        return Clipped(self.low + other.low, self.high + other.high)


@dataclass(frozen=True, slots=True, eq=False)
class BiasOfPlane:
    """A bias field as one plane sees it: interpolated in z, with what is needed to interpolate in y and x.

    Attributes
    ----------
    field : [by, bx] float32
    y, x : [n] int
        Index of the sample before each row and column of the plane.
    wy, wx : [n] float32
        Weight of the sample after it.
    """

    field: Float32
    y: NDArray[np.int64]
    wy: Float32
    x: NDArray[np.int64]
    wx: Float32

    @classmethod
    def at(
        cls,
        bias: Bias,
        position: tuple[float, float, float],
        voxel: tuple[float, float, float],
        shape: tuple[int, int],
    ) -> BiasOfPlane:
        """The bias over a plane [y, x] whose pixel 0 lies at `position` (x, y, z; voxels of size `voxel` in µm).

        Beyond its grid the field goes on with its border values.
        """
        ny, nx = shape
        x, wx = _places(bias, 0, (position[0] + np.arange(nx, dtype=np.float64)) * voxel[0])
        y, wy = _places(bias, 1, (position[1] + np.arange(ny, dtype=np.float64)) * voxel[1])
        z, wz = _places(bias, 2, np.array([position[2] * voxel[2]]))
        above, below = bias.field[z[0]], bias.field[min(z[0] + 1, len(bias.field) - 1)]
        return cls(above + wz[0] * (below - above), y, wy, x, wx)

    def along_x(self) -> Float32:
        """The field at every column of the plane, [by, n]."""
        wide = np.empty((len(self.field), len(self.x)), np.float32)
        _stretch(self.field, self.x, self.wx, wide)
        return wide


def _places(bias: Bias, axis: int, at: NDArray[Any]) -> tuple[NDArray[np.int64], Float32]:
    last = bias.grid.size[axis] - 1
    index = np.clip((at - bias.grid.origin[axis]) / bias.grid.spacing[axis], 0, last)
    before = np.minimum(index.astype(np.int64), max(last - 1, 0))
    return before, (index - before).astype(np.float32)


def correct_plane(
    raw: NDArray[Any], shading: Shading | None, bias: BiasOfPlane | None = None, out: NDArray[Any] | None = None
) -> tuple[NDArray[Any], Clipped]:
    """Correct one plane.

    Parameters
    ----------
    raw : [y, x] uint8, uint16 or float32
    shading : Shading or None
        Of the plane's shape.
    bias : BiasOfPlane, optional
    out : [y, x], optional
        May be `raw` itself; by default a new array of its dtype.

    Returns
    -------
    corrected : [y, x]
        Of the raw dtype; integers are rounded half to even.
    clipped : Clipped

    Raises
    ------
    InputError
        The dtype is another, or the shading is of another shape.
    """
    if raw.dtype.name not in _SUPPORTED:
        raise InputError(f"planes of {raw.dtype.name} cannot be corrected", fix=f"convert to one of {_SUPPORTED}")
    if shading is not None and shading.flat.shape != raw.shape:
        raise InputError(
            f"the shading is {list(shading.flat.shape)} [y, x], the plane {list(raw.shape)}",
            why="it was estimated on tiles of another size",
            fix="estimate it on this acquisition",
        )
    out = np.empty_like(raw) if out is None else out
    if shading is None and bias is None:
        out[...] = raw
        return out, Clipped()
    flat, background = _fields(shading, raw.shape)
    if bias is None:
        low, high = _correct(raw, flat, background, _highest(raw.dtype), out)
    else:
        field = bias.along_x()
        low, high = _correct_biased(raw, flat, background, field, bias.y, bias.wy, _highest(raw.dtype), out)
    return out, Clipped(int(low), int(high))


def _fields(shading: Shading | None, shape: tuple[int, ...]) -> tuple[Float32, Float32]:
    return (shading.flat, shading.background) if shading is not None else _neutral(shape)


@lru_cache(maxsize=4)
def _neutral(shape: tuple[int, ...]) -> tuple[Float32, Float32]:
    return np.ones(shape, np.float32), np.zeros(shape, np.float32)


def _highest(dtype: np.dtype[Any]) -> np.float32:
    """The largest value of an integer dtype; 0 for floats, which have room for every result."""
    return np.float32(np.iinfo(dtype).max if dtype.kind == "u" else 0)


@compiled
def _stretch(field: Float32, x: NDArray[np.int64], wx: Float32, wide: Float32) -> None:
    last = field.shape[1] - 1
    for j in range(len(field)):
        for i in range(len(x)):
            before = field[j, x[i]]
            wide[j, i] = before + wx[i] * (field[j, min(x[i] + 1, last)] - before)


@compiled
def _correct(
    raw: NDArray[Any], flat: Float32, background: Float32, highest: np.float32, out: NDArray[Any]
) -> tuple[int, int]:
    low = 0
    high = 0
    for j in range(raw.shape[0]):
        below, above = _correct_row(raw[j], background[j], flat[j], highest, out[j])
        low += below
        high += above
    return low, high


@compiled
def _correct_biased(
    raw: NDArray[Any],
    flat: Float32,
    background: Float32,
    field: Float32,
    y: NDArray[np.int64],
    wy: Float32,
    highest: np.float32,
    out: NDArray[Any],
) -> tuple[int, int]:
    low = 0
    high = 0
    ny, nx = raw.shape
    divisor = np.empty(nx, np.float32)
    for j in range(ny):
        before, after = field[y[j]], field[min(y[j] + 1, len(field) - 1)]
        weight = wy[j]
        for i in range(nx):
            divisor[i] = flat[j, i] * (before[i] + weight * (after[i] - before[i]))
        below, above = _correct_row(raw[j], background[j], divisor, highest, out[j])
        low += below
        high += above
    return low, high


@compiled
def _correct_row(
    raw: NDArray[Any], background: Float32, divisor: Float32, highest: np.float32, out: NDArray[Any]
) -> tuple[int, int]:
    low = np.int32(0)
    high = np.int32(0)
    if highest == 0:  # floats: nothing to round or to clip
        for i in range(len(raw)):
            out[i] = (raw[i] - background[i]) / divisor[i]
    else:
        for i in range(len(raw)):
            value = np.rint((np.float32(raw[i]) - background[i]) / divisor[i])
            low += np.int32(value < np.float32(0))
            high += np.int32(value > highest)
            # by way of a signed integer of the float's width: that is one instruction for eight values
            out[i] = np.int32(min(max(value, np.float32(0)), highest))
    return int(low), int(high)
