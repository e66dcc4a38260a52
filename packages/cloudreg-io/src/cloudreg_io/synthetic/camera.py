"""A camera: from intensities to counts, with shading, photon noise, read noise and saturation.

expected = background + flat · signal · intensity; the variance of a count is gain · (expected - background)
for the photons plus read_noise². Photon noise is drawn as a Gaussian of that variance (a Poisson
distribution of more than some 20 photons is one to within a percent of its width).

Noise is drawn per plane from a seed that names the plane, so that it does not depend on which process draws
it or in which order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """What turns the intensities of one channel into its planes.

    Attributes
    ----------
    flat : [y, x] float32
        Flat-field, dust included, mean 1.
    background : [y, x] float32
        Counts without light from the sample.
    signal : float
        Counts of an intensity of 1.
    gain : float
        Counts per photon; 0 for no photon noise.
    read_noise : float
        Standard deviation in counts.
    saturation : int
        Largest count.
    """

    flat: Float32
    background: Float32
    signal: float
    gain: float
    read_noise: float
    saturation: int

    def expose(self, intensity: Float32, seed: tuple[int, ...]) -> NDArray[np.uint16]:
        """The plane [y, x] that the camera records of an intensity [y, x], with the noise of `seed`."""
        counts = intensity * self.flat
        counts *= np.float32(self.signal)
        if self.gain or self.read_noise:
            deviation = counts * np.float32(self.gain)
            deviation += np.float32(self.read_noise**2)
            np.sqrt(deviation, out=deviation)
            deviation *= normal(counts.shape, seed)
            counts += deviation
        counts += self.background
        np.rint(counts, out=counts)
        np.clip(counts, 0, self.saturation, out=counts)
        return counts.astype(np.uint16)


def normal(shape: tuple[int, ...], seed: tuple[int, ...]) -> Float32:
    """Standard normal numbers from 2¹⁶ equally likely quantiles: four times faster than drawing them.

    They reach ±4.2 and have mean 0 and variance 1 exactly over all quantiles.
    """
    count = int(np.prod(shape))
    generator = np.random.Generator(np.random.SFC64(seed))
    words = np.frombuffer(generator.bytes(2 * count), "<u2")
    numbers: Float32 = np.empty(shape, np.float32)
    np.take(_quantiles(), words, out=numbers.reshape(-1), mode="clip")  # in range anyway: unchecked is faster
    return numbers


@lru_cache(maxsize=1)
def _quantiles() -> Float32:
    half = 1 << 15
    inverse = NormalDist().inv_cdf
    upper = np.array([inverse(0.5 + (i + 0.5) / (2 * half)) for i in range(half)])
    table = np.concatenate([-upper, upper])
    return np.asarray(table / table.std(), np.float32)
