"""Flow: a diffeomorphism as what a time-varying velocity does to space.

A particle at x moves with dφ/dt = v(φ, t); φ is where it is at t = 1. The velocity is piecewise constant in time
and trilinear in space on a grid of its own; maps are kept as displacements (map minus identity, µm) on that grid,
and a position outside takes the displacement of the nearest sample. Maps are composed step by step (semi-Lagrangian),
each step by the midpoint rule, so that φ and φ⁻¹, which are integrated independently, agree to second order in the
length of a step (Beg et al., IJCV 61:139, 2005, for the flow; the midpoint is what makes few steps enough).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cloudreg_register.sampling import identity, sample, to_normalised


def displacement(velocity: Tensor, spacing: Sequence[float], *, inverse: bool = False, substeps: int = 1) -> Tensor:
    """The displacement of φ, or of φ⁻¹.

    Parameters
    ----------
    velocity : [t, 3, z, y, x]
        Components x, y, z in µm per unit time, constant during each of the t equal parts of the time from 0 to 1.
    spacing : (x, y, z)
        Of the velocity's grid, in µm.
    inverse : bool
        Give φ⁻¹ in place of φ.
    substeps : int
        Steps of integration per part.

    Returns
    -------
    [3, z, y, x]
        φ(x) − x in µm (or φ⁻¹(x) − x) at the samples of the velocity's grid.
    """
    here = identity(velocity.shape[2:], velocity)
    total = torch.zeros_like(velocity[0])
    for step in steps(velocity, spacing, inverse=inverse, substeps=substeps):
        total = step + sample(total, here + to_normalised(step, spacing))
    return total


def steps(velocity: Tensor, spacing: Sequence[float], *, inverse: bool, substeps: int) -> list[Tensor]:
    """The displacements [3, z, y, x] of the single steps, in the order in which they are composed."""
    here = identity(velocity.shape[2:], velocity)
    parts = velocity if inverse else velocity.flip(0)
    length = (-1.0 if inverse else 1.0) / (len(velocity) * substeps)
    made = [length * sample(part, here + to_normalised(0.5 * length * part, spacing)) for part in parts]
    return [step for step in made for _ in range(substeps)]
