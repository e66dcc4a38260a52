"""Brightness: what of it is registered.

A sample's brightness is compressed (asinh, linear for dark tissue, logarithmic for what outshines it) and
standardised over the imaged voxels: brightness in light-sheet images spans orders of magnitude, and a few bright
voxels must not set the scale. The atlas is stretched to −1 to 1 between its darkest value and its 99.9 % quantile
and clipped there, so that no polynomial is asked for values beyond.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_WHITE = 0.999
_COMPRESSION = 0.5  # brightness of tissue, in units of where the logarithm takes over

Float32 = NDArray[np.float32]


def compressed(array: NDArray[np.floating], imaged: Float32) -> Float32:
    """A sample [z, y, x] with its brightness compressed and standardised; 0 where nothing was imaged."""
    seen = array[imaged > 0]
    dark = float(np.quantile(seen, 0.01))
    bright = seen[seen > seen.mean()]
    tissue = float(np.median(bright)) - dark if bright.size else 1.0
    values = np.arcsinh((array - dark) * (_COMPRESSION / max(tissue, float(np.finfo(np.float32).tiny))))
    return standardised(values.astype(np.float32), imaged)


def standardised(values: Float32, imaged: Float32) -> Float32:
    """Values with mean 0 and standard deviation 1 over the imaged voxels, and 0 elsewhere."""
    seen = values[imaged > 0].astype(np.float64)
    scaled = (values - seen.mean()) / max(float(seen.std()), 1e-12)
    return np.where(imaged > 0, scaled, 0).astype(np.float32)


def stretched(array: NDArray[np.floating]) -> Float32:
    """An atlas [z, y, x] from −1 (darkest) to 1 (99.9 % quantile), clipped."""
    low, high = float(array.min()), float(np.quantile(array[::2, ::2, ::2], _WHITE))
    scaled: Float32 = np.clip(2 * (array - low) / max(high - low, 1e-12) - 1, -1, 1).astype(np.float32)
    return scaled
