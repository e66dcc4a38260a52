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
        counts = _correct(raw, flat, background, raw.dtype.kind == "f", _highest(raw.dtype), out)
    else:
        counts = _correct_biased(
            raw, flat, background, bias.field, bias.y, bias.wy, bias.x, bias.wx,
            raw.dtype.kind == "f", _highest(raw.dtype), out,
        )  # fmt: skip
    return out, Clipped(int(counts[0]), int(counts[1]))


def _fields(shading: Shading | None, shape: tuple[int, ...]) -> tuple[Float32, Float32]:
    return (shading.flat, shading.background) if shading is not None else _neutral(shape)


@lru_cache(maxsize=4)
def _neutral(shape: tuple[int, ...]) -> tuple[Float32, Float32]:
    return np.ones(shape, np.float32), np.zeros(shape, np.float32)


def _highest(dtype: np.dtype[Any]) -> np.float32:
    return np.float32(np.iinfo(dtype).max if dtype.kind == "u" else np.finfo(np.float32).max)


@compiled
def _correct(
    raw: NDArray[Any], flat: Float32, background: Float32, is_float: bool, highest: np.float32, out: NDArray[Any]
) -> tuple[int, int]:
    low = 0
    high = 0
    ny, nx = raw.shape
    for j in range(ny):
        for i in range(nx):
            value = (np.float32(raw[j, i]) - background[j, i]) / flat[j, i]
            if is_float:
                out[j, i] = value
            else:
                rounded = np.rint(value)
                low += rounded < 0
                high += rounded > highest
                out[j, i] = np.uint16(min(max(rounded, np.float32(0)), highest))
    return low, high


@compiled
def _correct_biased(  # noqa: PLR0913, PLR0917 -- compiled functions take arrays, not objects
    raw: NDArray[Any],
    flat: Float32,
    background: Float32,
    field: Float32,
    y: NDArray[np.int64],
    wy: Float32,
    x: NDArray[np.int64],
    wx: Float32,
    is_float: bool,
    highest: np.float32,
    out: NDArray[Any],
) -> tuple[int, int]:
    low = 0
    high = 0
    ny, nx = raw.shape
    rows, columns = field.shape
    row = np.empty(columns + 1, np.float32)
    across = np.empty(nx, np.float32)
    for j in range(ny):
        y0 = y[j]
        y1 = min(y0 + 1, rows - 1)
        for k in range(columns):
            row[k] = field[y0, k] + wy[j] * (field[y1, k] - field[y0, k])
        row[columns] = row[columns - 1]
        for i in range(nx):
            before = row[x[i]]
            across[i] = before + wx[i] * (row[x[i] + 1] - before)
        for i in range(nx):
            value = (np.float32(raw[j, i]) - background[j, i]) / (flat[j, i] * across[i])
            if is_float:
                out[j, i] = value
            else:
                rounded = np.rint(value)
                low += rounded < 0
                high += rounded > highest
                out[j, i] = np.uint16(min(max(rounded, np.float32(0)), highest))
    return low, high
