"""Classic: the original's registration, for comparison. One scale, small steps, thousands of them.

EM-LDDMM with the cost, the parameters and the order of steps of CloudReg's MATLAB program (Tward et al., Front.
Neurosci. 14:52, 2020): ten parts of velocity on the atlas's grid, gradient steps of fixed size clipped at a
voxel, rotation by damped Gauss-Newton steps with the scale of the start, coefficient fields of a cubic
contrast. Mended: weights of missing data count everywhere, responsibilities in logarithms, the printed energy
is the negative log-likelihood, no step is 0 / 0, the ends of the sample are not tied together, and lengths are
relative to the atlas (the figures are those of a mouse brain at its size).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from cloudreg_io.run import NO_PROGRESS, Progress
from cloudreg_io.space import Affine, Grid
from cloudreg_register.classic.affine import given_scale, inverse_step, projected
from cloudreg_register.classic.contrast import ClassicContrast
from cloudreg_register.classic.flow import carried, clipped, inverses, preconditioned, velocity_gradient
from cloudreg_register.classic.images import ClassicImages
from cloudreg_register.images.image import Image
from cloudreg_register.lddmm.coordinates import Coordinates
from cloudreg_register.lddmm.descent import Step
from cloudreg_register.lddmm.device import chosen_device
from cloudreg_register.lddmm.options import RegisterOptions
from cloudreg_register.lddmm.registration import Registration
from cloudreg_register.lddmm.regulariser import Regulariser, filtered
from cloudreg_register.lddmm.sampling import sample
from cloudreg_register.start.initial import initial_affine
from cloudreg_register.transforms.transform import Transform

__all__ = ["ITERATIONS", "register_classic"]

ITERATIONS = 3000
_PARTS = 10
_MOUSE_UNIT = 500.0  # µm: the unit of length for which σR and eV are given
_SIGMA_R, _STEP_V, _STEP_A = 5e3, 1e6, 0.2
_LENGTH, _SMOOTHER, _POWER = 1.0, 2.0, 4.0  # units; power: of (id − a² Δ)
_SHARES = (0.79, 0.2, 0.01)  # tissue, artifact, background
_SIGMAS = (1.0, 5.0, 2.0)  # standard deviations of the sample
_CONTRAST_STEPS = (20, 5)  # first iteration, later


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """What an iteration changes."""

    velocity: Tensor
    affine: Tensor
    contrast: ClassicContrast
    artifact: float = 1.0
    background: float = -1.0


def register_classic(
    target: Image,
    atlas: Image,
    options: RegisterOptions | None = None,
    *,
    start: Affine | None = None,
    iterations: int = ITERATIONS,
    progress: Progress = NO_PROGRESS,
) -> Registration:
    """Find the map from an atlas to a target as the original does.

    Parameters
    ----------
    target, atlas : Image
    options : RegisterOptions, optional
        Of them `resolution`, `missing_data`, `grid_correction`, `bias_correction`, `threads` and `device` count.
    start : Affine, optional
        As of `register`; its scale stays.
    iterations : int
        All of them are done.
    progress : Progress

    Raises
    ------
    ToolError
        There is no such device.
    """
    options = options or RegisterOptions()
    torch.set_num_threads(options.threads)
    images = ClassicImages.of(target, atlas, options, chosen_device(options.device))
    start = start or initial_affine(atlas.orientation, target.orientation)
    schedule = _Schedule(images, torch.from_numpy(start.matrix.copy()))
    state, history, began = schedule.start(), [], time.monotonic()
    progress.start("register", iterations, 0)
    for number in range(1, iterations + 1):
        state, line = schedule.iterated(state, number)
        history.append(replace(line, seconds=time.monotonic() - began))
        progress.advance()
    progress.finish()
    velocity = state.velocity.float().cpu().numpy()
    grid = images.on_atlas.grid
    return Registration(
        Transform(Affine(state.affine.numpy()), velocity, grid, atlas.frame, target.frame), tuple(history)
    )


class _Schedule:
    """The iteration: everything that stays the same while it is repeated."""

    def __init__(self, images: ClassicImages, start: Tensor) -> None:
        self._images, self._start, self._scale = images, start, given_scale(start)
        unit = images.unit
        self._sigma = _SIGMA_R * unit / _MOUSE_UNIT
        self._step = _STEP_V * (unit / _MOUSE_UNIT) ** 2
        self._roughness = Regulariser(images.on_atlas, _LENGTH * unit, _POWER, 1.0).multiplier
        self._smoother = 1 / Regulariser(images.on_atlas, _SMOOTHER * unit, _POWER, 1.0).multiplier
        self._even = bool(torch.allclose(self._scale, self._scale.mean(), rtol=1e-6))

    def start(self) -> _State:
        """No velocity, the start's rotation, a contrast that matches two quantiles."""
        images = self._images
        velocity = torch.zeros((_PARTS, 3, *images.on_atlas.shape), device=images.atlas.device)
        dark, bright = images.quantiles(images.atlas)
        low, high = images.quantiles(images.sample, images.imaged)
        slope = (high - low) / max(bright - dark, 1e-12)
        contrast = ClassicContrast.linear(images.on_sample, images.unit, low - slope * dark, slope)
        return _State(velocity, self._start, contrast)

    def iterated(self, state: _State, number: int) -> tuple[_State, Step]:
        """One iteration; the line says what was found before its steps."""
        images = self._images
        maps = list(inverses(state.velocity, images.on_atlas))
        moments = [carried(images.atlas, each, images.on_atlas) for each in maps[:-1]]
        deformed = self._deformed(maps[-1], state.affine)
        expected, slope = state.contrast.at(deformed)
        parts, unlikely = self._weights(state, expected)
        weight = parts[0] * images.imaged
        error = expected - images.sample
        velocity, moved = self._velocity(state, moments, weight * error * slope)
        line = self._line(state, number, parts[0], unlikely, moved)
        steps = _CONTRAST_STEPS[0 if number == 1 else 1]
        after = _State(
            velocity,
            self._affine(state, expected, error, weight),
            state.contrast.descended(deformed, images.sample, weight / _SIGMAS[0] ** 2, steps),
            _mean(images.sample, parts[1] * images.imaged),
            _mean(images.sample, parts[2] * images.imaged),
        )
        return after, line

    def _deformed(self, displacement: Tensor, affine: Tensor) -> Tensor:
        on = self._images.on_atlas
        rest = self._images.on_sample.mapped(torch.linalg.inv(affine))
        moved = rest + sample(displacement, on.normalised(rest)).permute(1, 2, 3, 0)
        return sample(self._images.atlas[None], on.normalised(moved))[0]

    def _weights(self, state: _State, expected: Tensor) -> tuple[Tensor, Tensor]:
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

    def _velocity(self, state: _State, moments: list[Tensor], force: Tensor) -> tuple[Tensor, float]:
        """The velocity after its step, and the longest step in µm."""
        images = self._images
        bordered, on_error = _bordered(-force / _SIGMAS[0] ** 2, images.on_sample)
        velocity, longest = torch.empty_like(state.velocity), 0.0
        forces = velocity_gradient(state.velocity, moments, bordered, on_error, state.affine, images.on_atlas)
        for part, by in forces:
            gradient = preconditioned(by, state.velocity[part], 1 / self._roughness, self._smoother, self._sigma)
            step = clipped(self._step * gradient, images.on_sample.grid.spacing[0])
            longest = max(longest, float(step.norm(dim=0).max()))
            velocity[part] = state.velocity[part] - step
        return velocity, longest

    def _affine(self, state: _State, expected: Tensor, error: Tensor, weight: Tensor) -> Tensor:
        step = inverse_step(expected, error, weight, state.affine, self._images.on_sample)
        inverse = torch.linalg.inv(state.affine)
        inverse[:3] -= (_STEP_A if self._even else _STEP_A / 100) * step
        return projected(torch.linalg.inv(inverse), self._scale)

    def _line(self, state: _State, number: int, tissue: Tensor, unlikely: Tensor, moved: float) -> Step:
        images = self._images
        smooth = sum(float((v * filtered(v, self._roughness)).sum(dtype=torch.float64)) for v in state.velocity)
        regularisation = images.on_atlas.sample_volume * smooth / (2 * _PARTS * self._sigma**2)
        data = images.on_sample.sample_volume * float((images.imaged * unlikely).sum(dtype=torch.float64))
        volume = images.unit**3  # energies per cubic unit, as those of `objective`
        share = float((tissue * images.imaged).sum(dtype=torch.float64) / images.imaged.sum())
        return Step(
            level=0,
            voxel_size=images.on_sample.grid.spacing[0],
            iteration=number,
            energy=(data + regularisation) / volume,
            regularisation=regularisation / volume,
            moved=moved,
            tissue=share,
            seconds=0.0,
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
