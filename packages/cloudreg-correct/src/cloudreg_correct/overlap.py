"""Overlaps of neighbouring tiles: the same tissue seen through opposite edges of the field.

In a block that both planes show, log a - log b = log S(place in a) - log S(place in b): tissue cancels. The
mean of such differences over small patches along the overlap ties the left edge of the field to its right one
and the top to the bottom, which is what seams in a mosaic are made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cloudreg_correct.blocks import Axis, Blocks
from cloudreg_correct.robust import Ties

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_LEAST_ERROR = 0.01  # of the log difference of one patch in one pair of tiles: tissue that moved, other depth
_LEAST_TRUST = 0.25  # mean weight of a patch


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two planes at the same depth that show the same tissue in part.

    Attributes
    ----------
    a, b : int
        Indices in the sample.
    shift : (x, y) float
        Position of b minus that of a, in pixels.
    """

    a: int
    b: int
    shift: tuple[float, float]


def overlap_ties(
    blocks: Blocks, logs: Float32, weights: Float32, kept: NDArray[np.bool_], overlaps: Sequence[Overlap]
) -> Ties | None:
    """Ties of the coarse field from the overlaps.

    Parameters
    ----------
    blocks : Blocks
    logs, weights : [k, y, x] float32
        On fine blocks, of the planes kept.
    kept : [n] bool
        Which planes of the sample were kept.
    overlaps : sequence of Overlap
        Indices in the whole sample.
    """
    place = np.cumsum(kept) - 1
    by_shift: dict[tuple[float, float], list[tuple[int, int]]] = {}
    for overlap in overlaps:
        if kept[overlap.a] and kept[overlap.b]:
            by_shift.setdefault(_in_blocks(blocks, overlap.shift), []).append((place[overlap.a], place[overlap.b]))
    ties = [tie for shift, pairs in by_shift.items() for tie in _ties_of(blocks, logs, weights, shift, pairs)]
    if not ties:
        return None
    rows, values, trust = zip(*ties, strict=True)
    return Ties(np.stack(rows), np.array(values), np.array(trust))


def _in_blocks(blocks: Blocks, shift: tuple[float, float]) -> tuple[float, float]:
    """A shift (x, y) in pixels as one in fine blocks, (y, x)."""
    return (shift[1] * blocks.y.fine / blocks.y.pixels, shift[0] * blocks.x.fine / blocks.x.pixels)


def _ties_of(
    blocks: Blocks, logs: Float32, weights: Float32, shift: tuple[float, float], pairs: list[tuple[int, int]]
) -> list[tuple[Float64, float, float]]:
    """The ties from all pairs of planes that are shifted alike."""
    y, x = _Common.along(blocks.y, shift[0]), _Common.along(blocks.x, shift[1])
    a, b = (np.array(index) for index in zip(*pairs, strict=True))
    ties = []
    for rows in _patches(y, blocks.y):
        for columns in _patches(x, blocks.x):
            in_a = (slice(rows.start, rows.stop), slice(columns.start, columns.stop))
            seen_a, seen_b = logs[a][:, *in_a], _shifted(logs[b], y, x, rows, columns)
            # where one of the blocks that are interpolated between is dark, so is the result
            both = weights[a][:, *in_a] * _shifted(weights[b], y, x, rows, columns)
            step = _robust_mean(seen_a - seen_b, both)
            if step is not None:
                row = _row(y.at_a(rows), x.at_a(columns)) - _row(y.at_b(rows), x.at_b(columns))
                ties.append((row.ravel(), *step))
    return ties


@dataclass(frozen=True, slots=True, eq=False)
class _Common:
    """What two planes have in common along one axis: fine blocks of a, and where they lie between those of b.

    Attributes
    ----------
    blocks : range
        Of a.
    before : int
        `blocks[0]` lies between the blocks `before` and `before + 1` of b.
    fraction : float
        How far on the way.
    matrix : [fine, coarse]
        Of the axis, `from_coarse`.
    """

    blocks: range
    before: int
    fraction: float
    matrix: Float64

    @classmethod
    def along(cls, axis: Axis, shift: float) -> _Common:
        first = max(0, int(np.ceil(shift)))
        last = min(axis.fine, int(np.floor(axis.fine - 1 + shift)) + 1)
        place = first - shift
        before = int(np.floor(place))
        fraction = place - before
        return cls(range(first, max(first, last)), before, fraction, axis.from_coarse())

    def _after(self, rows: range) -> tuple[slice, slice]:
        start = self.before + rows.start - self.blocks.start
        stop = start + len(rows)
        # whole shifts have no block after the last
        return slice(start, stop), slice(start + 1, stop + 1) if self.fraction > 0 else slice(start, stop)

    def shifted(self, values: NDArray[np.floating], rows: range, axis: int) -> NDArray[np.floating]:
        """Values of b at the blocks `rows` of a."""
        before, after = (values[(slice(None),) * axis + (part,)] for part in self._after(rows))
        f = np.float32(self.fraction)
        return np.asarray((1 - f) * before + f * after)

    def at_a(self, rows: range) -> Float64:
        """Coefficients of the mean over the blocks of a as a function of the coarse field."""
        return np.asarray(self.matrix[rows.start : rows.stop].mean(axis=0))

    def at_b(self, rows: range) -> Float64:
        """The same over where they lie in b."""
        return np.asarray(self.shifted(self.matrix, rows, 0).mean(axis=0))


def _shifted(values: Float32, y: _Common, x: _Common, rows: range, columns: range) -> NDArray[np.floating]:
    return x.shifted(y.shifted(values, rows, 1), columns, 2)


def _row(y: Float64, x: Float64) -> Float64:
    return np.asarray(y[:, None] * x)


def _patches(common: _Common, axis: Axis) -> list[range]:
    """The common stretch of fine blocks, cut into pieces of about one coarse block."""
    blocks = common.blocks
    if not blocks:
        return []
    count = max(1, round(len(blocks) / axis.factor))
    edges = [blocks.start + len(blocks) * i // count for i in range(count + 1)]
    return [range(low, high) for low, high in pairwise(edges)]


def _robust_mean(steps: NDArray[np.floating], trust: NDArray[np.floating]) -> tuple[float, float] | None:
    """Mean over pairs of the mean step in a patch [pairs, y, x], and one over its variance."""
    total = trust.sum(axis=(1, 2), dtype=np.float64)
    good = total >= _LEAST_TRUST * trust[0].size
    if not good.any():
        return None
    values = ((trust * steps).sum(axis=(1, 2), dtype=np.float64)[good]) / total[good]
    centre = float(np.median(values))
    width = np.hypot(1.4826 * float(np.median(np.abs(values - centre))), _LEAST_ERROR)
    for _ in range(5):
        weight = 2 / (1 + ((values - centre) / width) ** 2) / width**2
        centre = float((weight * values).sum() / weight.sum())
    # planes of one pair of tiles show related tissue: many of them do not make an error of the pair small
    return centre, 1 / (_LEAST_ERROR**2 + 1 / float(weight.sum()))
