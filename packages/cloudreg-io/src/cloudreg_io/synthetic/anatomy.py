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


# The halves differ in size, place and content: a mirrored brain must not fit.
LOBES = (
    Lobe("CTX", "right", (0.345, 0.44, 0.56), (0.155, 0.215, 0.20)),
    Lobe("CTX", "left", (0.650, 0.46, 0.57), (0.165, 0.205, 0.21)),
    Lobe("CTX", "right", (0.300, 0.56, 0.38), (0.105, 0.120, 0.12), 0.55),
    Lobe("CTX", "left", (0.715, 0.52, 0.36), (0.095, 0.135, 0.11), 0.60),
    Lobe("OB", "right", (0.425, 0.12, 0.47), (0.055, 0.075, 0.075), 0.85),
    Lobe("OB", "left", (0.560, 0.13, 0.48), (0.060, 0.065, 0.070), 0.85),
    Lobe("CB", "right", (0.390, 0.81, 0.60), (0.115, 0.075, 0.120), 0.90),
    Lobe("CB", "left", (0.610, 0.80, 0.62), (0.110, 0.080, 0.115), 0.95),
    Lobe("BS", "", (0.505, 0.72, 0.34), (0.120, 0.170, 0.110), 0.95),
)
NUCLEI = (
    Nucleus("STR", "right", (0.36, 0.36, 0.50), (0.095, 0.120, 0.120)),
    Nucleus("STR", "left", (0.64, 0.37, 0.51), (0.105, 0.110, 0.115)),
    Nucleus("TH", "right", (0.43, 0.54, 0.48), (0.060, 0.085, 0.085)),
    Nucleus("TH", "left", (0.57, 0.55, 0.48), (0.065, 0.080, 0.090)),
    Nucleus("HIP", "right", (0.35, 0.58, 0.61), (0.110, 0.055, 0.060)),
    Nucleus("HIP", "left", (0.66, 0.57, 0.63), (0.100, 0.060, 0.055)),
    Nucleus("VL", "right", (0.41, 0.43, 0.63), (0.030, 0.110, 0.045)),
    Nucleus("VL", "left", (0.585, 0.45, 0.64), (0.036, 0.125, 0.040)),
    Nucleus("DN", "right", (0.40, 0.81, 0.57), (0.035, 0.025, 0.030)),
    Nucleus("DN", "left", (0.60, 0.80, 0.58), (0.030, 0.028, 0.034)),
    Nucleus("INJ", "left", (0.745, 0.40, 0.62), (0.030, 0.040, 0.035)),
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
        weights = np.array([lobe.weight for lobe in self.lobes])
        values = np.array([look.lobes[lobe.region] for lobe in self.lobes])
        right = np.stack([_gaussian(x, lobe, 0) for lobe in self.lobes]).astype(np.float32)
        left = np.stack([_gaussian(y, lobe, 1) for lobe in self.lobes], axis=1) * weights
        return AnatomyPlanes(self, x, y, look, left, right, values)

    def lobe_values(self, points: Float64) -> Float64:
        """Value of every lobe at points [n, 3] (unit cube, x y z), as [lobes, n]."""
        return np.stack(
            [
                lobe.weight * np.prod([_gaussian(points[:, a], lobe, a) for a in range(3)], axis=0)
                for lobe in self.lobes
            ]
        )

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
    values: Float64

    def at(self, z: float) -> tuple[Float32, slice, slice]:
        """Brightness of the plane at z inside the smallest box that holds its tissue.

        Returns
        -------
        image : [y, x] float32
            0 outside the brain. Empty where the plane has no tissue.
        rows, columns : slice
            Where `image` lies in the plane.
        """
        along_z = np.array([_gaussian(np.array([z]), lobe, 2)[0] for lobe in self.anatomy.lobes])
        factors = (self.left * along_z).astype(np.float32)
        rows, columns = self._box(along_z)
        form = factors[rows] @ self.right[:, columns]
        if form.size == 0 or form.max() <= SURFACE:
            return np.zeros((0, 0), np.float32), slice(0, 0), slice(0, 0)
        image = (factors[rows] * self.values.astype(np.float32)) @ self.right[:, columns]
        image /= form
        cortex = _step(form, CORTEX - _CORTEX_EDGE, CORTEX + _CORTEX_EDGE)
        cortex -= np.float32(1)
        cortex *= np.float32(-self.look.cortex)
        cortex += np.float32(1)
        image *= cortex
        for nucleus in self.anatomy.nuclei:
            self._paint(nucleus, z, image, rows, columns)
        image *= _step(form, SURFACE, SURFACE + EDGE)
        return image, rows, columns

    def _box(self, along_z: Float64) -> tuple[slice, slice]:
        """Rows and columns outside which F stays below the surface: F <= the sum of row maxima."""
        by_row = (self.left * along_z) @ self.right.max(axis=1, initial=0)
        by_column = (self.left.max(axis=0, initial=0) * along_z) @ self.right
        return _extent(by_row > SURFACE), _extent(by_column > SURFACE)

    def _paint(self, nucleus: Nucleus, z: float, image: Float32, rows: slice, columns: slice) -> None:
        deep = 1 + _NUCLEUS_EDGE / 2 - ((z - nucleus.centre[2]) / nucleus.radii[2]) ** 2
        if deep <= 0:
            return
        square_x = ((self.x[columns] - nucleus.centre[0]) / nucleus.radii[0]) ** 2
        square_y = ((self.y[rows] - nucleus.centre[1]) / nucleus.radii[1]) ** 2
        box = (_extent(square_y < deep), _extent(square_x < deep))
        depth = (deep - square_y[box[0]]).astype(np.float32)[:, None] - square_x[box[1]].astype(np.float32)
        share = _step(depth, 0.0, _NUCLEUS_EDGE)
        part = image[box]
        part += share * (np.float32(self.look.nuclei[nucleus.region]) - part)


def _gaussian(u: Float64, lobe: Lobe, axis: int) -> Float64:
    return np.asarray(np.exp(-0.5 * ((u - lobe.centre[axis]) / lobe.sigma[axis]) ** 2))


def _step(values: Float32, low: float, high: float) -> Float32:
    """A smooth step from 0 at `low` to 1 at `high` (cubic, flat at both ends)."""
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
