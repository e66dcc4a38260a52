"""Classic schedule: what one iteration of the original does, and in which order.

Everything is worked out from the state before the iteration: the atlas as the velocity carries it, what each voxel
shows, then a step of the velocity, of the affine map, of the contrast, and new means of artifact and background.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from cloudreg_io.space import Grid
from cloudreg_register.classic.affine import inverse_step, projected, scale_of
from cloudreg_register.classic.contrast import ClassicContrast
from cloudreg_register.classic.flow import carried, clipped, inverses, preconditioned, velocity_gradient
from cloudreg_register.classic.images import ClassicImages
from cloudreg_register.lddmm.affine import AffineMode
from cloudreg_register.lddmm.coordinates import Coordinates
from cloudreg_register.lddmm.descent import Step
from cloudreg_register.lddmm.regulariser import Regulariser, filtered
from cloudreg_register.lddmm.sampling import sample

_PARTS = 10
_MOUSE_UNIT = 500.0  # µm: the unit of length for which σR and eV are given
_STEP_V, _STEP_A, _STEP_A_UNEVEN = 1e6, 0.2, 0.002
_LENGTH, _SMOOTHER, _POWER = 1.0, 2.0, 4.0  # units; power: of (id − a² Δ)
_SHARES = (0.79, 0.2, 0.01)  # tissue, artifact, background
_SIGMAS = (1.0, 5.0, 2.0)  # standard deviations of the sample
_CONTRAST_STEPS = (20, 5)  # first iteration, later


@dataclass(frozen=True, slots=True, eq=False)
class ClassicState:
    """All that the next iteration depends on.

    Attributes
    ----------
    velocity : [10, 3, z, y, x]
        µm per unit time, on the atlas's grid.
    affine : [4, 4] float64
    contrast : ClassicContrast
    artifact, background : float
        Means of what is no tissue.
    history : tuple of Step
        One for each iteration that was done.
    """

    velocity: Tensor
    affine: Tensor
    contrast: ClassicContrast
    artifact: float = 1.0
    background: float = -1.0
    history: tuple[Step, ...] = ()


class Schedule:
    """The iteration: everything that stays the same while it is repeated.

    Parameters
    ----------
    images : ClassicImages
    start : [4, 4] float64
        The affine map to begin with; its scale is the fixed one.
    mode : AffineMode
    regularization : float
        σR, as of a mouse at its size: higher is less regularisation.
    """

    def __init__(self, images: ClassicImages, start: Tensor, mode: AffineMode, regularization: float) -> None:
        self._images, self._start, self._mode, self._scale = images, start, mode, scale_of(start)
        unit = images.unit
        self._sigma = regularization * unit / _MOUSE_UNIT
        self._step_v = _STEP_V * (unit / _MOUSE_UNIT) ** 2
        even = mode is AffineMode.AFFINE or bool(torch.allclose(self._scale, self._scale.mean(), rtol=1e-6))
        self._step_a = _STEP_A if even else _STEP_A_UNEVEN
        self._roughness = Regulariser(images.on_atlas, _LENGTH * unit, _POWER, 1.0).multiplier
        self._smoother = 1 / Regulariser(images.on_atlas, _SMOOTHER * unit, _POWER, 1.0).multiplier

    def start(self) -> ClassicState:
        """No velocity, the start's affine map, a contrast that matches two quantiles."""
        images = self._images
        velocity = torch.zeros((_PARTS, 3, *images.on_atlas.shape), device=images.atlas.device)
        dark, bright = images.quantiles(images.atlas)
        low, high = images.quantiles(images.sample, images.imaged)
        slope = (high - low) / max(bright - dark, 1e-12)
        contrast = ClassicContrast.linear(images.on_sample, images.unit, low - slope * dark, slope)
        return ClassicState(velocity, self._start, contrast)

    def iterated(self, state: ClassicState, began: float) -> ClassicState:
        """The state after one iteration; its line says what was found before the steps.

        Parameters
        ----------
        state : ClassicState
        began : float
            When the work began, on the clock `time.monotonic`.
        """
        images = self._images
        maps = inverses(state.velocity, images.on_atlas)  # one at a time: they are large
        moments = [carried(images.atlas, next(maps), images.on_atlas) for _ in range(_PARTS)]
        deformed = self._deformed(next(maps), state.affine)
        expected, slope = state.contrast.at(deformed)
        parts, unlikely = self._weights(state, expected)
        weight = parts[0] * images.imaged
        error = expected - images.sample
        velocity, moved = self._velocity(state, moments, weight * error * slope)
        affine = self._affine(state, expected, error, weight)
        steps = _CONTRAST_STEPS[1 if state.history else 0]
        contrast = state.contrast.descended(deformed, images.sample, weight / _SIGMAS[0] ** 2, steps)
        line = self._line(state, parts[0], unlikely, moved, time.monotonic() - began)
        return ClassicState(
            velocity,
            affine,
            contrast,
            _mean(images.sample, parts[1] * images.imaged),
            _mean(images.sample, parts[2] * images.imaged),
            (*state.history, line),
        )

    def _deformed(self, displacement: Tensor, affine: Tensor) -> Tensor:
        on = self._images.on_atlas
        rest = self._images.on_sample.mapped(torch.linalg.inv(affine))
        moved = rest + sample(displacement, on.normalised(rest)).permute(1, 2, 3, 0)
        return sample(self._images.atlas[None], on.normalised(moved))[0]

    def _weights(self, state: ClassicState, expected: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities [3, z, y, x] of tissue, artifact, background, and the negative log-likelihood."""
        means: tuple[Tensor | float, ...] = (expected, state.artifact, state.background)
        logs = torch.stack(
            [
                math.log(share / sigma) - 0.5 * ((self._images.sample - mean) / sigma) ** 2
                for share, sigma, mean in zip(_SHARES, _SIGMAS, means, strict=True)
            ]
        )
        total = torch.logsumexp(logs, dim=0)
        return torch.exp(logs - total), -total

    def _velocity(self, state: ClassicState, moments: list[Tensor], force: Tensor) -> tuple[Tensor, float]:
        """The velocity after its step, and the longest step in µm."""
        images = self._images
        bordered, on_error = _bordered(-force / _SIGMAS[0] ** 2, images.on_sample)
        velocity, longest = torch.empty_like(state.velocity), 0.0
        forces = velocity_gradient(state.velocity, moments, bordered, on_error, state.affine, images.on_atlas)
        for part, by in forces:
            gradient = preconditioned(by, state.velocity[part], 1 / self._roughness, self._smoother, self._sigma)
            step = clipped(self._step_v * gradient, images.on_sample.grid.spacing[0])
            longest = max(longest, float(step.norm(dim=0).max()))
            velocity[part] = state.velocity[part] - step
        return velocity, longest

    def _affine(self, state: ClassicState, expected: Tensor, error: Tensor, weight: Tensor) -> Tensor:
        step = inverse_step(expected, error, weight, state.affine, self._images.on_sample)
        inverse = torch.linalg.inv(state.affine)
        inverse[:3] -= self._step_a * step
        return projected(torch.linalg.inv(inverse), self._scale, self._mode)

    def _line(self, state: ClassicState, tissue: Tensor, unlikely: Tensor, moved: float, seconds: float) -> Step:
        images = self._images
        smooth = sum(float((v * filtered(v, self._roughness)).sum(dtype=torch.float64)) for v in state.velocity)
        regularisation = images.on_atlas.sample_volume * smooth / (2 * _PARTS * self._sigma**2)
        data = images.on_sample.sample_volume * float((images.imaged * unlikely).sum(dtype=torch.float64))
        volume = images.unit**3  # energies per cubic unit, as those of `objective`
        share = float((tissue * images.imaged).sum(dtype=torch.float64) / images.imaged.sum())
        return Step(
            level=0,
            voxel_size=images.on_sample.grid.spacing[0],
            iteration=len(state.history) + 1,
            energy=(data + regularisation) / volume,
            regularisation=regularisation / volume,
            moved=moved,
            tissue=share,
            seconds=seconds,
        )


def _mean(image: Tensor, weight: Tensor) -> float:
    return float((image * weight).sum(dtype=torch.float64) / weight.sum(dtype=torch.float64).clamp(min=1e-6))


def _bordered(field: Tensor, on: Coordinates) -> tuple[Tensor, Coordinates]:
    """A field with one sample of 0 all around: what lies outside says nothing."""
    grid = on.grid
    x, y, z = (n + 2 for n in grid.size)
    origin = [o - s for o, s in zip(grid.origin, grid.spacing, strict=True)]
    longer = Grid((x, y, z), grid.spacing, (origin[0], origin[1], origin[2]))
    return pad(field, (1,) * 6), Coordinates(longer, on.dtype, on.device)
