"""Levels: coarse to fine, with every length relative to the atlas.

Voxel sizes double from the wanted resolution up to the coarsest; each level starts from the map of the one before.
The unit of length is the atlas's longest extent over 26.4: 500 µm for the Allen mouse brain, on which the figures
below were found. So another species, or a voxel size given in another unit, registers alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cloudreg_io.space import Grid
from cloudreg_register.lddmm.regulariser import fft_size

_UNITS_PER_EXTENT = 26.4
_FINEST = 0.2  # units
_COARSEST = 0.8  # units: voxels about as large as the detail that the smoothness lets through
_MARGIN = 2.0  # units around the atlas, for the flow and the periodic kernel
_VELOCITY_SPACING = (0.4, 0.8)  # units: at finer levels, at the coarsest
_VOXELS_PER_VELOCITY = 1.3  # at least: a velocity finer than the image has nothing to follow
_WHOLE = 1e-6  # samples: rounding must not give another grid at another scale


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the registration.

    Attributes
    ----------
    factor : int
        Voxels of the finest level per voxel of this one, along each axis.
    velocity_spacing : float
        µm.
    window : int
        Of the contrast, in voxels of this level.
    scatter : float
        Smallest expected error of a voxel, in standard deviations of the image: large at coarse levels, where
        the images cannot agree yet.
    affine_only : int
        Iterations before the velocity joins the affine map.
    iterations : int
        At most.
    """

    factor: int
    velocity_spacing: float
    window: int
    scatter: float
    affine_only: int
    iterations: int


def unit_length(atlas: Grid) -> float:
    """The unit of length of an atlas, in µm."""
    return max(atlas.extent) / _UNITS_PER_EXTENT


def default_resolution(atlas: Grid) -> float:
    """The voxel size of the finest level where none is given, in µm."""
    return _FINEST * unit_length(atlas)


def default_levels(atlas: Grid, resolution: float, iterations: tuple[int, int, int]) -> list[Level]:
    """The levels for voxels of `resolution` µm, coarsest first.

    Parameters
    ----------
    atlas : Grid
    resolution : float
        Of the finest level.
    iterations : (int, int, int)
        Most iterations at the coarsest level, between, and at the finest.
    """
    unit = unit_length(atlas)
    count = 1 + max(0, round(math.log2(_COARSEST * unit / resolution)))
    levels = []
    for number in reversed(range(count)):
        coarsest, finest = number == count - 1, number == 0
        size = resolution * 2**number / unit
        levels.append(
            Level(
                factor=2**number,
                velocity_spacing=max(
                    unit * _VELOCITY_SPACING[1 if coarsest and count > 1 else 0],
                    _VOXELS_PER_VELOCITY * resolution * 2**number,
                ),
                window=4 if coarsest else 3,
                scatter=_scatter(size),
                affine_only=8 if coarsest else 0,
                iterations=iterations[2 if finest and count > 1 else 0 if coarsest else 1],
            )
        )
    return levels


def velocity_grid(atlas: Grid, spacing: float) -> Grid:
    """The grid of the velocity, centred on the atlas and wider by a margin on all sides."""
    margin = 2 * _MARGIN * unit_length(atlas)
    x, y, z = (fft_size(math.ceil((extent + margin) / spacing - _WHOLE)) for extent in atlas.extent)
    return Grid((x, y, z), (spacing, spacing, spacing)).centred()


def _scatter(size: float) -> float:
    """0.5 at voxels of 0.8 units, 0.1 at 0.4, and no less than 0.07."""
    return min(0.5, max(0.07, 0.1 * math.pow(size / 0.4, 2.3)))
