"""Tissue: which voxels of an image are brain, well enough to say where it is and how large.

The image is reduced to a few dozen voxels an axis, blurred, and cut by Otsu's threshold (IEEE Trans. SMC 9:62,
1979); bright blobs are clipped first. Whichever side of the threshold fills most of the volume's faces is outside,
so that a bright surrounding is recognised too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.space import Grid, Vector3, vector3
from cloudreg_register.images.image import Image

_VOXELS = 48  # of the longest axis after reduction
_BINS = 256
_BRIGHT = 0.995  # quantile beyond which values are clipped
_TAIL = 0.005  # of the tissue on either side of an axis does not count: specks are not where the brain ends


@dataclass(frozen=True, slots=True, eq=False)
class Tissue:
    """Where the tissue of an image is.

    Attributes
    ----------
    mask : [z, y, x] bool
    grid : Grid
        Of the mask, in µm, 0 at the centre of the volume.
    """

    mask: NDArray[np.bool_]
    grid: Grid

    @classmethod
    def of(cls, image: Image) -> Tissue:
        """The tissue of an image that is not constant."""
        high = np.quantile(image.array[::2, ::2, ::2], _BRIGHT)
        if high > image.array.min():
            image = replace(image, array=np.minimum(image.array, high))
        coarse = image.resampled(max(image.grid.extent) / _VOXELS)
        values = _blurred(np.asarray(coarse.array, np.float64))
        above = values > otsu(values)
        faces = [np.take(above, index, axis).ravel() for axis in range(3) for index in (0, -1)]
        outside = bool(np.concatenate(faces).mean() > 0.5)
        return cls(~above if outside else above, coarse.centred_grid)

    @property
    def centre(self) -> Vector3:
        """Its centre of mass (x, y, z)."""
        return vector3(
            float(positions @ profile / profile.sum())
            for positions, profile in zip(self.grid.axes(), self._profiles(), strict=True)
        )

    @property
    def extent(self) -> Vector3:
        """How long it is along x, y, z, in µm: all but 0.5 % of it at either end."""
        lengths = []
        for edge, profile in zip(self.grid.spacing, self._profiles(), strict=True):
            share = np.concatenate([[0.0], np.cumsum(profile) / profile.sum()])
            low, high = np.interp([_TAIL, 1 - _TAIL], share, np.arange(share.size))
            lengths.append(float(high - low) * edge)
        return vector3(lengths)

    def _profiles(self) -> tuple[NDArray[np.float64], ...]:
        """Voxels of tissue in each plane across x, across y and across z."""
        return tuple(self.mask.sum(axis=tuple({0, 1, 2} - {2 - k})).astype(np.float64) for k in range(3))


def otsu(values: NDArray[np.float64]) -> float:
    """The threshold that separates two classes with the largest variance between them."""
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return low
    counts, edges = np.histogram(values, bins=_BINS, range=(low, high))
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    sums = np.cumsum(counts * middles)
    above = values.size - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    best = np.nanmax(between)
    # between two separate classes every threshold is as good: take the middle one
    ties = np.flatnonzero(between >= best * (1 - 1e-9))
    return float(edges[1:-1][ties].mean())


def _blurred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights ¼ ½ ¼ along each axis."""
    for axis in range(3):
        padded = np.pad(values, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        n = values.shape[axis]
        left, middle, right = (padded.take(range(i, i + n), axis) for i in range(3))
        values = (left + 2 * middle + right) / 4
    return values
