"""Damage: how one cleared brain differs from an average template, and what of it is missing.

In the order in which a sample suffers it: foreign contrast (not monotonic, and shifted a little in every region),
uneven illumination, glare, noise, a lost end, a lost oblique slab. Positions are x, y, z in µm, 0 at the centre
of the target.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.space import Orientation, Vector3
from cloudreg_io.synthetic.deformation import WaveField

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

BACKGROUND = 0.1  # light where no tissue is, relative to the tissue's peak: an exact 0 means missing data
_PEAK = 0.6  # which relative brightness of the atlas the sample shows brightest
_GLARE_SEEN = 1.3  # gain beyond which a place counts as artifact


@dataclass(frozen=True, slots=True)
class DamageSpec:
    """Kinds and amounts of damage.

    Attributes
    ----------
    offsets : float
        Standard deviation of the shift of each region's brightness, relative to the tissue's peak.
    bias : float
        Standard deviation of the logarithm of the illumination.
    bias_scale_um : float
        Over which the illumination changes.
    noise : float
        Standard deviation, relative to the tissue's peak.
    slab_um : float
        Thickness of the oblique slab that is 0.
    cut_um : float
        How much of the anterior end is replaced by background.
    spots : int
        Number of bright blobs.
    spot_um : float
        Their mean standard deviation.
    gain : float
        How much brighter their centre is.
    """

    offsets: float = 0.05
    bias: float = 0.2
    bias_scale_um: float = 3000.0
    noise: float = 0.03
    slab_um: float = 800.0
    cut_um: float = 1500.0
    spots: int = 6
    spot_um: float = 300.0
    gain: float = 4.0

    def scaled(self, factor: float) -> DamageSpec:
        """The damage of a brain `factor` times as large: lengths grow with it."""
        lengths = [field.name for field in fields(self) if field.name.endswith("_um")]
        return replace(self, **{name: factor * getattr(self, name) for name in lengths})


@dataclass(frozen=True, slots=True, eq=False)
class Damage:
    """Damage of one sample, known at every point.

    Attributes
    ----------
    spec : DamageSpec
    normal : (x, y, z)
        Of the slab.
    offset : float
        Of the slab's middle plane from 0, in µm.
    end : (x, y, z)
        Points to anterior.
    end_at : float
        Where the lost end begins, in µm along `end`.
    spots : [n, 3]
        Centres of the blobs.
    sigmas : [n]
    """

    spec: DamageSpec
    normal: Vector3
    offset: float
    end: Vector3
    end_at: float
    spots: Float64
    sigmas: Float64

    @classmethod
    def random(
        cls, spec: DamageSpec, tissue: Float64, orientation: Orientation, rng: np.random.Generator
    ) -> Damage:
        """Damage of a brain whose tissue lies at the points [n, 3]."""
        normal = rng.uniform(0.35, 1, 3) * rng.choice([-1, 1], 3)
        normal /= np.linalg.norm(normal)
        along = tissue @ normal
        end = np.array([{"A": 1.0, "P": -1.0}.get(letter, 0.0) for letter in orientation.code])
        return cls(
            spec,
            (float(normal[0]), float(normal[1]), float(normal[2])),
            float(np.quantile(along, rng.uniform(0.3, 0.7))),
            (float(end[0]), float(end[1]), float(end[2])),
            float((tissue @ end).max()) - spec.cut_um,
            tissue[rng.integers(len(tissue), size=spec.spots)],
            spec.spot_um * rng.uniform(2 / 3, 4 / 3, spec.spots),
        )

    def in_slab(self, points: Float64) -> Mask:
        """Which points [..., 3] lie in the slab that is 0."""
        return np.asarray(np.abs(points @ np.array(self.normal) - self.offset) < self.spec.slab_um / 2)

    def in_end(self, points: Float64) -> Mask:
        """Which points lie in the end that is lost."""
        return np.asarray(points @ np.array(self.end) > self.end_at)

    def missing(self, points: Float64) -> Mask:
        """Where no tissue is left."""
        return self.in_slab(points) | self.in_end(points)

    def glare(self, points: Float64) -> Float64:
        """By how much the blobs brighten each point."""
        total = np.ones(points.shape[:-1])
        for centre, sigma in zip(self.spots, self.sigmas, strict=True):
            square = ((points - centre) ** 2).sum(axis=-1) / (2 * sigma**2)
            total += (self.spec.gain - 1) * np.exp(-square)
        return total

    def artifact(self, points: Float64) -> Mask:
        """Where a blob outshines the tissue."""
        return np.asarray(self.glare(points) > _GLARE_SEEN)

    def apply(self, image: Float32, points: Float64, rng: np.random.Generator) -> Float32:
        """The image [z, y, x] of an intact sample (see `foreign_contrast`) as the microscope sees the damaged one.

        Parameters
        ----------
        image : [z, y, x]
            Relative brightness; tissue's peak is 1.
        points : [z, y, x, 3]
            Where its samples lie.
        rng : Generator
        """
        light = WaveField.random(rng, self.spec.bias_scale_um, components=1, waves=32)
        seen = np.where(self.in_end(points), 0.0, image) + BACKGROUND
        for z, rows in enumerate(points.reshape(len(points), -1, 3)):
            gain = np.exp(self.spec.bias * light.at(rows)[:, 0]) * self.glare(rows)
            seen[z] *= gain.reshape(seen[z].shape)
        seen += rng.normal(0, self.spec.noise, seen.shape)
        np.maximum(seen, 1e-3, out=seen)
        seen[self.in_slab(points)] = 0
        return seen.astype(np.float32)


def foreign_contrast(
    atlas: NDArray[Any], labels: NDArray[Any], white: float, spec: DamageSpec, rng: np.random.Generator
) -> Float32:
    """What the sample's own tissue looks like, on the atlas grid.

    u ↦ u/p · exp((1 − u²/p²) / 2), p = 0.6, is brightest at p and falls by nearly a third to the brightest
    parts of the atlas. It is no polynomial, so that a fitted one does not happen to be the truth. Every region is
    shifted by a number of its own.

    Parameters
    ----------
    atlas, labels : [z, y, x]
    white : float
        Brightness of the atlas that counts as 1.
    """
    relative = np.clip(atlas.astype(np.float64) / white, 0, None) / _PEAK
    image = relative * np.exp((1 - relative**2) / 2)
    ids, index = np.unique(labels, return_inverse=True)
    shifts = np.where(ids == 0, 0.0, rng.normal(0, spec.offsets, len(ids)))
    return np.maximum(image + shifts[index].reshape(image.shape), 0).astype(np.float32)
