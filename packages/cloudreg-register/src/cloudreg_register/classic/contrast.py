"""Classic contrast: the original's coefficient fields, by damped steepest descent in Fourier space.

The expected image is f = Σ C_k Z^k with fields C_k on the sample's grid. They minimise Σ W² (J − f)² + Σ |L
C_k|², L = (id − a² Δ)² / σ; with D = L C the normal equations are well conditioned, and a few steps of steepest
descent from the last coefficients follow the map as it changes (Tward et al., Front. Neurosci. 14:52, 2020).
The domain is longer than the sample, with no weight there: L is periodic, and would tie its ends together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from cloudreg_io.space import Grid
from cloudreg_register.lddmm.coordinates import Coordinates
from cloudreg_register.lddmm.regulariser import Regulariser, fft_size, filtered

ORDER = 4  # coefficients: a cubic
_LENGTH, _MARGIN = 1.5, 3.0  # units
_POWER, _SIGMA = 2.0, 5.0
_DAMPING = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class ClassicContrast:
    """Coefficient fields.

    Attributes
    ----------
    scaled : [4, z, y, x]
        D, on the longer domain.
    inverse : [z, y, x // 2 + 1]
        1 / L in Fourier space.
    shape : (z, y, x) int
        Of the sample.
    """

    scaled: Tensor
    inverse: Tensor
    shape: tuple[int, int, int]

    @classmethod
    def linear(cls, on: Coordinates, unit: float, offset: float, slope: float) -> ClassicContrast:
        """The same linear contrast everywhere: offset + slope · Z."""
        margin = [math.ceil(_MARGIN * unit / step) for step in on.grid.spacing]
        x, y, z = (fft_size(n + m) for n, m in zip(on.grid.size, margin, strict=True))
        longer = Coordinates(Grid((x, y, z), on.grid.spacing), on.dtype, on.device)
        roughness = Regulariser(longer, _LENGTH * unit, _POWER, 1 / _SIGMA).multiplier
        fields = torch.zeros((ORDER, z, y, x), dtype=on.dtype, device=on.device)
        fields[0], fields[1] = offset, slope
        return cls(filtered(fields, roughness), 1 / roughness, on.shape)

    def coefficients(self) -> Tensor:
        """C [4, z, y, x] on the sample's grid."""
        return self._cropped(filtered(self.scaled, self.inverse))

    def at(self, atlas: Tensor) -> tuple[Tensor, Tensor]:
        """The expected image and its derivative by the atlas."""
        c = self.coefficients()
        value, slope = c[-1], torch.zeros_like(atlas)
        for k in range(ORDER - 2, -1, -1):
            slope = slope * atlas + value
            value = value * atlas + c[k]
        return value, slope

    def descended(self, atlas: Tensor, image: Tensor, weight: Tensor, steps: int) -> ClassicContrast:
        """The contrast after steps towards the fit; `weight` [z, y, x] is W²."""
        powers = torch.stack([atlas**k for k in range(ORDER)])
        scaled = self.scaled
        wanted = self._restricted(powers * (weight * image))
        for _ in range(steps):
            residual = wanted - self._applied(scaled, powers, weight)
            along = self._applied(residual, powers, weight)
            length = _dot(residual, residual) / max(_dot(residual, along), 1e-30)
            scaled = scaled + _DAMPING * length * residual
        return ClassicContrast(scaled, self.inverse, self.shape)

    def _applied(self, scaled: Tensor, powers: Tensor, weight: Tensor) -> Tensor:
        image = (powers * self._cropped(filtered(scaled, self.inverse))).sum(dim=0)
        return self._restricted(powers * (weight * image)) + scaled

    def _restricted(self, fields: Tensor) -> Tensor:
        rest = [m - n for m, n in zip(self.scaled.shape[1:], self.shape, strict=True)]
        return filtered(pad(fields, (0, rest[2], 0, rest[1], 0, rest[0])), self.inverse)

    def _cropped(self, fields: Tensor) -> Tensor:
        z, y, x = self.shape
        return fields[:, :z, :y, :x]


def _dot(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum(dtype=torch.float64))
