"""Seams: how well neighbouring tiles agree where they overlap, before blending and after.

Before: |mean(A - B)| / mean over the whole overlap of two tiles. After: across each seam line (where the
second tile begins, the middle of the overlap, where the first one ends), the step between the means of two
bands of 16 voxels, one on either side, relative to their mean. Tissue itself changes over 16 voxels, so next to
the plain step stands the step less the slope that the two bands beyond suggest.

Only sums are gathered, during fusion, from planes and rows that are in memory anyway. Integer sums are exact,
so the figures do not depend on how the work was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.space import Bounds
from cloudreg_io.tiles import TileGrid
from cloudreg_stitch.kernels import box_sum
from cloudreg_stitch.layout import Layout

BAND = 16  # voxels
_BANDS = 4  # two on either side of a line
_LINES = ("begin", "middle", "end")


@dataclass(frozen=True, slots=True)
class Seam:
    """Two tiles side by side.

    Attributes
    ----------
    a, b : int
        Indices of their footprints.
    axis : "x" or "y"
        The axis along which b follows a.
    overlap : Bounds
        Output voxels that both have; may be empty.
    """

    a: int
    b: int
    axis: Literal["x", "y"]
    overlap: Bounds

    def bands(self) -> tuple[Bounds, ...]:
        """Boxes of the bands at the three lines, four a line, in the order of `_LINES`."""
        axis = "xy".index(self.axis)
        begin, end = self.overlap.lower[axis], self.overlap.upper[axis]
        starts = [
            line + BAND * (band - _BANDS // 2)
            for line in (begin, (begin + end) // 2, end)
            for band in range(_BANDS)
        ]
        return tuple(_replaced(self.overlap, axis, start, start + BAND) for start in starts)


def seams_of(layout: Layout, grid: TileGrid) -> tuple[Seam, ...]:
    """All pairs of tiles side by side, with their overlap, unless that lies outside of the volume."""
    by_name = {tile.tile.name: tile for tile in layout.footprints}
    found = []
    for first, second, axis in grid.neighbours():
        a, b = by_name[first.name], by_name[second.name]
        shared = a.home.intersection(b.home)
        overlap = shared.intersection(layout.volume)
        if shared.is_empty or not overlap.is_empty:
            found.append(Seam(a.index, b.index, "x" if axis == "x" else "y", overlap))
    return tuple(found)


def sums_shape(seams: Sequence[Seam]) -> tuple[int, int]:
    """Shape of the array of sums: voxels, sum of A, sum of B; then voxels and sum of each band."""
    return (len(seams), 3 + 2 * _BANDS * len(_LINES))


def band_table(seams: Sequence[Seam]) -> NDArray[np.int64]:
    """Corners of all bands, int64 [seams, bands, lower and upper, x y z]; empty boxes where nothing overlaps."""
    table = np.zeros((len(seams), _BANDS * len(_LINES), 2, 3), np.int64)
    for row, seam in zip(table, seams, strict=True):
        if not seam.overlap.is_empty:
            row[:] = [(band.lower, band.upper) for band in seam.bands()]
    return table


def add_bands(sums: NDArray[Any], table: NDArray[np.int64], block: NDArray[Any], window: Bounds) -> None:
    """Add fused voxels to the sums of the bands that they lie in.

    Parameters
    ----------
    sums : [seams, 27]
    table : int64 [seams, 12, 2, 3]
        From `band_table`.
    block : [z, y, x]
        Fused voxels.
    window : Bounds
        Where they lie.
    """
    lower = np.maximum(table[:, :, 0], window.lower) - window.lower
    upper = np.minimum(table[:, :, 1], window.upper) - window.lower
    zero = sums.dtype.type(0)
    for seam, band in np.argwhere((lower < upper).all(axis=2)):
        begin, end = lower[seam, band, ::-1], upper[seam, band, ::-1]
        sums[seam, 3 + 2 * band] += np.prod(end - begin)
        sums[seam, 4 + 2 * band] += box_sum(block, tuple(begin), tuple(end), zero)


def report(sums: NDArray[Any], seam: Seam) -> dict[str, Any]:
    """The figures of one seam as JSON: relative numbers, None where there is nothing to compare."""
    voxels, a, b = (float(value) for value in sums[:3])
    bands = sums[3:].reshape(len(_LINES), _BANDS, 2).astype(float)
    steps = {name: _steps(line) for name, line in zip(_LINES, bands, strict=True)}
    return {
        "overlap_voxels": int(voxels),
        "before": _rounded(abs(a - b) * 2 / (a + b)) if a + b > 0 else None,
        "step": {name: step for name, (step, _) in steps.items()},
        "step_less_slope": {name: step for name, (_, step) in steps.items()},
    }


def summary(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Median and worst of all seams."""
    return {
        "before": _extremes([seam["before"] for seam in reports]),
        **{
            kind: {line: _extremes([seam[kind][line] for seam in reports]) for line in _LINES}
            for kind in ("step", "step_less_slope")
        },
        "without_overlap": sum(seam["overlap_voxels"] == 0 for seam in reports),
    }


def _steps(line: NDArray[np.float64]) -> tuple[float | None, float | None]:
    voxels, sums = line[:, 0], line[:, 1]
    if not voxels[1] or not voxels[2] or sums[1] + sums[2] <= 0:
        return None, None
    means = sums / np.maximum(voxels, 1)
    level = (means[1] + means[2]) / 2
    step = means[2] - means[1]
    if not voxels.all():
        return _rounded(step / level), None
    slope = ((means[1] - means[0]) + (means[3] - means[2])) / 2
    return _rounded(step / level), _rounded((step - slope) / level)


def _extremes(values: Sequence[float | None]) -> dict[str, float | None]:
    sizes = [abs(value) for value in values if value is not None]
    if not sizes:
        return {"median": None, "worst": None}
    return {"median": _rounded(median(sizes)), "worst": max(sizes)}


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _replaced(box: Bounds, axis: int, start: int, stop: int) -> Bounds:
    lower, upper = list(box.lower), list(box.upper)
    lower[axis], upper[axis] = start, stop
    return Bounds((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))
