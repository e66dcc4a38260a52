"""Regulariser: what smoothness costs, and the smoothing that follows from it.

The norm of a velocity is ‖v‖² = ∫ v · L v with L = (id − a² Δ)^p, Δ the discrete Laplacian, diagonal in Fourier
space (Beg et al., IJCV 61:139, 2005; Tward et al., Front. Neurosci. 14:52, 2020, with power 2·2). Its inverse is
the smoothing kernel of width a. The grid is periodic, so it needs a margin of at least 2 a around the tissue.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cloudreg_register.lddmm.coordinates import Coordinates

_SPATIAL = (-3, -2, -1)


class Regulariser:
    """The quadratic form `weight / 2 · Σ v · L v` over the samples of a grid.

    Parameters
    ----------
    on : Coordinates
        Of the velocity.
    length : float
        a, in µm.
    power : float
        p.
    weight : float
        By which the form is multiplied.
    """

    def __init__(self, on: Coordinates, length: float, power: float, weight: float) -> None:
        laplacian = sum(_second_difference(on, axis) for axis in range(3))
        self.multiplier = (weight * (1 + length**2 * laplacian) ** power).to(on.device, on.dtype)

    def applied(self, field: Tensor) -> Tensor:
        """The gradient of the form at a velocity [3, z, y, x]: weight · L v."""
        return filtered(field, self.multiplier)

    def energy(self, field: Tensor) -> float:
        """The form at a velocity."""
        return 0.5 * float((field * self.applied(field)).sum(dtype=torch.float64))


def filtered(field: Tensor, multiplier: Tensor) -> Tensor:
    """A field [..., z, y, x] times a real multiplier of its half spectrum."""
    spectrum = torch.fft.rfftn(field, dim=_SPATIAL) * multiplier
    product: Tensor = torch.fft.irfftn(spectrum, s=field.shape[-3:], dim=_SPATIAL)
    return product


def _second_difference(on: Coordinates, axis: int) -> Tensor:
    """Eigenvalues of −∂² along one axis (0 is z), broadcastable over the half spectrum."""
    n, spacing = on.shape[axis], on.grid.spacing[2 - axis]
    waves = torch.fft.rfftfreq(n) if axis == 2 else torch.fft.fftfreq(n)
    values = 2 * (1 - torch.cos(2 * math.pi * waves.double())) / spacing**2
    return values.reshape([-1 if i == axis else 1 for i in range(3)])


def fft_size(least: int) -> int:
    """The smallest length of at least this with no prime factor above 5: others cost twice as much."""
    size = max(least, 1)
    while _without_small_primes(size) != 1:
        size += 1
    return size


def _without_small_primes(size: int) -> int:
    """What remains of a number without its factors 2, 3 and 5."""
    for prime in (2, 3, 5):
        while size % prime == 0:
            size //= prime
    return size
