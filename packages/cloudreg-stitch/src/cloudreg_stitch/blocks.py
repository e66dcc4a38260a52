"""Textured blocks of the overlap of two tiles, cut from the slabs that are kept at full resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_stitch.block_kernels import sampled_variance
from cloudreg_stitch.highpass import highpass
from cloudreg_stitch.scratch_arrays import PlaneReader
from cloudreg_stitch.strips import Strip

Triple = tuple[int, int, int]  # here always z, y, x
Prepared = tuple[NDArray[np.float32], NDArray[np.float32]]  # a block of a, and a wider window of b

_EDGE = (20, 64, 64)  # of a block, about
_LEAST = (1, 8, 6)  # a block smaller than this is none
_TEXTURE = 6  # voxels


@dataclass(frozen=True, slots=True, eq=False)
class FullStrip:
    """A strip of one tile at full resolution, in slabs of planes.

    Attributes
    ----------
    voxels : array [slab plane, y, x], or a file of one
        The planes of all slabs, one slab after the other.
    strip : Strip
        Where it lies in the tile.
    """

    voxels: NDArray[Any] | PlaneReader
    strip: Strip

    def box(self, first_plane: int, low: Triple, high: Triple) -> NDArray[Any]:
        """The voxels of a box given in coordinates of the tile, z counted from the slab's first plane."""
        (y0, _), (x0, _) = self.strip.y, self.strip.x
        return self.voxels[
            first_plane + low[0] : first_plane + high[0], low[1] - y0 : high[1] - y0, low[2] - x0 : high[2] - x0
        ]


@dataclass(frozen=True, slots=True)
class Block:
    """A box of tile a inside one slab, in coordinates of the tile; z counts from the slab's first plane."""

    slab: int
    low: Triple
    high: Triple

    @property
    def centre(self) -> tuple[float, float, float]:
        """Centre z, y, x."""
        z, y, x = ((low + high - 1) / 2 for low, high in zip(self.low, self.high, strict=True))
        return (z, y, x)


class SlabPair:
    """The full-resolution strips of two neighbours.

    Parameters
    ----------
    a, b : FullStrip
    slabs : sequence of (z0, z1)
        Planes of each slab.
    usable : sequence of bool
        Which slabs have all their planes in both tiles.
    """

    def __init__(
        self, a: FullStrip, b: FullStrip, slabs: Sequence[tuple[int, int]], usable: Sequence[bool]
    ) -> None:
        self._a, self._b = a, b
        self._slabs = tuple(slabs)
        self._usable = tuple(usable)
        depths = [z1 - z0 for z0, z1 in slabs]
        self._first = [sum(depths[:i]) for i in range(len(depths))]

    def choose(self, shift: Triple, radius: Triple, count: int) -> list[Block]:
        """Choose the most textured blocks of a whose windows, wider by `radius`, b holds at `shift`."""
        candidates = self._candidates(shift, radius)
        texture = [self._texture(block, shift) for block in candidates]
        order = sorted(range(len(candidates)), key=lambda i: (-texture[i], i))
        return [candidates[i] for i in sorted(order[:count]) if texture[i] > 0]

    def _candidates(self, shift: Triple, radius: Triple) -> list[Block]:
        ranges_yx = [
            _common(along_a, along_b, step, r)
            for along_a, along_b, step, r in (
                (self._a.strip.y, self._b.strip.y, shift[1], radius[1]),
                (self._a.strip.x, self._b.strip.x, shift[2], radius[2]),
            )
        ]
        blocks = []
        for slab, (z0, z1) in enumerate(self._slabs):
            if not self._usable[slab]:
                continue
            ranges = [_common((0, z1 - z0), (0, z1 - z0), shift[0], radius[0]), *ranges_yx]
            pieces = [_pieces(r, edge, least) for r, edge, least in zip(ranges, _EDGE, _LEAST, strict=True)]
            blocks += [
                Block(slab, (z[0], y[0], x[0]), (z[1], y[1], x[1]))
                for z in pieces[0]
                for y in pieces[1]
                for x in pieces[2]
            ]
        return blocks

    def _texture(self, block: Block, shift: Triple) -> float:
        here = sampled_variance(self._a.box(self._first[block.slab], block.low, block.high))
        there = sampled_variance(self._window(block, shift, (0, 0, 0)))
        return float(min(here, there))

    def _window(self, block: Block, shift: Triple, radius: Triple) -> NDArray[Any]:
        low = tuple(v - s - r for v, s, r in zip(block.low, shift, radius, strict=True))
        high = tuple(v - s + r for v, s, r in zip(block.high, shift, radius, strict=True))
        return self._b.box(self._first[block.slab], low, high)  # type: ignore[arg-type]

    def prepare(self, blocks: Sequence[Block], shift: Triple, margin: Triple) -> list[Prepared]:
        """Cut the blocks out of a, and their windows, wider by `margin`, out of b; fine structure only."""
        return [
            (
                _texture(self._a.box(self._first[block.slab], block.low, block.high)),
                _texture(self._window(block, shift, margin)),
            )
            for block in blocks
        ]


def _texture(voxels: NDArray[Any]) -> NDArray[np.float32]:
    """Fine structure only: shading differs between the tiles, and so does what it makes of coarse structure."""
    return highpass(np.ascontiguousarray(voxels, np.float32), _TEXTURE)


def _common(a: tuple[int, int], b: tuple[int, int], shift: int, radius: int) -> tuple[int, int]:
    """Where in a a block may lie so that b holds its window, b being displaced by `shift`."""
    return max(a[0], b[0] + shift + radius), min(a[1], b[1] + shift - radius)


def _pieces(span: tuple[int, int], edge: int, least: int) -> list[tuple[int, int]]:
    low, high = span
    if high - low < least:
        return []
    count = max(1, round((high - low) / edge))
    cuts = [low + (high - low) * i // count for i in range(count + 1)]
    return list(pairwise(cuts))
