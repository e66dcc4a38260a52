"""Contrast and focus: which values to show and where to look, from a coarse level of the data itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.space import Bounds
from cloudreg_io.volumes import Volume

# A level is useful when it still has this many voxels: fewer make a poor histogram. Never are more than
# `_MOST` read: they are read from the middle when no coarse level exists.
_USEFUL = 1 << 17
_MOST = 1 << 25
_LOW, _HIGH = 1.0, 99.7


@dataclass(frozen=True, slots=True)
class Look:
    """How to show an image.

    Parameters
    ----------
    contrast : tuple of float
        Values shown as black and as full colour, increasing.
    window : tuple of float
        Smallest and largest value seen.
    focus : tuple of float, optional
        Where the signal is, x y z in µm of the volume's frame, when its middle is empty.
    """

    contrast: tuple[float, float]
    window: tuple[float, float]
    focus: tuple[float, float, float] | None = None


def contrast_range(values: NDArray[np.generic]) -> tuple[float, float]:
    """The 1st and 99.7th percentile of the values that are finite and not 0 (0 is: no tile covers this).

    Sparse bright spots on an even background are shown from the background to the brightest; a constant image
    between 0 and its value, an empty one in (0, 1).
    """
    signal = values[np.isfinite(values) & (values != 0)]
    if signal.size == 0:
        return (0.0, 1.0)
    low, high = (float(value) for value in np.percentile(signal, [_LOW, _HIGH]))
    if low == high:
        low, high = float(signal.min()), float(signal.max())
    return (low, high) if low < high else (min(low, 0.0), max(low, 0.0))


def overview_mip(volume: Volume) -> int:
    """The coarsest level that is still useful for a histogram and a small picture; else mip 0."""
    useful = [mip for mip, scale in enumerate(volume.spec.scales) if scale.bounds.voxels >= _USEFUL]
    return max(useful, default=0)


def look(volume: Volume) -> Look:
    """Contrast and focus of an image volume."""
    mip = overview_mip(volume)
    box = _middle(volume.bounds(mip))
    values = volume.read(box, mip)
    finite = values[np.isfinite(values)]
    contrast = contrast_range(values)
    window = (float(finite.min()), float(finite.max())) if finite.size else contrast
    if not window[0] < window[1]:
        window = contrast
    centre = None if _shows_something(values, contrast[0]) else _signal_centre(values, contrast)
    if centre is None:
        return Look(contrast, window)
    return Look(contrast, window, volume.grid(mip, box).point_at(centre))


def _middle(box: Bounds) -> Bounds:
    """The box, or what of its middle may be read: thinner in z, then in y."""
    (x, y, z) = box.size
    depth = max(1, min(z, _MOST // (x * y)))
    height = max(1, min(y, _MOST // (x * depth)))
    return Bounds.of_size((x, height, depth), (0, (y - height) // 2, (z - depth) // 2)).translate(box.lower)


def _shows_something(values: NDArray[np.generic], low: float) -> bool:
    """Whether each of the three planes through the middle has signal."""
    middle = [n // 2 for n in values.shape]
    return all(bool((values.take(index, axis) > low).any()) for axis, index in enumerate(middle))


def _signal_centre(
    values: NDArray[np.generic], contrast: tuple[float, float]
) -> tuple[float, float, float] | None:
    """Centre of mass of the brightness above black, as indices x y z; None without any."""
    bright = np.clip(np.nan_to_num(values.astype(np.float32)) - contrast[0], 0, contrast[1] - contrast[0])
    total = float(bright.sum(dtype=np.float64))
    if total <= 0:
        return None
    centre = []
    for axis in (2, 1, 0):
        others = tuple(a for a in range(3) if a != axis)
        profile = bright.sum(axis=others, dtype=np.float64)
        centre.append(float(profile @ np.arange(profile.size)) / total)
    return (centre[0], centre[1], centre[2])
