"""Confidence: how far the images, rather than the smoothness of the map, say where a voxel belongs.

At each voxel of the sample the data's curvature (how sharply brightness changes along the map, over the expected
error) is gathered over the reach of the smoothing and set against the stiffness of the regulariser at that scale:
confidence = curvature / (curvature + stiffness), near 1 in textured tissue, near 0 in holes, artifacts and far
away.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool3d, pad

from cloudreg_io.space import Grid, vector3
from cloudreg_register.lddmm.objective import Belief, Map, Objective


def confidence_map(
    objective: Objective, at: Map, belief: Belief, reach: float
) -> tuple[NDArray[np.float32], Grid]:
    """The confidence on a grid of about the reach (µm) in the centred frame of the sample."""
    found = objective.compared(at, belief)
    curvature = found.weight * found.gradient.square().sum(dim=0) / 3
    grid = objective.on_sample.grid
    factors = [max(1, round(reach / spacing)) for spacing in grid.spacing]
    gathered, coarse = _summed(curvature, grid, (factors[2], factors[1], factors[0]))
    stiffness = float(objective.regulariser.multiplier.min()) * _samples_per(objective, factors)
    stiffness *= 2.0**4  # the eigenvalue (1 + a² k²)^p at k = 1 / a
    return (gathered / (gathered + stiffness)).cpu().numpy().astype(np.float32), coarse


def _summed(field: Tensor, grid: Grid, factors: tuple[int, int, int]) -> tuple[Tensor, Grid]:
    rest = [(-n) % f for n, f in zip(field.shape, factors, strict=True)]
    padded = pad(field, (0, rest[2], 0, rest[1], 0, rest[0]))
    sums = avg_pool3d(padded[None, None], factors)[0, 0] * float(np.prod(factors))
    spacing = [s * f for s, f in zip(grid.spacing, reversed(factors), strict=True)]
    return sums, grid.with_spacing(vector3(spacing), tuple(reversed(sums.shape)))


def _samples_per(objective: Objective, factors: list[int]) -> float:
    """Samples of the velocity in a block of voxels."""
    block = objective.on_sample.sample_volume * float(np.prod(factors))
    return block / objective.on_velocity.sample_volume
