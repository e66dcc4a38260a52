"""Cells and beacons: Gaussian blobs at known fractional positions, evaluated where they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# In standard deviations: exp(-5²/2) is 4e-6, below what float32 adds to a cell's peak.
_REACH = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Blobs:
    """Gaussian blobs, sorted by z.

    Attributes
    ----------
    centres : [n, 3] float64
        x, y, z in voxels of the scene.
    sigmas : [n, 3] float64
        Standard deviations along x, y, z in voxels.
    amplitudes : [n] float64
        Peak values.
    """

    centres: Float64
    sigmas: Float64
    amplitudes: Float64

    @classmethod
    def of(cls, centres: Float64, sigmas: Float64, amplitudes: Float64) -> Blobs:
        """Blobs in any order."""
        order = np.argsort(centres[:, 2], kind="stable")
        return cls(centres[order], sigmas[order], amplitudes[order])

    def __len__(self) -> int:
        return len(self.amplitudes)

    def __add__(self, other: Blobs) -> Blobs:
        return Blobs.of(
            np.concatenate([self.centres, other.centres]),
            np.concatenate([self.sigmas, other.sigmas]),
            np.concatenate([self.amplitudes, other.amplitudes]),
        )

    def add_to(self, image: Float32, x: Float64, y: Float64, z: Float64) -> None:
        """Add the blobs to image [z, y, x], whose samples lie at the (regular, growing) x, y, z."""
        reach = _REACH * self.sigmas
        first = np.array([x[0], y[0], z[0]])
        last = np.array([x[-1], y[-1], z[-1]])
        near = np.all((self.centres + reach >= first) & (self.centres - reach <= last), axis=1)
        for index in np.flatnonzero(near):
            self._add_one(int(index), image, (x, y, z))

    def _add_one(self, index: int, image: Float32, axes: tuple[Float64, Float64, Float64]) -> None:
        profiles, slices = [], []
        for axis, centre, sigma in zip(axes, self.centres[index], self.sigmas[index], strict=True):
            start = int(np.searchsorted(axis, centre - _REACH * sigma))
            stop = int(np.searchsorted(axis, centre + _REACH * sigma, side="right"))
            if stop <= start:
                return
            slices.append(slice(start, stop))
            profiles.append(np.exp(-0.5 * ((axis[start:stop] - centre) / sigma) ** 2))
        along_x, along_y, along_z = profiles
        plane = self.amplitudes[index] * np.outer(along_y, along_x)
        image[slices[2], slices[1], slices[0]] += along_z[:, None, None] * plane
