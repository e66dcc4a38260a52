"""Blending: what share of an output voxel each tile has.

The weight of a tile at a voxel is the product over x and y of a raised cosine of the distance to the tile's
edge (a Hann window over the tile): near an edge a tile fades out with zero slope whatever lies beside it, and
where three or four tiles meet nothing special happens. A tile's share is its weight over the sum of weights
of the tiles *present* there: presence is a matter of geometry and of missing planes, never of a value of 0.

Shares are formed before anything is added, so they are exactly 1 where a tile is alone, and the sum of weights
needs no canvas of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.space import Bounds
from cloudreg_stitch.layout import Footprint

Blend = Literal["cosine", "none"]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """The shares of one tile in a window.

    Attributes
    ----------
    window : Bounds
        The output voxels, one plane deep, that the tile touches.
    values : float32 [y, x]
        From 0 to 1; over the tiles present at a voxel they add up to 1.
    contributors : uint16 [y, x]
        Number of tiles that the voxel is made of; 0 where this tile is not among them.
    """

    window: Bounds
    values: Floats
    contributors: NDArray[np.uint16]

    def tally(self, box: Bounds) -> tuple[int, int, int]:
        """Number of voxels (x, y) inside a box that are used alone, blended, dropped."""
        (x0, y0, z), (x1, y1, _) = self.window.lower, self.window.upper
        flat = Bounds(
            (min(max(box.lower[0], x0), x1), min(max(box.lower[1], y0), y1), z),
            (max(min(box.upper[0], x1), x0), max(min(box.upper[1], y1), y0), z + 1),
        )
        _, rows, columns = flat.slices(self.window.lower)
        found = self.contributors[rows, columns]
        alone, dropped = int(np.count_nonzero(found == 1)), int(np.count_nonzero(found == 0))
        return alone, found.size - alone - dropped, dropped


@lru_cache(maxsize=4096)
def profile(size: int, fraction: float) -> Floats:
    """Weights of a tile along one axis, at each output voxel it touches.

    Parameters
    ----------
    size : int
        Of the tile, in voxels.
    fraction : float
        By which the tile lies after its first output voxel.

    Returns
    -------
    float32 array [size], or [size + 1] when there is a fraction; all > 0
    """
    at = np.arange(size + (fraction > 0)) - fraction
    distance = np.clip(at, 0, size - 1) + 0.5
    weights: Floats = (np.sin(np.pi / size * distance) ** 2).astype(np.float32)
    weights.setflags(write=False)
    return weights


def shares(tile: Footprint, present: Sequence[Footprint], window: Bounds, blend: Blend) -> Shares:
    """Share of a tile in each output voxel it touches.

    Parameters
    ----------
    tile : Footprint
    present : sequence of Footprint
        The tiles that may share voxels with it in this output plane, itself among them, by index.
    window : Bounds
        One output plane, or a strip of it.
    blend : "cosine" or "none"
        "none" gives each voxel to the tile whose edge is farthest away; of equals, to the first.
    """
    box = _flat(tile, window)
    return _divided(tile, present, box) if blend == "cosine" else _won(tile, present, box)


def _divided(tile: Footprint, present: Sequence[Footprint], box: Bounds) -> Shares:
    # the sum is formed in the order of the tiles, so that where a tile is alone it is the tile's own weight
    total = np.zeros(box.shape[1:], np.float32)
    contributors = np.zeros(total.shape, np.uint16)
    for other in present:
        part = _flat(other, box)
        _, rows, columns = part.slices(box.lower)
        total[rows, columns] += _weights(other, part)
        contributors[rows, columns] += 1
    values = _weights(tile, box)
    values /= total
    return Shares(box, values, contributors)


def _won(tile: Footprint, present: Sequence[Footprint], box: Bounds) -> Shares:
    own = _weights(tile, box)
    wins = np.ones(own.shape, np.bool_)
    for other in present:
        if other.index == tile.index:
            continue
        part = _flat(other, box)
        _, rows, columns = part.slices(box.lower)
        theirs = _weights(other, part)
        mine = own[rows, columns]
        wins[rows, columns] &= mine > theirs if other.index < tile.index else mine >= theirs
    return Shares(box, wins.astype(np.float32), wins.astype(np.uint16))


def _flat(tile: Footprint, window: Bounds) -> Bounds:
    """The part of a window, whatever its z, that a tile touches in x and y."""
    (x0, y0, _), (x1, y1, _) = tile.bounds.lower, tile.bounds.upper
    z0, z1 = window.lower[2], window.upper[2]
    return Bounds((x0, y0, z0), (x1, y1, z1)).intersection(window)


def _weights(tile: Footprint, box: Bounds) -> Floats:
    """Weights of a tile in a box that it covers in x and y."""
    _, rows, columns = box.slices((tile.origin[0], tile.origin[1], box.lower[2]))
    across = profile(tile.size[0], tile.fraction[0])[columns]
    down = profile(tile.size[1], tile.fraction[1])[rows]
    weights: Floats = np.multiply.outer(down, across)
    return weights
