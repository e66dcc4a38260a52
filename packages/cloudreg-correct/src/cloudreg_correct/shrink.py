"""Planes shrunken to the means of their blocks: all that the estimate of the shading sees of them.

A plane of 2048² becomes 128² means, so that two hundred planes fit into 13 MB and read noise falls sixteen-fold.
Saturated pixels say only "at least this bright": they are left out of the means, and each mean carries the
fraction of its pixels that were used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_correct.blocks import Blocks
from cloudreg_correct.compiled import compiled
from cloudreg_io.errors import InputError

Float32 = NDArray[np.float32]

_PLATEAU = 1e-4  # share of the pixels at exactly the plane's maximum: more of them are clipped there
_DARK_QUANTILE = 1e-3
_DARK_STRIDE = 4


@dataclass(frozen=True, slots=True, eq=False)
class ShrunkenPlanes:
    """Means of blocks of n planes.

    Attributes
    ----------
    blocks : Blocks
    means : [n, y, x] float32
        Of the pixels used, in counts; 0 where none was.
    used : [n, y, x] float32
        Fraction of the pixels that were not saturated.
    dark : [n] float32
        Counts below which one pixel in a thousand lies.
    """

    blocks: Blocks
    means: Float32
    used: Float32
    dark: Float32

    def __len__(self) -> int:
        return len(self.means)

    def select(self, keep: NDArray[np.bool_]) -> ShrunkenPlanes:
        """Some of the planes."""
        return ShrunkenPlanes(self.blocks, self.means[keep], self.used[keep], self.dark[keep])

    @classmethod
    def join(cls, parts: Sequence[ShrunkenPlanes]) -> ShrunkenPlanes:
        """The planes of several sets of one shape, in order."""
        means, used, dark = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("means", "used", "dark")
        )
        return cls(parts[0].blocks, means, used, dark)


def shrink_planes(planes: Iterable[NDArray[Any]], *, saturation: float | None = None) -> ShrunkenPlanes:
    """Shrink planes one after the other; only one full-size plane is held at a time.

    Parameters
    ----------
    planes : iterable of [y, x], or [n, y, x]
        Raw counts of one channel: uint8, uint16 or float32, all of one shape.
    saturation : float, optional
        Counts at and above this are saturated. By default the largest value of an integer dtype, and a
        lower one where many pixels of a plane hold exactly the plane's maximum.

    Raises
    ------
    InputError
        When there is no plane, shapes differ, or a value is not finite.
    """
    parts = [_shrink(np.asarray(plane), index, saturation) for index, plane in enumerate(planes)]
    if not parts:
        raise InputError("no plane given", fix="at least a few planes with tissue are needed")
    shapes = {part.blocks.shape for part in parts}
    if len(shapes) > 1:
        raise InputError(f"planes of different shapes: {sorted(shapes)}")
    return ShrunkenPlanes.join(parts)


def _shrink(plane: NDArray[Any], index: int, saturation: float | None) -> ShrunkenPlanes:
    if plane.ndim != 2 or min(plane.shape) < 2:
        raise InputError(f"plane {index} has shape {list(plane.shape)}, not [y, x]")
    if plane.dtype.kind == "f" and not np.isfinite(plane.sum(dtype=np.float64)):
        bad = np.argwhere(~np.isfinite(plane))
        raise InputError(
            f"plane {index} holds {len(bad)} values that are not finite, the first at {bad[0].tolist()} [y, x]"
        )
    y, x = plane.shape
    blocks = Blocks.over((y, x))
    means, used = _means(plane, blocks, saturation)
    sparse = plane[::_DARK_STRIDE, ::_DARK_STRIDE].ravel()
    rank = int(_DARK_QUANTILE * sparse.size)
    dark = np.partition(sparse, rank)[rank]
    return ShrunkenPlanes(blocks, means[None], used[None], np.array([dark], np.float32))


def _means(plane: NDArray[Any], blocks: Blocks, saturation: float | None) -> tuple[Float32, Float32]:
    if saturation is not None or plane.dtype.kind == "f":
        return _means_below(plane, blocks, np.inf if saturation is None else saturation)
    # a camera of 12 or 14 bits stored in 16 saturates at its own maximum: leave out the plane's largest value,
    # which is next to nothing where it is no plateau
    highest = float(plane.max())
    means, used = _means_below(plane, blocks, highest)
    excluded = 1 - float(used.mean(dtype=np.float64))
    saturated = highest == np.iinfo(plane.dtype).max or highest > 4 * float(means.mean(dtype=np.float64))
    if excluded > _PLATEAU and not saturated:  # a flat plane, not a bright one
        return _means_below(plane, blocks, np.inf)
    return means, used


def _means_below(plane: NDArray[Any], blocks: Blocks, limit: float) -> tuple[Float32, Float32]:
    means, used = np.zeros(blocks.fine, np.float32), np.zeros(blocks.fine, np.float32)
    edges = blocks.y.edges(blocks.y.fine), blocks.x.edges(blocks.x.fine)
    _block_means(plane, np.float32(limit), *edges, means, used)
    return means, used


@compiled
def _block_means(
    plane: NDArray[Any],
    limit: np.float32,
    edges_y: NDArray[np.int64],
    edges_x: NDArray[np.int64],
    means: Float32,
    used: Float32,
) -> None:
    width = plane.shape[1]
    totals = np.empty(width, np.float32)
    counts = np.empty(width, np.float32)
    for row in range(len(edges_y) - 1):
        totals[:] = 0
        counts[:] = 0
        for y in range(edges_y[row], edges_y[row + 1]):  # down the columns first: neighbours in memory stay so
            for x in range(width):
                value = np.float32(plane[y, x])
                below = np.float32(value < limit)
                totals[x] += below * value
                counts[x] += below
        height = edges_y[row + 1] - edges_y[row]
        for column in range(len(edges_x) - 1):
            total = np.float32(0)
            count = np.float32(0)
            for x in range(edges_x[column], edges_x[column + 1]):
                total += totals[x]
                count += counts[x]
            if count > 0:
                means[row, column] = total / count
            used[row, column] = count / (height * (edges_x[column + 1] - edges_x[column]))
