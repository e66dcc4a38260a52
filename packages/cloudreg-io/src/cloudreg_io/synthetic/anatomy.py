"""The phantom's anatomy: an implicit surface of Gaussian lobes, a cortex along it, and soft nuclei inside.

A *lobe* is an axis-aligned Gaussian in the unit cube of the brain's box; the sum F of all lobes above a
threshold is tissue (Blinn, "A generalization of algebraic surface drawing", 1982). Each lobe is separable,
so F on a plane is a matrix product of small rank. The cortex is where F is only a little above the
threshold. A *nucleus* is an ellipsoid with a soft edge. Coordinates u = (voxel + 0.5) / size run over
[0, 1] along x (right to left), y (anterior to posterior) and z (inferior to superior): orientation LPS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Triple = tuple[float, float, float]

SURFACE = 0.5  # F at the brain's surface
EDGE = 0.06  # F over which the surface rises from 0 to full
CORTEX = 0.74  # F at the inner border of the cortex
_CORTEX_EDGE = 0.05
_NUCLEUS_EDGE = 0.25  # of the squared radius, half on either side of the ellipsoid


@dataclass(frozen=True, slots=True)
class Lobe:
    """A Gaussian of the outer shape: name of its region, side ("left", "right", ""), centre, sigma, weight."""

    region: str
    side: str
    centre: Triple
    sigma: Triple
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Nucleus:
    """An ellipsoid inside: region, side, centre and radii in the unit cube. Later ones lie over earlier ones."""

    region: str
    side: str
    centre: Triple
    radii: Triple

    def square(self, x: Float64, y: Float64, z: float) -> Float32:
        """Squared distance [y, x] from the centre on the plane z, 1 on the ellipsoid."""
        square_x, square_y, square_z = (
            ((np.asarray(u) - centre) / radius) ** 2
            for u, centre, radius in zip((x, y, z), self.centre, self.radii, strict=True)
        )
        return (square_y + square_z).astype(np.float32)[:, None] + square_x.astype(np.float32)


# The halves differ in size, place and content: a mirrored brain must not fit.
LOBES = (
    Lobe("CTX", "right", (0.303, 0.458, 0.555), (0.197, 0.215, 0.268)),
    Lobe("CTX", "left", (0.691, 0.478, 0.568), (0.210, 0.205, 0.281)),
    Lobe("CTX", "right", (0.246, 0.578, 0.314), (0.133, 0.120, 0.161), 0.55),
    Lobe("CTX", "left", (0.773, 0.538, 0.287), (0.121, 0.135, 0.147), 0.60),
    Lobe("OB", "right", (0.405, 0.138, 0.434), (0.070, 0.075, 0.101), 0.85),
    Lobe("OB", "left", (0.576, 0.148, 0.448), (0.076, 0.065, 0.094), 0.85),
    Lobe("CB", "right", (0.360, 0.828, 0.609), (0.146, 0.075, 0.161), 0.90),
    Lobe("CB", "left", (0.640, 0.818, 0.635), (0.140, 0.080, 0.154), 0.95),
    Lobe("BS", "", (0.506, 0.738, 0.260), (0.152, 0.170, 0.147), 0.95),
)
NUCLEI = (
    Nucleus("STR", "right", (0.322, 0.378, 0.475), (0.121, 0.120, 0.161)),
    Nucleus("STR", "left", (0.678, 0.388, 0.488), (0.133, 0.110, 0.154)),
    Nucleus("TH", "right", (0.411, 0.558, 0.448), (0.076, 0.085, 0.114)),
    Nucleus("TH", "left", (0.589, 0.568, 0.448), (0.083, 0.080, 0.121)),
    Nucleus("HIP", "right", (0.309, 0.598, 0.622), (0.140, 0.055, 0.080)),
    Nucleus("HIP", "left", (0.703, 0.588, 0.649), (0.127, 0.060, 0.074)),
    Nucleus("VL", "right", (0.386, 0.448, 0.649), (0.038, 0.110, 0.060)),
    Nucleus("VL", "left", (0.608, 0.468, 0.662), (0.046, 0.125, 0.054)),
    Nucleus("DN", "right", (0.373, 0.828, 0.568), (0.044, 0.025, 0.040)),
    Nucleus("DN", "left", (0.627, 0.818, 0.582), (0.038, 0.028, 0.046)),
    Nucleus("INJ", "left", (0.811, 0.418, 0.635), (0.038, 0.040, 0.047)),
)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """How bright each region appears in one channel, relative to a tissue of 1.

    Attributes
    ----------
    lobes : mapping of region to brightness of its deep tissue
    cortex : float
        What the cortex (the rim of every lobe) adds, as a fraction.
    nuclei : mapping of region to brightness
    """

    lobes: dict[str, float]
    cortex: float
    nuclei: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """Lobes and nuclei."""

    lobes: tuple[Lobe, ...] = LOBES
    nuclei: tuple[Nucleus, ...] = NUCLEI

    @classmethod
    def random(cls, seed: int) -> Anatomy:
        """The anatomy with every centre and radius changed a little, as individuals differ."""
        rng = np.random.default_rng([seed, 1])
        lobes = tuple(
            Lobe(lobe.region, lobe.side, _moved(lobe.centre, rng), _scaled(lobe.sigma, rng), lobe.weight)
            for lobe in LOBES
        )
        nuclei = tuple(Nucleus(n.region, n.side, _moved(n.centre, rng), _scaled(n.radii, rng)) for n in NUCLEI)
        return cls(lobes, nuclei)

    def on(self, x: Float64, y: Float64, look: Look) -> AnatomyPlanes:
        """The anatomy prepared for planes at columns x and rows y (unit cube)."""
        right = self.profiles(x, 0).astype(np.float32)
        left = self.profiles(y, 1).T * [lobe.weight for lobe in self.lobes]
        values = np.array([look.lobes[lobe.region] for lobe in self.lobes], np.float32)
        return AnatomyPlanes(self, x, y, look, left, right, values)

    def lobe_values(self, points: Float64) -> Float64:
        """Value of every lobe at points [n, 3] (unit cube, x y z), as [lobes, n]."""
        weights = np.array([lobe.weight for lobe in self.lobes])[:, None]
        x, y, z = (self.profiles(points[:, axis], axis) for axis in range(3))
        return np.asarray(weights * x * y * z)

    def lobe_planes(self, x: Float64, y: Float64, z: float) -> Float32:
        """Value of every lobe on the plane z, as [lobes, y, x]."""
        weights = np.array([lobe.weight for lobe in self.lobes]) * self.profiles(np.array([z]), 2)[:, 0]
        along_x, along_y = self.profiles(x, 0), weights[:, None] * self.profiles(y, 1)
        return along_y.astype(np.float32)[:, :, None] * along_x.astype(np.float32)[:, None, :]

    def profiles(self, u: Float64, axis: int) -> Float64:
        """The lobes' Gaussians along one axis, [lobes, n]."""
        centre = np.array([lobe.centre[axis] for lobe in self.lobes])[:, None]
        sigma = np.array([lobe.sigma[axis] for lobe in self.lobes])[:, None]
        return np.asarray(np.exp(-0.5 * ((u - centre) / sigma) ** 2))

    def inside(self, points: Float64) -> NDArray[np.bool_]:
        """Which of the points [n, 3] (unit cube) lie well inside the tissue."""
        return np.asarray(self.lobe_values(points).sum(axis=0) > SURFACE + EDGE)


