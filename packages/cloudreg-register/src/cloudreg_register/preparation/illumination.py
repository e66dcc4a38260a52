"""Illumination: slow changes of brightness over the sample, flattened before registration.

Histogram flow: in a brain seen under even light few brightnesses are common, one for each kind of tissue. Every
voxel votes for the direction in which the histogram of the logarithm rises from where it is; the votes,
smoothed over a long distance, are a step of the logarithm of the gain. After some steps the histogram's peaks
are sharp, by a gain that is smooth (CloudReg's bias correction; the histogram is a fine one, smoothed, in place
of a kernel density at every voxel: the same curve in a hundredth of the time).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv1d

from cloudreg_register.preparation.smoothing import smoothed

_ITERATIONS = 20
_STEP = 0.1  # standard deviations of the logarithm
_SIGMA = 2.0  # units: over which illumination changes
_BINS = 300
_FINE = 10  # bins of the fine histogram in each
_WIDER = 1.25  # than the range of the values
_BRIGHTEST = 0.999  # quantile that ends the range in which the background's mode is sought
_FAINTEST = 0.02  # of the tissue's brightness: darker voxels are background even where that is exactly 0

Float32 = NDArray[np.float32]


def logarithm(array: Float32, imaged: Float32) -> tuple[Tensor, Tensor]:
    """The logarithm of a sample's brightness, and which voxels are brighter than half the background.

    Parameters
    ----------
    array, imaged : [z, y, x]
        Brightness, and how far each voxel was imaged (0 to 1).

    Returns
    -------
    [z, y, x] and [z, y, x]
        The logarithm, of half the background's brightness at least; 1 where it is above that and was imaged.
    """
    bright = torch.from_numpy(array - min(0.0, float(array.min())))
    seen = bright[torch.from_numpy(imaged) > 0]
    top = float(np.quantile(seen.numpy()[::7], _BRIGHTEST))
    histogram = _Histogram.of(seen.clamp(max=top), sigma=2.0)
    tissue = float(seen[seen > seen.mean()].median())
    floor = max(0.5 * histogram.mode, _FAINTEST * tissue)
    shown = (bright > floor) & (torch.from_numpy(imaged) > 0)
    # relative to the tissue: rounding, and so every vote, is the same whatever the unit of brightness
    return (bright.clamp(min=floor) / tissue).log(), shown.float()


def evenly_lit(array: Float32, imaged: Float32, spacing: Sequence[float], unit: float) -> Float32:
    """A sample [z, y, x] times a smooth gain that sharpens its histogram.

    Parameters
    ----------
    array, imaged : [z, y, x]
        Brightness, and how far each voxel was imaged (0 to 1).
    spacing : (x, y, z) float
        µm.
    unit : float
        Of length, in µm.
    """
    values, shown = logarithm(array, imaged)
    sigma = [_SIGMA * unit / step for step in reversed(spacing)]
    gain = torch.zeros_like(values)
    for _ in range(_ITERATIONS):
        seen = (values + gain)[shown > 0]
        histogram = _Histogram.of(seen, sigma=1.0)
        votes = histogram.rising(values + gain)
        gain += _STEP * float(seen.std()) * smoothed(votes, shown, sigma)
    gain -= float((gain * shown).sum() / shown.sum())
    dark = min(0.0, float(array.min()))
    return np.asarray((array - dark) * gain.exp().numpy() + dark, np.float32)


class _Histogram:
    """A smooth density of values: `density` at bins of width `width`, the first around `low`."""

    def __init__(self, density: Tensor, low: float, width: float) -> None:
        self.density, self.low, self.width = density, low, width

    @classmethod
    def of(cls, values: Tensor, sigma: float) -> _Histogram:
        """Of values [n], smoothed by a Gaussian of `sigma` of the 300 bins."""
        low, high = float(values.min()), float(values.max())
        middle, half = (low + high) / 2, max((high - low) / 2, 1e-12) * _WIDER
        count = _BINS * _FINE
        counts = torch.histc(values, count, middle - half, middle + half)
        width = 2 * half / count
        at = torch.arange(-4 * _FINE * sigma, 4 * _FINE * sigma + 1)
        kernel = torch.exp(-0.5 * (at / (_FINE * sigma)) ** 2)
        density = conv1d(counts[None, None], kernel[None, None], padding=len(at) // 2)[0, 0]
        return cls(density, middle - half + width / 2, width)

    @property
    def mode(self) -> float:
        """The most common value."""
        return self.low + self.width * int(self.density.argmax())

    def rising(self, values: Tensor) -> Tensor:
        """At each value: 1 where the density rises there, −1 where it falls."""
        slope = torch.gradient(self.density)[0]
        index = ((values - self.low) / self.width).round().clamp(0, len(slope) - 1).long()
        return slope.sign()[index]
