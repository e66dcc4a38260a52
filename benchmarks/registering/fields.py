"""Displacement fields on grids, as the peers give them: points through a field, by trilinear interpolation."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from cloudreg_io.space import Grid


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """vectors [z, y, x, 3] in µm on a grid."""

    vectors: np.ndarray
    grid: Grid

    def apply(self, points):
        """Points [n, 3] moved by the field."""
        index = self.grid.index_of(points)[:, ::-1].T
        moved = [map_coordinates(self.vectors[..., c], index, order=1, mode="nearest") for c in range(3)]
        return points + np.stack(moved, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Maps:
    """What a method answers: both directions as functions of points [n, 3] in µm, 0 at voxel 0 of each volume.

    `confidence`, where there is one, is a function of points of the atlas; `notes` go into the table.
    """

    to_target: object
    to_atlas: object
    confidence: object = None
    notes: dict | None = None
