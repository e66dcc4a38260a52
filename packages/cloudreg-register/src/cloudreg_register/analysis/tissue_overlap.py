"""Tissue overlap: how far the atlas, brought to a target, covers the target's tissue, as a first look at a fit.

Dice's measure (Ecology 26:297, 1945) of two masks of a few dozen voxels an axis. It tells a brain that was missed
from one that was met, not a good map from a better one: for that there are landmarks (`accuracy`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.space import Grid
from cloudreg_register.images.image import Image
from cloudreg_register.images.tissue import Tissue
from cloudreg_register.preparation.missing_data import imaged_weights
from cloudreg_register.transforms.transform import Transform


def tissue_overlaps(target: Image, atlas: Image, maps: Mapping[str, Transform]) -> dict[str, float]:
    """Dice of the target's tissue and the atlas's brought to it, where the target was imaged; from 0 to 1.

    Parameters
    ----------
    target, atlas : Image
    maps : mapping of str to Transform
        Between their frames, such as "before" and "after".
    """
    here, there = Tissue.of(target), Tissue.of(atlas)
    points = here.grid.points().reshape(-1, 3)
    imaged = _looked_up(imaged_weights(target.array) > 0, target.centred_grid, points)
    tissue = here.mask.ravel() & imaged

    def overlap(transform: Transform) -> float:
        brought, _ = transform.to_atlas(points + target.frame.centre)
        covered = _looked_up(there.mask, there.grid, brought - atlas.frame.centre) & imaged
        either = int(covered.sum()) + int(tissue.sum())
        return 2 * int((covered & tissue).sum()) / either if either else 0.0

    return {name: overlap(transform) for name, transform in maps.items()}


def _looked_up(mask: NDArray[np.bool_], grid: Grid, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The mask at the nearest voxels; False outside."""
    index = np.rint(grid.index_of(points)).astype(np.int64)
    inside: NDArray[np.bool_] = np.all((index >= 0) & (index < np.asarray(grid.size)), axis=1)
    x, y, z = np.where(inside[:, None], index, 0).T
    found: NDArray[np.bool_] = mask[z, y, x] & inside
    return found
