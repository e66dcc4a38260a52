"""What corrections take of the memory, at most; what cannot be made smaller is asked for before any work."""

from __future__ import annotations

import math

import numpy as np

from cloudreg_correct.blocks import Blocks
from cloudreg_io.run.memory import Programs
from cloudreg_io.tiles import TileGrid
from cloudreg_io.volumes import VolumeSpec
from cloudreg_io.volumes.build import build_bytes

# Python, NumPy, Numba and its compiler, codecs, and SimpleITK where the bias is estimated (measured)
CORRECT = Programs(250_000_000, 120_000_000)
MOST_PLANES = 200  # of a sample that nobody asked to be larger
# float32 values of every block of every sampled plane: means, logarithms, weights, residuals (measured)
_BLOCK_VALUES = 16
_PIXEL_BYTES = 28  # flat and background at every pixel, the spline's product, its file in the making
_PLANE_BYTES = 16 + 8  # a pixel: shading while it is loaded, the encoded plane
# float32 values of every sample of an overview (measured): where the mask is found, and where it is put together
_BIAS_VALUES, _OVERVIEW_VALUES = 7, 5
# Volumes are read through cloud-volume, which holds a box up to three times.
_READ, _WRITTEN = 4, 6


def plane_bytes(grid: TileGrid, item: int) -> int:
    """Memory of a worker that corrects planes of `item` bytes a pixel one by one."""
    return math.prod(grid.tile_size[:2]) * (2 * item + _PLANE_BYTES)


def shading_bytes(grid: TileGrid, item: int, planes: int | None) -> int:
    """Memory of a worker that estimates a shading from a sample of planes."""
    x, y, _ = grid.tile_size
    values = (planes or MOST_PLANES) * math.prod(Blocks.over((y, x)).fine)
    return max(plane_bytes(grid, item), 4 * _BLOCK_VALUES * values + _PIXEL_BYTES * x * y)


def bias_bytes(samples: int) -> tuple[int, int]:
    """Memory to estimate a bias from an overview of so many samples: of the worker, and of the command."""
    return 4 * _BIAS_VALUES * samples, 4 * _OVERVIEW_VALUES * samples


def volume_bytes(spec: VolumeSpec) -> int:
    """Memory of a worker that corrects a stitched volume."""
    item = np.dtype(spec.dtype).itemsize
    band = spec.size[0] * spec.chunk[1] * spec.chunk[2]
    field = 4 * spec.size[0] * spec.chunk[1]
    return max((_READ + _WRITTEN) * item * band + field, build_bytes(spec))
