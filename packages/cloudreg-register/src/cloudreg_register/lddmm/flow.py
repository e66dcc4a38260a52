"""Flow: a diffeomorphism as what a time-varying velocity does to space.

A particle at x moves with dφ/dt = v(φ, t); φ is where it is at t = 1. The velocity is piecewise constant in time
and trilinear in space on a grid of its own; maps are kept as displacements (map minus identity, µm) on that grid,
and a position outside takes the displacement of the nearest sample. Maps are composed step by step
(semi-Lagrangian), each step by the midpoint rule, so that φ and φ⁻¹, which are integrated independently, agree to
second order in the length of a step (Beg et al., IJCV 61:139, 2005, for the flow; the midpoint is what makes few
steps enough).

`Flow` keeps what its adjoint needs. The adjoint is that of the discrete steps, to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cloudreg_register.lddmm.sampling import identity, normaliser, sample, sample_adjoint, to_normalised


def displacement(
    velocity: Tensor, spacing: Sequence[float], *, inverse: bool = False, substeps: int = 1
) -> Tensor:
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
    return Flow(velocity, spacing, inverse=inverse, substeps=substeps).displacement


class Flow:
    """The integration of a velocity; parameters as of `displacement`.

    Attributes
    ----------
    displacement : [3, z, y, x]
        In µm.
    """

    def __init__(self, velocity: Tensor, spacing: Sequence[float], *, inverse: bool, substeps: int) -> None:
        self._velocity, self._spacing, self._substeps = velocity, spacing, substeps
        self._length = (-1.0 if inverse else 1.0) / (len(velocity) * substeps)
        # φ⁻¹ undoes the last part last: u ← s + u(X + s) from the first part on; φ the other way round
        self._order = range(len(velocity)) if inverse else range(len(velocity) - 1, -1, -1)
        self._before: list[Tensor] = []
        self.displacement = torch.zeros_like(velocity[0])
        for part in self._order:
            step = self._step(part)
            positions = self._beside(step)
            for _ in range(substeps):
                self._before.append(self.displacement)
                self.displacement = step + sample(self.displacement, positions)

    def adjoint(self, weights: Tensor) -> Tensor:
        """Derivatives of Σ weights · displacement by the velocity.

        Parameters
        ----------
        weights : [3, z, y, x]

        Returns
        -------
        [t, 3, z, y, x]
        """
        derivative = torch.zeros_like(self._velocity)
        before = iter(reversed(self._before))
        for part in reversed(self._order):
            positions = self._beside(self._step(part))
            by_step = torch.zeros_like(weights)
            for _ in range(self._substeps):
                by_field, by_positions = _adjoint(weights, next(before), positions)
                by_step += weights + self._per_um(by_positions)
                weights = by_field
            derivative[part] = self._step_adjoint(part, by_step)
        return derivative

    def _step(self, part: int) -> Tensor:
        """What one step does, from the velocity half way: [3, z, y, x] in µm."""
        velocity = self._velocity[part]
        return self._length * sample(velocity, self._beside(0.5 * self._length * velocity))

    def _step_adjoint(self, part: int, weights: Tensor) -> Tensor:
        velocity = self._velocity[part]
        positions = self._beside(0.5 * self._length * velocity)
        by_field, by_positions = _adjoint(self._length * weights, velocity, positions)
        return by_field + 0.5 * self._length * self._per_um(by_positions)

    def _beside(self, vectors: Tensor) -> Tensor:
        return identity(vectors.shape[1:], vectors) + to_normalised(vectors, self._spacing)

    def _per_um(self, by_positions: Tensor) -> Tensor:
        factors = normaliser(by_positions.shape[:3], self._spacing, by_positions)
        return (by_positions * factors).permute(3, 0, 1, 2)


def _adjoint(weights: Tensor, field: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    by_field, by_positions = sample_adjoint(weights, field, positions, of_field=True, of_positions=True)
    assert by_field is not None
    assert by_positions is not None
    return by_field, by_positions
