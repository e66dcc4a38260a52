"""Coordinates: the samples of a grid as tensors, for torch's normalised positions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cloudreg_io.space import Grid
from cloudreg_register.lddmm.sampling import sample

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, eq=False)
class Coordinates:
    """A grid in a centred frame, in µm.

    Attributes
    ----------
    grid : Grid
    dtype, device : torch.dtype, torch.device
        Of the tensors that are made.
    """

    grid: Grid
    dtype: torch.dtype = torch.float32
    device: torch.device = CPU

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape [z, y, x] of a field on the grid."""
        return self.grid.shape

    @property
    def sample_volume(self) -> float:
        """Volume that a sample stands for, in µm³."""
        x, y, z = self.grid.spacing
        return x * y * z

    @property
    def scale(self) -> Tensor:
        """Normalised units per µm, along x, y, z."""
        return self._tensor(
            [2 / (max(n - 1, 1) * s) for n, s in zip(self.grid.size, self.grid.spacing, strict=True)]
        )

    def normalised(self, points: Tensor) -> Tensor:
        """Normalised positions of points [..., 3] in µm: −1 at the first sample of an axis, 1 at the last."""
        return (points - self._tensor(self.grid.origin)) * self.scale - 1

    def axes(self) -> list[Tensor]:
        """Positions of the samples along x, along y, along z, in µm."""
        return [torch.from_numpy(axis).to(self.device, self.dtype) for axis in self.grid.axes()]

    def mapped(self, matrix: Tensor) -> Tensor:
        """Where an affine map [4, 4] takes the samples: [z, y, x, 3] in µm."""
        x, y, z = self.axes()
        m = matrix.to(self.device, self.dtype)
        plane = x[None, None, :, None] * m[:3, 0] + y[None, :, None, None] * m[:3, 1]
        return plane + (z[:, None, None, None] * m[:3, 2] + m[:3, 3])

    def resampled(self, field: Tensor, onto: Coordinates) -> Tensor:
        """A field [c, z, y, x] on this grid, at the samples of another grid in the same frame."""
        positions = onto.mapped(torch.eye(4, dtype=torch.float64))
        return sample(field, self.normalised(positions))

    def _tensor(self, values: object) -> Tensor:
        return torch.as_tensor(values, dtype=self.dtype, device=self.device)
