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

_LEAST_ERROR = 0.01  # of the log difference of one patch in one pair: tissue that moved, other depth
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
    by_shift: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for overlap in overlaps:
        if kept[overlap.a] and kept[overlap.b]:
            by_shift.setdefault(_whole_shift(blocks, overlap.shift), []).append(
                (place[overlap.a], place[overlap.b])
            )
    ties = [tie for shift, pairs in by_shift.items() for tie in _ties_of(blocks, logs, weights, shift, pairs)]
    if not ties:
        return None
    rows, values, trust = zip(*ties, strict=True)
    return Ties(np.stack(rows), np.array(values), np.array(trust))


def _whole_shift(blocks: Blocks, shift: tuple[float, float]) -> tuple[int, int]:
    """The shift in whole fine blocks, (y, x)."""
    return (
        round(shift[1] * blocks.y.fine / blocks.y.pixels),
        round(shift[0] * blocks.x.fine / blocks.x.pixels),
    )


def _ties_of(
    blocks: Blocks, logs: Float32, weights: Float32, shift: tuple[int, int], pairs: list[tuple[int, int]]
) -> list[tuple[Float64, float, float]]:
    (dy, dx), (ny, nx) = shift, blocks.fine
    common_y, common_x = range(max(0, dy), min(ny, ny + dy)), range(max(0, dx), min(nx, nx + dx))
    if not common_y or not common_x:
        return []
    a, b = (np.array(index) for index in zip(*pairs, strict=True))
    ties = []
    for rows in _patches(common_y, blocks.y):
        for columns in _patches(common_x, blocks.x):
            in_a = (slice(rows.start, rows.stop), slice(columns.start, columns.stop))
            in_b = (slice(rows.start - dy, rows.stop - dy), slice(columns.start - dx, columns.stop - dx))
            both = weights[a][:, *in_a] * weights[b][:, *in_b]
            step = _robust_mean(logs[a][:, *in_a] - logs[b][:, *in_b], both)
            if step is not None:
                row = _patch_row(blocks, in_a) - _patch_row(blocks, in_b)
                ties.append((row.ravel(), *step))
    return ties


def _patches(common: range, axis: Axis) -> list[range]:
    """A stretch of fine blocks cut into pieces of about one coarse block."""
    count = max(1, round(len(common) / axis.factor))
    edges = [common.start + len(common) * i // count for i in range(count + 1)]
    return [range(low, high) for low, high in pairwise(edges)]


def _patch_row(blocks: Blocks, patch: tuple[slice, slice]) -> Float64:
    """Coefficients of the mean over a patch as a function of the coarse field."""
    y, x = blocks.y.from_coarse()[patch[0]].mean(axis=0), blocks.x.from_coarse()[patch[1]].mean(axis=0)
    return np.asarray(y[:, None] * x)


def _robust_mean(steps: Float32, trust: Float32) -> tuple[float, float] | None:
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
    return centre, float(weight.sum())
