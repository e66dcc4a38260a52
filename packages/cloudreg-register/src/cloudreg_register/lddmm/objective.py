"""Objective: the energy of a map between an atlas and a sample at one level, and the quadratic model of it.

Energy = negative log-likelihood of the sample under the mixture of `weights`, with tissue expected as `contrast`
says of the deformed atlas, per cubic unit of length, plus ½ ‖v‖² / strength², plus what landmarks cost where there
are any. `evaluate` does one expectation and one maximisation: contrast from the weights of last time, then weights
and the mixture's parameters. At the optimum of the contrast and the weights the derivative of the energy by the
map is the one with both held still, so the force is exact; the model (`newton`) is Gauss-Newton.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cloudreg_register.lddmm import affine as affine_steps
from cloudreg_register.lddmm.affine import AffineMode
from cloudreg_register.lddmm.contrast import Contrast
from cloudreg_register.lddmm.coordinates import Coordinates
from cloudreg_register.lddmm.deformed import DeformedAtlas
from cloudreg_register.lddmm.landmark_term import LandmarkTerm, Pull
from cloudreg_register.lddmm.newton import Quadratic
from cloudreg_register.lddmm.regulariser import Regulariser
from cloudreg_register.lddmm.weights import Mixture


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """What is sought: a velocity [t, 3, z, y, x] in µm per unit time, and an affine map [4, 4] (float64, µm)."""

    velocity: Tensor
    affine: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """What is believed about the sample beside the map: which voxels show tissue [z, y, x], and the mixture."""

    tissue: Tensor
    mixture: Mixture


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The sample beside the atlas as a map puts it and a contrast paints it.

    Attributes
    ----------
    deformed : DeformedAtlas
    error, slope : [z, y, x]
        Expected image less sample, and derivative of the expected image by the deformed atlas.
    parts : [3, z, y, x]
        Probabilities of tissue, artifact, background.
    unlikely : [z, y, x]
        Negative log-likelihood.
    weight : [z, y, x]
        Of half the squared error: what a voxel counts, over its expected variance.
    """

    deformed: DeformedAtlas
    error: Tensor
    slope: Tensor
    parts: Tensor
    unlikely: Tensor
    weight: Tensor

    @property
    def gradient(self) -> Tensor:
        """Derivative [3, z, y, x] of the expected image by the displacement of φ⁻¹, per µm."""
        return self.slope * self.deformed.gradient()


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """An energy, its parts, what is believed now, and the model of the energy around the map."""

    energy: float
    regularisation: float
    belief: Belief
    model: Quadratic


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """A registration at one level.

    Attributes
    ----------
    atlas : [z, y, x]
        Intensities from −1 to 1.
    sample, imaged : [z, y, x]
        The sample, and how far each voxel was imaged (0 to 1).
    on_atlas, on_sample, on_velocity : Coordinates
        Of these, and of the velocity.
    regulariser : Regulariser
    generators : [k, 4, 4]
        Of the kind of affine map.
    fields : [k, 3, z, y, x]
        Of the generators, at the velocity's samples, in µm.
    per_voxel : float
        What a voxel of the sample counts.
    window : (z, y, x) int
        Of the contrast, in voxels.
    order : int
        Of the contrast.
    ridge : float
    scatter : float
        Smallest expected error of a voxel.
    substeps : int
        Of the flow.
    gathered : int
        Voxels that are gathered as one for the curvature.
    landmarks : LandmarkTerm or None
        Points that should meet.
    """

    atlas: Tensor
    sample: Tensor
    imaged: Tensor
    on_atlas: Coordinates
    on_sample: Coordinates
    on_velocity: Coordinates
    regulariser: Regulariser
    generators: Tensor
    fields: Tensor
    per_voxel: float
    window: tuple[int, int, int]
    order: int
    ridge: float
    scatter: float
    substeps: int
    gathered: int
    landmarks: LandmarkTerm | None = None

    def start(self) -> Belief:
        """What to believe before anything was compared: every imaged voxel shows tissue."""
        return Belief(torch.ones_like(self.imaged), Mixture.of_image(self.sample, self.imaged))

    def deformed(self, at: Map) -> DeformedAtlas:
        """The atlas on the sample's grid."""
        return DeformedAtlas.of(
            self.atlas, self.on_atlas, at.velocity, self.on_velocity, at.affine, self.on_sample, self.substeps
        )

    def compared(self, at: Map, belief: Belief) -> Comparison:
        """Fit the contrast to what was believed to be tissue, and say anew what each voxel shows."""
        deformed = self.deformed(at)
        tissue = belief.tissue * self.imaged
        contrast = Contrast.fit(
            deformed.values, self.sample, tissue, self.window, order=self.order, ridge=self.ridge
        )
        expected, slope, variance = contrast.at(deformed.values)
        spread = variance.clamp(min=self.scatter**2).sqrt()
        parts, unlikely = belief.mixture.responsibilities(self.sample, expected, spread)
        weight = (self.per_voxel * parts[0] * self.imaged) / spread**2
        return Comparison(deformed, expected - self.sample, slope, parts, unlikely, weight)

    def evaluate(self, at: Map, belief: Belief) -> Evaluation:
        """The energy at a map, given what was believed before."""
        found = self.compared(at, belief)
        regularisation = self.regulariser.energy(at.velocity)
        data = self.per_voxel * float((self.imaged * found.unlikely).sum(dtype=torch.float64))
        pull = self._pull(at, found.deformed)
        after = Belief(found.parts[0], belief.mixture.updated(self.sample, found.parts, self.imaged))
        return Evaluation(data + regularisation + pull.energy, regularisation, after, self._model(at, found, pull))

    def _pull(self, at: Map, deformed: DeformedAtlas) -> Pull:
        if self.landmarks is None:
            return Pull.nothing(self.fields)
        return self.landmarks.pull(deformed.flow.displacement, self.on_velocity, at.affine, self.generators)

    def _model(self, at: Map, found: Comparison, pull: Pull) -> Quadratic:
        deformed, gradient, weight = found.deformed, found.gradient, found.weight
        force = weight * found.error * gradient
        by_rest = deformed.rest_force(force)
        data = deformed.velocity_force(force, pull.by_displacement).sum(dim=0)
        return Quadratic(
            curvature=deformed.curvature(gradient, weight, self.gathered) + pull.curvature,
            smoothness=self.regulariser.multiplier,
            fields=self.fields,
            by_velocity=data + self.regulariser.applied(at.velocity[0]),
            by_affine=affine_steps.gradient(self.generators, by_rest, deformed.rest) + pull.by_affine,
        )


def make_generators(mode: AffineMode, on_velocity: Coordinates) -> tuple[Tensor, Tensor]:
    """Generators of a kind of affine map, and their fields on the velocity's grid."""
    radius = max(on_velocity.grid.extent) / 4
    made = affine_steps.generators(mode, radius)
    return made, affine_steps.generated_fields(on_velocity, made)
