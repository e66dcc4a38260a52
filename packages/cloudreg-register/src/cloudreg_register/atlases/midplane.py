"""Midplane: which positions in a volume lie in the left and which in the right hemisphere.

The atlas is cut midway along its left-right axis. In a target the cut is a curved surface: the signed distance
from the plane is computed on a coarse lattice once and interpolated from there, which is exact to a few µm since
the map is smooth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cloudreg_io.space import Grid, resample
from cloudreg_register.images.frame import Frame

_SAMPLES = 64  # of the lattice along the longest axis

ToAtlas = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Midplane:
    """Signed distances from the plane between the hemispheres.

    Attributes
    ----------
    distance : [z, y, x] float32
        µm in the atlas, positive in the right hemisphere.
    grid : Grid
        Of the lattice, in the physical frame of the volume.
    """

    distance: NDArray[np.float32]
    grid: Grid

    @classmethod
    def of_atlas(cls, atlas: Frame) -> Midplane:
        """The midplane of an atlas in its own frame."""
        return cls.through(lambda points: points, atlas, atlas)

    @classmethod
    def through(cls, to_atlas: ToAtlas, atlas: Frame, target: Frame) -> Midplane:
        """The midplane of an atlas in the frame of a target.

        Parameters
        ----------
        to_atlas : callable
            Maps points [n, 3] of the target to points of the atlas, both µm in the physical frames.
        atlas, target : Frame
        """
        step = max(target.extent) / (_SAMPLES - 1)
        size = [max(2, int(np.ceil(extent / step)) + 1) for extent in target.extent]
        # samples from outer corner to outer corner, so that nothing inside is extrapolated
        spacing = [extent / (n - 1) for extent, n in zip(target.extent, size, strict=True)]
        x, y, z = size
        grid = Grid((x, y, z), (spacing[0], spacing[1], spacing[2]), target.grid().corner)
        axis = next(k for k, letter in enumerate(atlas.orientation.code) if letter in "LR")
        sign = 1 if atlas.orientation.code[axis] == "R" else -1
        mapped = to_atlas(grid.points().reshape(-1, 3))
        distance = sign * (mapped[:, axis] - atlas.centre[axis])
        return cls(distance.reshape(grid.shape).astype(np.float32), grid)

    def right_of(self, grid: Grid) -> NDArray[np.bool_]:
        """Which samples [z, y, x] of a grid lie in the right hemisphere."""
        mask: NDArray[np.bool_] = resample(self.distance, self.grid, grid, outside=None) > 0
        return mask

    def right_at(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Which points [n, 3] (µm) lie in the right hemisphere."""
        upper = np.array(self.grid.size) - 1
        index = np.clip(self.grid.index_of(points), 0, upper)
        low = np.minimum(index.astype(np.intp), upper - 1)
        # per axis, the weight of the sample below and of that above
        weights = [(1 - part, part) for part in (index - low).T]
        total = np.zeros(len(index))
        for i, j, k in np.ndindex(2, 2, 2):
            x, y, z = low[:, 0] + i, low[:, 1] + j, low[:, 2] + k
            total += weights[0][i] * weights[1][j] * weights[2][k] * self.distance[z, y, x]
        mask: NDArray[np.bool_] = total > 0
        return mask
