"""Classic flow: the original's time steps and its gradient by the velocity, on the atlas's grid.

Maps are composed by single explicit steps (Euler), one for each of the parts of the velocity. The gradient at a
time t is λ_t ∇I_t, smoothed: λ_t is the error of the image carried back to that time, I_t the atlas carried
forward to it (Beg et al., IJCV 61:139, 2005; Tward et al., Front. Neurosci. 14:52, 2020).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from cloudreg_register.lddmm.coordinates import Coordinates
from cloudreg_register.lddmm.regulariser import filtered
from cloudreg_register.lddmm.sampling import identity, sample, to_normalised


def composed(displacement: Tensor, step: Tensor, on: Coordinates) -> Tensor:
    """The displacement [3, z, y, x] of a map after a step that comes before it: u(X + step) + step."""
    positions = identity(on.shape, step) + to_normalised(step, on.grid.spacing)
    return sample(displacement, positions) + step


def inverses(velocity: Tensor, on: Coordinates) -> Iterator[Tensor]:
    """Displacements [3, z, y, x] of φ_t⁻¹ at the beginning of each part t, then at the end."""
    displacement = torch.zeros_like(velocity[0])
    yield displacement
    for part in velocity:
        displacement = composed(displacement, -part / len(velocity), on)
        yield displacement


def carried(image: Tensor, displacement: Tensor, on: Coordinates) -> Tensor:
    """An image [z, y, x] at where the samples come from."""
    positions = identity(on.shape, displacement) + to_normalised(displacement, on.grid.spacing)
    return sample(image[None], positions)[0]


def image_gradient(image: Tensor, on: Coordinates) -> Tensor:
    """∇ of an image [..., z, y, x] by central differences: [3, ..., z, y, x], along x, y, z, per µm."""
    x, y, z = on.grid.spacing
    along = torch.gradient(image, spacing=(z, y, x), dim=(-3, -2, -1))
    return torch.stack(along[::-1])


def jacobian(displacement: Tensor, on: Coordinates) -> Tensor:
    """Determinant [z, y, x] of the derivative of a map."""
    d = image_gradient(displacement, on) + torch.eye(3, dtype=on.dtype, device=on.device)[:, :, None, None, None]
    a, b, c = d
    determinant: Tensor = (torch.linalg.cross(a, b, dim=0) * c).sum(dim=0)
    return determinant


def velocity_gradient(
    velocity: Tensor, moments: list[Tensor], error: Tensor, on_error: Coordinates, affine: Tensor, on: Coordinates
) -> Iterator[tuple[int, Tensor]]:
    """λ_t ∇I_t for each part of the velocity, the last first.

    Parameters
    ----------
    velocity : [t, 3, z, y, x]
    moments : list of [z, y, x]
        The atlas carried to the beginning of each part.
    error : [z, y, x]
        Derivative of the data term by the deformed atlas, per volume, on the sample's grid with a border of 0.
    on_error, on : Coordinates
    affine : [4, 4]
    """
    displacement = torch.zeros_like(velocity[0])
    stretch = abs(float(torch.linalg.det(affine[:3, :3])))
    here = on.mapped(torch.eye(4, dtype=torch.float64))
    linear, shift = (part.to(here) for part in (affine[:3, :3], affine[:3, 3]))
    for part in reversed(range(len(velocity))):
        displacement = composed(displacement, velocity[part] / len(velocity), on)
        positions = (here + displacement.permute(1, 2, 3, 0)) @ linear.T + shift
        weight = sample(error[None], on_error.normalised(positions))[0]
        yield part, stretch * weight * jacobian(displacement, on) * image_gradient(moments[part], on)


def clipped(step: Tensor, longest: float) -> Tensor:
    """A step [3, z, y, x] shortened voxel by voxel to less than a length: 2 L / π · atan(π / 2 · m / L)."""
    ratio = (math.pi / 2) * step.norm(dim=0) / longest
    return step * torch.where(ratio > 1e-6, torch.atan(ratio) / ratio.clamp(min=1e-6), 1.0)


def preconditioned(force: Tensor, velocity: Tensor, kernel: Tensor, smoother: Tensor, sigma: float) -> Tensor:
    """The direction of descent's opposite: (K force + v / σ²), smoothed once more."""
    return filtered(filtered(force, kernel) + velocity / sigma**2, smoother)
