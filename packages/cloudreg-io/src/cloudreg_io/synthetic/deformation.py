"""Deformation: a known smooth diffeomorphism between an atlas and a sample, with its inverse, at any point.

A particle moves with dφ/dt = v(φ), and φ is where it is at t = 1; the way back integrates −v. The map from atlas
to target is an affine map after φ. The velocity is a sum of plane waves with random vectors: a Gaussian random
field that is a formula, not a grid, so that nothing is interpolated, and both directions agree to a few
nanometres: what fourth-order Runge–Kutta steps of this length and waves in float32 leave.

Points are x, y, z in µm, 0 at the centre of the volume, for the atlas as for the target.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.space import Affine, Grid
from cloudreg_io.synthetic.spline import chunks

Float64 = NDArray[np.float64]

_WAVES = 64
_SHORTEST = 2.6  # wave numbers end here, in units of 1 / scale
_STEPS_PER_SCALE = 12
_CHUNK = 1 << 14
_FASTEST = 1000  # the particle that moves farthest is among those that start fastest


@dataclass(frozen=True, slots=True, eq=False)
class WaveField:
    """Σ cosine · cos(k·x) + sine · sin(k·x), a smooth field of any number of components.

    Attributes
    ----------
    vectors : [waves, 3]
        k in radians per µm.
    cosine, sine : [waves, components]
    """

    vectors: Float64
    cosine: Float64
    sine: Float64

    @classmethod
    def random(cls, rng: np.random.Generator, scale: float, components: int, waves: int = _WAVES) -> WaveField:
        """A field of mean 0 and variance 1 whose covariance falls as exp(−r² / 2 scale²), `scale` in µm.

        The spectrum of that covariance is Gaussian; vectors beyond 2.6 / scale are drawn again, so that no
        wavelength is below 2.4 scales.
        """
        vectors = rng.normal(size=(16 * waves, 3))
        vectors = vectors[np.linalg.norm(vectors, axis=1) < _SHORTEST][:waves] / scale
        cosine, sine = rng.normal(size=(2, waves, components)) / math.sqrt(waves)
        return cls(vectors, cosine, sine)

    def at(self, points: Float64) -> Float64:
        """Values [n, components] at points [n, 3]."""
        cosine, sine = self._waves(points)
        return np.asarray(
            cosine @ self.cosine.astype(np.float32) + sine @ self.sine.astype(np.float32), np.float64
        )

    def gradient(self, points: Float64) -> Float64:
        """Derivatives [n, components, 3] at points [n, 3]."""
        cosine, sine = self._waves(points)
        parts = [cosine @ (self.sine * k[:, None]) - sine @ (self.cosine * k[:, None]) for k in self.vectors.T]
        return np.stack(parts, axis=-1)

    def _waves(self, points: Float64) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        phase = (points @ self.vectors.T).astype(np.float32)
        return np.cos(phase), np.sin(phase)

    def times(self, factor: float) -> WaveField:
        """The field multiplied by a number."""
        return replace(self, cosine=factor * self.cosine, sine=factor * self.sine)


@dataclass(frozen=True, slots=True, eq=False)
class Deformation:
    """A map from atlas to target: `motion` after `affine` after the flow of `velocity`.

    Attributes
    ----------
    velocity : WaveField
        µm per unit time.
    affine : Affine
    steps : int
        Of the integration.
    motion : Affine
        How the whole sample lies, with what is wrong with it: nothing unless `moved`.
    """

    velocity: WaveField
    affine: Affine
    steps: int
    motion: Affine = field(default_factory=Affine.identity)

    def to_target(self, points: ArrayLike) -> Float64:
        """Where points [..., 3] of the atlas lie in the target."""
        return (self.motion @ self.affine).apply(self._flow(points, 1.0))

    def to_atlas(self, points: ArrayLike) -> Float64:
        """Where points [..., 3] of the target lie in the atlas."""
        return self._flow((self.motion @ self.affine).inverse().apply(points), -1.0)

    def jacobian(self, points: ArrayLike) -> Float64:
        """Determinant of the derivative of `to_target` at points [..., 3] of the atlas.

        Along a path of the flow its logarithm grows by the divergence of the velocity (Liouville), summed here by
        Simpson's rule; so it is positive by construction.
        """
        array = np.asarray(points, np.float64)
        here, total = array.reshape(-1, 3), np.zeros(array.size // 3)
        for _ in range(self.steps):
            there = _runge_kutta(self.velocity, here, 0.5 / self.steps)
            end = _runge_kutta(self.velocity, there, 0.5 / self.steps)
            total += sum(w * self._divergence(p) for w, p in ((1, here), (4, there), (1, end))) / (6 * self.steps)
            here = end
        return np.asarray((self.motion @ self.affine).determinant * np.exp(total)).reshape(array.shape[:-1])

    def moved(self, motion: Affine) -> Deformation:
        """The deformation followed by a motion, as of a sample that lies otherwise."""
        return replace(self, motion=motion @ self.motion)

    def scaled(self, factor: float) -> Deformation:
        """The same deformation of a brain `factor` times as large."""
        velocity = replace(self.velocity, vectors=self.velocity.vectors / factor).times(factor)
        affine, motion = (
            Affine(np.column_stack([map_.linear, factor * map_.translation]))
            for map_ in (self.affine, self.motion)
        )
        return replace(self, velocity=velocity, affine=affine, motion=motion)

    def to_json(self) -> dict[str, Any]:
        """As JSON; floats are kept exactly."""
        waves = {name: getattr(self.velocity, name).tolist() for name in ("vectors", "cosine", "sine")}
        maps = {name: getattr(self, name).matrix.tolist() for name in ("affine", "motion")}
        return {"velocity": waves, **maps, "steps": self.steps}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Deformation:
        """The deformation that `to_json` described."""
        waves = WaveField(**{name: np.array(numbers) for name, numbers in value["velocity"].items()})
        affine, motion = (Affine(np.array(value[name])) for name in ("affine", "motion"))
        return cls(waves, affine, int(value["steps"]), motion)

    def _flow(self, points: ArrayLike, direction: float) -> Float64:
        array = np.asarray(points, np.float64)
        flat = array.reshape(-1, 3).copy()
        for part in chunks(len(flat), _CHUNK):
            for _ in range(self.steps):
                flat[part] = _runge_kutta(self.velocity, flat[part], direction / self.steps)
        return flat.reshape(array.shape)

    def _divergence(self, points: Float64) -> Float64:
        parts = (self.velocity.gradient(points[part]) for part in chunks(len(points), _CHUNK))
        return np.concatenate([np.trace(part, axis1=1, axis2=2) for part in parts])


def _runge_kutta(velocity: WaveField, points: Float64, dt: float) -> Float64:
    a = velocity.at(points)
    b = velocity.at(points + dt / 2 * a)
    c = velocity.at(points + dt / 2 * b)
    d = velocity.at(points + dt * c)
    return points + dt / 6 * (a + 2 * b + 2 * c + d)


def random_deformation(
    grid: Grid,
    seed: int,
    max_displacement_um: float = 500.0,
    *,
    scale_um: float = 1200.0,
    rotation: float = 8.0,
    scaling: float = 0.06,
    anisotropy: float = 0.03,
    translation_um: float = 300.0,
) -> Deformation:
    """A random deformation of a volume.

    Parameters
    ----------
    grid : Grid
        Of the atlas; its centre is point 0.
    seed : int
    max_displacement_um : float
        Largest displacement by the flow (without the affine map) over the grid, in µm.
    scale_um : float
        How far away the velocity is another one: the standard deviation of its Gaussian covariance, in µm.
        At the default, identity errs by 650 µm and other programs by 40 to 65 µm on the Allen template at 100 µm.
    rotation : float
        Largest angle about each axis, in degrees.
    scaling, anisotropy : float
        Largest relative change of size, and of each axis beyond that.
    translation_um : float
        Largest distance, in µm.

    Raises
    ------
    InputError
        When the displacement is negative, or the scale is not positive.
    """
    if not 0 <= max_displacement_um < math.inf or not 0 < scale_um < math.inf or seed < 0:
        raise InputError(
            f"no deformation of at most {max_displacement_um} µm on a scale of {scale_um} µm, seed {seed}",
            fix="a displacement of 0 or more, a scale above 0, a seed of 0 or more",
        )
    rng = np.random.default_rng([seed, 31])
    steps = max(4, math.ceil(_STEPS_PER_SCALE * max_displacement_um / scale_um))
    field = WaveField.random(rng, scale_um, components=3)
    velocity = _of_amplitude(field, grid, max_displacement_um, steps)
    stretch = (1 + rng.uniform(-scaling, scaling)) * (1 + rng.uniform(-anisotropy, anisotropy, 3))
    direction = rng.normal(size=3)
    shift = rng.uniform(0, translation_um) * direction / np.linalg.norm(direction)
    turn = rng.uniform(-rotation, rotation, 3)
    affine = Affine.from_parameters(translation=shift.tolist(), rotation=turn.tolist(), scale=stretch.tolist())
    return Deformation(velocity, affine, steps)


def _of_amplitude(field: WaveField, grid: Grid, wanted: float, steps: int) -> WaveField:
    """The field times the factor that makes the largest displacement over the grid the wanted one."""
    spacing = [max(s, e / 32) for s, e in zip(grid.spacing, grid.extent, strict=True)]
    points = grid.centred().with_spacing(spacing).points().reshape(-1, 3)
    speed = np.linalg.norm(field.at(points), axis=1)
    factor = wanted / float(speed.max())
    points = points[np.argsort(speed)[-_FASTEST:]]
    for _ in range(3):  # who moves far meets other velocities on its way; nearly linear, so this converges
        moved = Deformation(field.times(factor), Affine.identity(), steps).to_target(points) - points
        factor *= wanted / max(float(np.linalg.norm(moved, axis=1).max()), 1e-12)
    return field.times(factor)
