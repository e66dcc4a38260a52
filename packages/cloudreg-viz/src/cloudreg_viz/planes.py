"""Planes: three cross sections of a volume at the size of a picture, and the length of its scale bar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.space import Bounds, Vector3i, VoxelSize, vector3i
from cloudreg_io.volumes import Volume

_PICTURE_VOXELS = 800


@dataclass(frozen=True, slots=True)
class Plane:
    """A cross section.

    Parameters
    ----------
    pixels : array, shape [vertical, horizontal]
    axes : str
        Horizontal and vertical axis: "xy", "xz" or "zy".
    at : int
        Index of the plane on the third axis, at mip 0.
    edges : tuple of float
        Size of a pixel in µm, horizontal and vertical.
    """

    pixels: NDArray[Any]
    axes: str
    at: int
    edges: tuple[float, float]

    @property
    def extent_um(self) -> tuple[float, float]:
        """Width and height in µm."""
        height, width = self.pixels.shape
        return (width * self.edges[0], height * self.edges[1])


def picture_mip(volume: Volume) -> int:
    """The finest level that fits a picture; else the coarsest."""
    fitting = [mip for mip, scale in enumerate(volume.spec.scales) if max(scale.size) <= _PICTURE_VOXELS]
    return min(fitting, default=len(volume.spec.scales) - 1)


def three_planes(volume: Volume, focus_um: Sequence[float] | None = None) -> tuple[Plane, Plane, Plane]:
    """The cross sections xy, zy and xz through a point (x y z in µm), or through the middle."""
    mip = picture_mip(volume)
    grid, bounds = volume.grid(mip), volume.bounds(mip)
    if focus_um is None:
        centre = vector3i([(low + high) // 2 for low, high in zip(bounds.lower, bounds.upper, strict=True)])
    else:
        nearest = np.rint(grid.index_of(focus_um)).astype(int) + bounds.lower
        centre = vector3i(np.clip(nearest, bounds.lower, np.array(bounds.upper) - 1).tolist())
    factor, edges = volume.spec.mips[mip], volume.voxel_size(mip)
    return (
        _plane(volume.read(_slice(bounds, centre, 2), mip)[0], "xy", centre[2] * factor[2], edges),
        _plane(volume.read(_slice(bounds, centre, 0), mip)[:, :, 0].T, "zy", centre[0] * factor[0], edges),
        _plane(volume.read(_slice(bounds, centre, 1), mip)[:, 0, :], "xz", centre[1] * factor[1], edges),
    )


def _slice(bounds: Bounds, centre: Vector3i, axis: int) -> Bounds:
    """The voxels of the box that lie in one plane across an axis (0: x)."""
    lower, upper = list(bounds.lower), list(bounds.upper)
    lower[axis], upper[axis] = centre[axis], centre[axis] + 1
    return Bounds(vector3i(lower), vector3i(upper))


def _plane(pixels: NDArray[Any], axes: str, at: int, edges: VoxelSize) -> Plane:
    sizes = dict(zip("xyz", edges, strict=True))
    return Plane(pixels, axes, at, (sizes[axes[0]], sizes[axes[1]]))


def bar_length(width_um: float) -> float:
    """A round length (1, 2 or 5 times a power of ten, µm) near a fifth of the width."""
    target = width_um / 5
    power: float = 10.0 ** math.floor(math.log10(target))
    return max(step * power for step in (1, 2, 5) if step * power <= target * (1 + 1e-9))


def length_text(um: float) -> str:
    """A length with its unit: "200 µm", "2 mm"."""
    return f"{um / 1000:g} mm" if um >= 1000 else f"{um:g} µm"
