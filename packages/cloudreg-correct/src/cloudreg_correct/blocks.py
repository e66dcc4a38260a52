"""Blocks: a plane cut into a regular grid of blocks, and the way back from one value per block to every pixel.

Two grids over the same plane: *fine* blocks (about 128 along the longer side) on which planes are averaged
once, and *coarse* blocks (16 along the longer side), each of several whole fine blocks, on which smooth fields are
fitted. A value of a block stands at the centre of its pixels, so that no field is shifted by half a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

_COARSE = 16  # along the longer side
_FINE_PER_COARSE = 8
_LEAST = 4  # along the shorter side: third differences need as many


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a plane.

    Attributes
    ----------
    pixels, coarse, factor : int
        Length in pixels, number of coarse blocks, fine blocks per coarse block.
    """

    pixels: int
    coarse: int
    factor: int

    @property
    def fine(self) -> int:
        """Number of fine blocks."""
        return self.coarse * self.factor

    def edges(self, blocks: int) -> NDArray[np.int64]:
        """First pixel of each of `blocks` blocks, and the end."""
        return np.arange(blocks + 1) * self.pixels // blocks

    def centres(self, blocks: int) -> Float64:
        """Centre of each block, in pixels."""
        edges = self.edges(blocks)
        return (edges[:-1] + edges[1:] - 1) / 2

    def from_coarse(self) -> Float64:
        """Matrix [fine, coarse] that evaluates coarse values at the centres of the fine blocks."""
        return natural_spline(self.centres(self.coarse), self.centres(self.fine))


@dataclass(frozen=True, slots=True)
class Blocks:
    """The grids of blocks over planes of one shape."""

    y: Axis
    x: Axis

    @classmethod
    def over(cls, shape: tuple[int, int]) -> Blocks:
        """Blocks for planes [y, x] of `shape`."""
        longer = max(shape)
        y, x = (_axis(pixels, longer) for pixels in shape)
        return cls(y, x)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape [y, x] of a plane in pixels."""
        return (self.y.pixels, self.x.pixels)

    @property
    def fine(self) -> tuple[int, int]:
        """Shape [y, x] of the grid of fine blocks."""
        return (self.y.fine, self.x.fine)

    @property
    def coarse(self) -> tuple[int, int]:
        """Shape [y, x] of the grid of coarse blocks."""
        return (self.y.coarse, self.x.coarse)

    def to_coarse(self, fine: NDArray[np.floating]) -> Float64:
        """Means over coarse blocks of values [..., y, x] on fine blocks."""
        (cy, cx), fy, fx = self.coarse, self.y.factor, self.x.factor
        cut = fine.reshape(*fine.shape[:-2], cy, fy, cx, fx)
        return np.asarray(cut.mean(axis=(-3, -1), dtype=np.float64))

    def within_coarse(self, fine: NDArray[np.float32]) -> NDArray[np.float32]:
        """The fine values [n, y, x] of each coarse block, as [n, coarse y, coarse x, values]."""
        (cy, cx), fy, fx = self.coarse, self.y.factor, self.x.factor
        cut = fine.reshape(len(fine), cy, fy, cx, fx).transpose(0, 1, 3, 2, 4)
        return cut.reshape(len(fine), cy, cx, fy * fx)

    def coarse_to_fine(self, coarse: Float64) -> Float64:
        """A smooth field on coarse blocks, on fine ones."""
        return np.asarray(self.y.from_coarse() @ coarse @ self.x.from_coarse().T)

    def fine_to_pixels(self, fine: NDArray[np.floating]) -> NDArray[np.float32]:
        """A field on fine blocks at every pixel: a natural cubic spline through the centres of the blocks."""
        y, x = (
            natural_spline(axis.centres(axis.fine), np.arange(axis.pixels)).astype(np.float32)
            for axis in (self.y, self.x)
        )
        return np.asarray(y @ fine.astype(np.float32) @ x.T)


def _axis(pixels: int, longer: int) -> Axis:
    coarse = min(pixels, max(_LEAST, round(_COARSE * pixels / longer)))
    return Axis(pixels, coarse, max(1, min(_FINE_PER_COARSE, pixels // coarse)))


def natural_spline(knots: Float64, at: NDArray[np.floating] | NDArray[np.integer]) -> Float64:
    """Matrix [len(at), len(knots)] of the natural cubic spline through values at `knots`; linear beyond them.

    De Boor, A Practical Guide to Splines, ch. IV: second derivatives m solve a tridiagonal system in the values,
    and the spline is linear in values and m.
    """
    n = len(knots)
    one = np.eye(n)
    if n == 1:
        return np.ones((len(at), 1))
    h = np.diff(knots)
    left, right = np.eye(n), np.zeros((n, n))
    for i in range(1, n - 1):
        left[i, i - 1 : i + 2] = h[i - 1] / 6, (h[i - 1] + h[i]) / 3, h[i] / 6
        right[i, i - 1 : i + 2] = 1 / h[i - 1], -1 / h[i - 1] - 1 / h[i], 1 / h[i]
    second = np.linalg.solve(left, right)
    before = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, n - 2)
    step = h[before][:, None]
    b = (np.asarray(at, dtype=np.float64) - knots[before])[:, None] / step
    inside = np.clip(b, 0, 1)
    a = 1 - inside
    spline = a * one[before] + inside * one[before + 1]
    spline += ((a**3 - a) * second[before] + (inside**3 - inside) * second[before + 1]) * step**2 / 6
    # the slope at the end of the interval carries on beyond it
    slope = (one[before + 1] - one[before]) / step
    slope += ((1 - 3 * a**2) * second[before] + (3 * inside**2 - 1) * second[before + 1]) * step / 6
    return np.asarray(spline + slope * (b - inside) * step)