@dataclass(frozen=True, slots=True, eq=False)
class AnatomyPlanes:
    """An anatomy on fixed columns and rows, seen in one channel."""

    anatomy: Anatomy
    x: Float64
    y: Float64
    look: Look
    left: Float64
    right: Float32
    values: Float32

    def box(self, z: float) -> tuple[slice, slice]:
        """Rows and columns outside which the plane at z has no tissue: F is at most the sum of row maxima."""
        along_z = self._along(z)
        by_row = (self.left * along_z) @ self.right.max(axis=1, initial=0)
        by_column = (self.left.max(axis=0, initial=0) * along_z) @ self.right
        return _extent(by_row > SURFACE), _extent(by_column > SURFACE)

    def at(self, z: float, rows: slice, columns: slice) -> Float32 | None:
        """Brightness [y, x] of a part of the plane at z; 0 outside the brain. None where it holds no tissue."""
        factors = (self.left[rows] * self._along(z)).astype(np.float32)
        right = self.right[:, columns]
        form = factors @ right
        if form.max(initial=0) <= SURFACE:
            return None
        lowest = form.min()
        image = np.asarray((factors * self.values) @ right, np.float32)
        image /= form
        if lowest < CORTEX + _CORTEX_EDGE:
            rim = _step(form, CORTEX + _CORTEX_EDGE, CORTEX - _CORTEX_EDGE)
            rim *= np.float32(self.look.cortex)
            rim += np.float32(1)
            image *= rim
        for nucleus in self.anatomy.nuclei:
            self._paint(nucleus, z, image, rows, columns)
        if lowest < SURFACE + EDGE:
            image *= _step(form, SURFACE, SURFACE + EDGE)
        return image

    def _along(self, z: float) -> Float64:
        return self.anatomy.profiles(np.array([z]), 2)[:, 0]

    def _paint(self, nucleus: Nucleus, z: float, image: Float32, rows: slice, columns: slice) -> None:
        deep = 1 + _NUCLEUS_EDGE / 2 - ((z - nucleus.centre[2]) / nucleus.radii[2]) ** 2
        if deep <= 0:
            return
        square_y = ((self.y[rows] - nucleus.centre[1]) / nucleus.radii[1]) ** 2
        if square_y.min() >= deep:
            return
        square_x = ((self.x[columns] - nucleus.centre[0]) / nucleus.radii[0]) ** 2
        box = (_extent(square_y < deep), _extent(square_x < deep))
        depth = (deep - square_y[box[0]]).astype(np.float32)[:, None] - square_x[box[1]].astype(np.float32)
        share = _step(depth, 0.0, _NUCLEUS_EDGE)
        part = image[box]
        part += share * (np.float32(self.look.nuclei[nucleus.region]) - part)


def _step(values: Float32, low: float, high: float) -> Float32:
    """A smooth step from 0 at `low` to 1 at `high`, which may lie below (cubic, flat at both ends)."""
    t = values - np.float32(low)
    t *= np.float32(1 / (high - low))
    np.clip(t, 0, 1, out=t)
    factor = np.float32(3) - np.float32(2) * t
    t *= t
    t *= factor
    return t


def _extent(inside: NDArray[np.bool_]) -> slice:
    where = np.flatnonzero(inside)
    return slice(int(where[0]), int(where[-1]) + 1) if where.size else slice(0, 0)


def _moved(centre: Triple, rng: np.random.Generator) -> Triple:
    x, y, z = (float(c + d) for c, d in zip(centre, rng.uniform(-0.012, 0.012, 3), strict=True))
    return (x, y, z)


def _scaled(radii: Triple, rng: np.random.Generator) -> Triple:
    x, y, z = (float(r * s) for r, s in zip(radii, rng.uniform(0.94, 1.06, 3), strict=True))
    return (x, y, z)
