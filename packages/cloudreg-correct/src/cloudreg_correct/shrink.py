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

_PLATEAU = 1e-4  # of the pixels at exactly the plane's maximum, far above its mean: clipped there
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
    y, x = plane.shape
    blocks = Blocks.over((y, x))
    limit = _saturation(plane) if saturation is None else saturation
    means, used = np.zeros(blocks.fine, np.float32), np.zeros(blocks.fine, np.float32)
    _block_means(plane, limit, blocks.y.edges(blocks.y.fine), blocks.x.edges(blocks.x.fine), means, used)
    if not np.isfinite(means).all():
        bad = np.argwhere(~np.isfinite(plane))
        raise InputError(
            f"plane {index} holds {len(bad)} values that are not finite, the first at {bad[0].tolist()} [y, x]"
        )
    sparse = plane[::_DARK_STRIDE, ::_DARK_STRIDE].ravel()
    rank = int(_DARK_QUANTILE * sparse.size)
    dark = np.partition(sparse, rank)[rank]
    return ShrunkenPlanes(blocks, means[None], used[None], np.array([dark], np.float32))


def _saturation(plane: NDArray[Any]) -> float:
    highest = float(plane.max())
    if np.issubdtype(plane.dtype, np.integer) and highest < np.iinfo(plane.dtype).max:
        # a camera of 12 or 14 bits stored in 16 saturates at its own maximum
        at_highest = np.count_nonzero(plane == plane.dtype.type(highest))
        plateau = at_highest > max(8, _PLATEAU * plane.size) and highest > 4 * float(plane.mean())
        return highest if plateau else float("inf")
    return highest if np.issubdtype(plane.dtype, np.integer) else float("inf")


@compiled
def _block_means(
    plane: NDArray[Any],
    saturation: float,
    edges_y: NDArray[np.int64],
    edges_x: NDArray[np.int64],
    means: Float32,
    used: Float32,
) -> None:
    for row in range(len(edges_y) - 1):
        for y in range(edges_y[row], edges_y[row + 1]):
            for column in range(len(edges_x) - 1):
                total = np.float32(0)
                count = np.float32(0)
                for x in range(edges_x[column], edges_x[column + 1]):
                    value = np.float32(plane[y, x])
                    below = value < saturation or not np.isfinite(value)
                    total += value if below else np.float32(0)
                    count += np.float32(1) if below else np.float32(0)
                means[row, column] += total
                used[row, column] += count
        for column in range(len(edges_x) - 1):
            pixels = (edges_y[row + 1] - edges_y[row]) * (edges_x[column + 1] - edges_x[column])
            if used[row, column] > 0:
                means[row, column] /= used[row, column]
            used[row, column] /= pixels
