"""Texture down to the voxel that can be evaluated anywhere: sums of random plane waves.

A plane wave cos(kx·x + ky·y + kz·z + φ) is separable, so a whole plane [y, x] of a sum of K waves is one
matrix product [ny, 2K]·[2K, nx]. Nothing is interpolated: two tiles that overlap by a fraction of a voxel
sample the same function. Phases are computed in float64, sums in float32.

A product of two sums of K and L waves is a sum of 2·K·L waves, at the price of K + L. `Texture` multiplies a
sum of all wavelengths by a broad one: the contrast varies from place to place as that of tissue does, and
the texture does not resemble itself elsewhere. (Its correlation with itself, shifted by 10 voxels or more, or
with any other place stays below 0.2; that of a plain sum of as many waves reaches 0.4, which real tissue's
does not.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# Wavelengths in voxels. 1/2.8 + 1/8 < 1/2: the product of both sums stays below the sampling limit.
_ALL = (2.8, 40.0)
_BROAD = (8.0, 40.0)
# What the contrast is where the broad sum is 0, relative to its standard deviation.
_PEDESTAL = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Waves:
    """A sum of K plane waves of mean 0 and variance 1.

    Attributes
    ----------
    vectors : [K, 3] float64
        Wave vectors x, y, z in radians per voxel.
    phases : [K] float64
    """

    vectors: Float64
    phases: Float64

    @classmethod
    def random(cls, count: int, wavelengths: tuple[float, float], rng: np.random.Generator) -> Waves:
        """`count` waves of random direction, their wavelengths log-uniform between the two (voxels)."""
        directions = rng.normal(size=(count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = np.exp(rng.uniform(np.log(wavelengths[0]), np.log(wavelengths[1]), size=count))
        return cls(2 * np.pi * directions / lengths[:, None], rng.uniform(0, 2 * np.pi, count))

    def on(self, x: Float64, y: Float64) -> WavePlanes:
        """The waves prepared for planes at the columns x and rows y."""
        along_x = np.exp(1j * np.outer(self.vectors[:, 0], x))
        along_y = np.exp(1j * np.outer(y, self.vectors[:, 1]))
        right = np.concatenate([along_x.real, along_x.imag]).astype(np.float32)
        return WavePlanes(self, along_y, right)


@dataclass(frozen=True, slots=True, eq=False)
class WavePlanes:
    """Waves on fixed columns and rows; `at(z)` gives a plane."""

    waves: Waves
    along_y: NDArray[np.complex128]
    right: Float32

    def at(self, z: float, rows: slice, columns: slice) -> Float32:
        """The plane at z as [y, x] float32, in the given rows and columns."""
        amplitude = np.sqrt(2 / len(self.waves.phases))
        turn = amplitude * np.exp(1j * (self.waves.vectors[:, 2] * z + self.waves.phases))
        left = self.along_y[rows] * turn
        factors = np.concatenate([left.real, -left.imag], axis=1).astype(np.float32)
        return factors @ self.right[:, columns]


@dataclass(frozen=True, slots=True, eq=False)
class Texture:
    """waves · (pedestal + envelope), scaled to variance 1: the relative texture of tissue."""

    waves: Waves
    envelope: Waves

    @classmethod
    def random(cls, seed: Sequence[int], waves: int = 40, envelope: int = 32) -> Texture:
        """A texture of so many waves."""
        rng = np.random.default_rng(seed)
        return cls(Waves.random(waves, _ALL, rng), Waves.random(envelope, _BROAD, rng))

    def on(self, x: Float64, y: Float64) -> TexturePlanes:
        """The texture prepared for planes at the columns x and rows y (voxels)."""
        return TexturePlanes(self.waves.on(x, y), self.envelope.on(x, y))


@dataclass(frozen=True, slots=True, eq=False)
class TexturePlanes:
    """A texture on fixed columns and rows."""

    waves: WavePlanes
    envelope: WavePlanes

    def at(self, z: float, rows: slice, columns: slice) -> Float32:
        """The texture at z as [y, x] float32: mean 0, variance 1."""
        envelope = self.envelope.at(z, rows, columns)
        envelope += np.float32(_PEDESTAL)
        envelope *= np.float32(1 / np.sqrt(1 + _PEDESTAL**2))
        texture = self.waves.at(z, rows, columns)
        texture *= envelope
        return texture
