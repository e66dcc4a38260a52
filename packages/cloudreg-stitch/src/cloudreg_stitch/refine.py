"""Sub-voxel displacement of two tiles from textured blocks at full resolution.

The coarse search is right within a bin. Here blocks of one tile are correlated directly with the other tile
around the coarse result: first some blocks together, to find the whole voxel; then all of them. Blocks that
agree are summed into one correlation, whose maximum is the displacement; the scatter of the single blocks
gives its uncertainty, and a trend over the overlap is drift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.space import Vector3
from cloudreg_stitch.block_kernels import block_sums, moved
from cloudreg_stitch.blocks import Block, Prepared, SlabPair, Triple
from cloudreg_stitch.peak import TAPS, fraction_taps, quadratic_peak

_BLOCKS = 24  # for noisy tiles; …
_BLOCKS_IF_CLEAR = 12  # … where the blocks of the search correlate by more than _CLEAR, half of them do
_CLEAR = 0.5
_SEARCH_BLOCKS = 4
_FINE = 1  # radius of the fine search, in voxels
_RECENTRINGS = 4
_SMALL_STEP = 0.03  # voxels
_NEARLY = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """The result, vectors ordered x, y, z.

    Attributes
    ----------
    displacement, sigma : (x, y, z) float
        In voxels.
    ncc : float
        Correlation of the blocks that agree, together.
    blocks, agreeing : int
    drift : float
        Change of the displacement over the overlap in voxels, where it is significant; else 0.
    """

    displacement: Vector3
    sigma: Vector3
    ncc: float
    blocks: int
    agreeing: int
    drift: float


def refine(pair: SlabPair, start: Sequence[float], radius: Triple) -> Refined | None:
    """Find the displacement within `radius` (z, y, x) voxels of `start` (x, y, z); None without texture."""
    shift = _whole(start)
    for _ in range(_RECENTRINGS):
        blocks = pair.choose(shift, radius, _SEARCH_BLOCKS)
        if not blocks:
            return None
        ncc = _sums(pair.prepare(blocks, shift, radius), radius).together()
        peak = _argmax(ncc)
        shift = _moved(shift, peak, radius)
        if all(0 < p < 2 * r or r == 0 for p, r in zip(peak, radius, strict=True)):
            break
    return _fine(pair, shift, _BLOCKS_IF_CLEAR if ncc[peak] > _CLEAR else _BLOCKS)


def _fine(pair: SlabPair, shift: Triple, count: int) -> Refined | None:
    # with a margin for moving by a fraction of a voxel; where the overlap is too narrow, without
    for margin in (_FINE + TAPS, _FINE):
        at = shift
        for _ in range(_RECENTRINGS):
            blocks = pair.choose(at, (margin,) * 3, count)
            if not blocks:
                break
            prepared = pair.prepare(blocks, at, (margin,) * 3)
            sums = _sums(prepared, (_FINE,) * 3)
            peak = _argmax(sums.together())
            if peak == (_FINE,) * 3:
                return _measure(blocks, prepared, sums, at, polish=margin > _FINE)
            at = _moved(at, peak, (_FINE,) * 3)
    return None


def _measure(
    blocks: Sequence[Block], prepared: Sequence[Prepared], sums: _Sums, shift: Triple, polish: bool
) -> Refined:
    """Displacement, uncertainty and drift from the blocks that agree."""
    offset = quadratic_peak(sums.together())
    agree = sums.central(_NEARLY)
    if polish:
        # interpolation between the samples of a correlation is a little wrong, by up to a tenth of a
        # voxel in fine texture; but a peak in the middle of its samples needs none
        sums = _sums(prepared, (_FINE,) * 3, offset)
        agree = sums.central()
    if not agree.any():
        return _refined(shift, offset, sums, agree, 0.0)
    singles = np.array([quadratic_peak(ncc) for ncc in sums.single()])[agree]
    centres = np.array([block.centre for block in blocks])[agree]
    drift = _drift(centres, singles, _extent(blocks))
    if polish:
        step = quadratic_peak(sums.together(agree))
        offset = np.clip(offset + step, -1, 1)
        if np.abs(step).max() > _SMALL_STEP:
            chosen = [pair for pair, use in zip(prepared, agree, strict=True) if use]
            step = quadratic_peak(_sums(chosen, (_FINE,) * 3, offset).together())
            offset = np.clip(offset + step, -1, 1)
    return _refined(shift, offset, sums, agree, drift, singles)


def _extent(blocks: Sequence[Block]) -> NDArray[np.float64]:
    low = np.min([block.low for block in blocks], axis=0)
    high = np.max([block.high for block in blocks], axis=0)
    extent: NDArray[np.float64] = (high - low).astype(np.float64)
    return extent


def _sums(prepared: Sequence[Prepared], radius: Triple, fraction: NDArray[np.float64] | None = None) -> _Sums:
    """Correlate blocks of a with b, b being moved by a fraction of a voxel if one is given."""
    taps = None if fraction is None else fraction_taps(fraction)
    parts = []
    for here, wide in prepared:
        if taps is None:
            cut = [(w - h) // 2 - r for w, h, r in zip(wide.shape, here.shape, radius, strict=True)]
            inner = tuple(slice(c, n - c) for c, n in zip(cut, wide.shape, strict=True))
            there = np.ascontiguousarray(wide[inner])
        else:
            there = moved(wide, taps)
        parts.append(block_sums(here, there))
    # when the displacement grows, the place in b goes back: flip, so that indices grow with the displacement
    flip = (slice(None), slice(None, None, -1), slice(None, None, -1), slice(None, None, -1))
    return _Sums(
        np.array([energy for energy, _, _ in parts]),
        np.stack([cross for _, cross, _ in parts])[flip],
        np.stack([there for _, _, there in parts])[flip],
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Sums of products of every block [block, z, y, x]; the last three axes are displacements."""

    energy: NDArray[np.float64]
    cross: NDArray[np.float64]
    there: NDArray[np.float64]

    def together(self, chosen: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """Correlation of the chosen blocks as if they were one."""
        use = slice(None) if chosen is None else chosen
        energy = self.energy[use].sum() * self.there[use].sum(axis=0)
        result: NDArray[np.float64] = self.cross[use].sum(axis=0) / np.sqrt(np.maximum(energy, 1e-30))
        return result

    def central(self, nearly: float = 1.0) -> NDArray[np.bool_]:
        """Blocks whose correlation is highest in the middle along each axis, or nearly so."""
        ncc = self.single()
        middle = ncc[:, _FINE, _FINE, _FINE]
        lines = (ncc[:, :, _FINE, _FINE], ncc[:, _FINE, :, _FINE], ncc[:, _FINE, _FINE, :])
        highest = np.max([line.max(axis=1) for line in lines], axis=0)
        result: NDArray[np.bool_] = (middle > 0) & (middle >= nearly * highest)
        return result

    def single(self) -> NDArray[np.float64]:
        """Correlation of every block by itself."""
        result: NDArray[np.float64] = self.cross / np.sqrt(
            np.maximum(self.energy[:, None, None, None] * self.there, 1e-30)
        )
        return result


def _refined(
    shift: Triple,
    offset: NDArray[np.float64],
    sums: _Sums,
    agree: NDArray[np.bool_],
    drift: float,
    offsets: NDArray[np.float64] | None = None,
) -> Refined:
    scatter = np.ones(3)
    n = int(agree.sum())
    if offsets is not None:
        residuals = offsets - np.median(offsets, axis=0)
        # two imagined blocks that are off by a tenth of a voxel keep a few lucky ones from seeming exact
        scatter = np.sqrt((np.sum(residuals**2, axis=0) + 2 * 0.1**2) / (n + 2))
    sigma = np.sqrt(scatter**2 / max(1, n) + 0.005**2)
    z, y, x = (float(v) for v in np.array(shift) + offset)
    return Refined(
        displacement=(x, y, z),
        sigma=(float(sigma[2]), float(sigma[1]), float(sigma[0])),
        ncc=float(sums.together(agree if n else None)[_FINE, _FINE, _FINE]),
        blocks=len(agree),
        agreeing=n,
        drift=drift,
    )


def _drift(centres: NDArray[np.float64], offsets: NDArray[np.float64], extent: NDArray[np.float64]) -> float:
    """How much a straight line through the offsets changes over the overlap, if that is significant."""
    spread = np.ptp(centres, axis=0)
    varying = spread > 0.3 * extent
    n = len(centres)
    if n < 8 or not varying.any():
        return 0.0
    u = (centres[:, varying] - centres[:, varying].mean(axis=0)) / extent[varying]
    design = np.column_stack([np.ones(n), u])
    fit, *_ = np.linalg.lstsq(design, offsets, rcond=None)
    residual = np.sum((offsets - design @ fit) ** 2, axis=0) / max(1, n - design.shape[1])
    spread_of_fit = np.linalg.pinv(design.T @ design)
    error = np.sqrt(np.outer(np.diag(spread_of_fit), residual)) + 1e-9
    significant = np.abs(fit[1:]) > 5 * error[1:]
    return float(np.max(np.abs(fit[1:]) * significant, initial=0.0))


def _whole(start: Sequence[float]) -> Triple:
    x, y, z = (math.floor(v + 0.5) for v in start)
    return (z, y, x)


def _argmax(values: NDArray[np.float64]) -> Triple:
    z, y, x = (int(v) for v in np.unravel_index(int(values.argmax()), values.shape))
    return (z, y, x)


def _moved(shift: Triple, peak: Triple, radius: Triple) -> Triple:
    z, y, x = (s + p - r for s, p, r in zip(shift, peak, radius, strict=True))
    return (z, y, x)
