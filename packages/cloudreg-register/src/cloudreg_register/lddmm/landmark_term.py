"""Landmark term: pairs of points that a person trusts, as a part of the energy.

Each pair (x in the atlas, y in the target) costs |φ⁻¹(A⁻¹ y) − x|² / (2 σ²): the map is asked in the direction in
which the images are compared, so that force and curvature go the same way as theirs. σ is how far a person errs.
It counts where images say nothing: in torn or missing tissue, in featureless regions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cloudreg_io.errors import InputError
from cloudreg_register.images.frame import Frame
from cloudreg_register.lddmm import affine as affine_steps
from cloudreg_register.lddmm.coordinates import Coordinates
from cloudreg_register.lddmm.levels import unit_length
from cloudreg_register.lddmm.sampling import sample, sample_adjoint
from cloudreg_register.start.landmarks import Pairs

_SIGMA = 0.2  # units: 100 µm on the mouse
_XX, _YY, _ZZ = 0, 3, 5  # of a symmetric matrix kept as xx, xy, xz, yy, yz, zz


@dataclass(frozen=True, slots=True, eq=False)
class Pull:
    """What landmarks add to the energy and its model.

    Attributes
    ----------
    energy : float
    by_displacement : [3, z, y, x]
        Derivative by the displacement of φ⁻¹ at the velocity's samples.
    by_affine : [k] float64
    curvature : [6, z, y, x]
    """

    energy: float
    by_displacement: Tensor
    by_affine: Tensor
    curvature: Tensor

    @classmethod
    def nothing(cls, fields: Tensor) -> Pull:
        """Without landmarks, given the affine map's fields [k, 3, z, y, x] on the velocity's grid."""
        none = fields.new_zeros(())
        return cls(0.0, none, none.double().cpu(), none)


@dataclass(frozen=True, slots=True, eq=False)
class LandmarkTerm:
    """Pairs of landmarks.

    Attributes
    ----------
    atlas, target : [n, 3] float64
        In µm, 0 at the centre of each volume.
    sigma : float
        In µm.
    """

    atlas: Tensor
    target: Tensor
    sigma: float

    @classmethod
    def of(cls, pairs: Pairs, atlas: Frame, target: Frame, sigma: float | None = None) -> LandmarkTerm:
        """Pairs in the frames of their volumes.

        Parameters
        ----------
        pairs : Pairs
        atlas, target : Frame
        sigma : float, optional
            How far a landmark may be off, in µm; by default a fifth of the atlas's unit: 100 µm for a mouse.

        Raises
        ------
        InputError
            A sigma that is not positive; a landmark outside of its volume.
        """
        if sigma is not None and not 0 < sigma < float("inf"):
            raise InputError(
                f"landmarks err by a positive length, not {sigma} µm", fix="--landmark-sigma 100, in µm"
            )
        _require_inside(pairs, atlas, target)
        return cls(
            torch.from_numpy(pairs.atlas - atlas.centre),
            torch.from_numpy(pairs.target - target.centre),
            sigma or _SIGMA * unit_length(atlas.grid()),
        )

    def to_json(self) -> dict[str, Any]:
        """All that a registration depends on."""
        return {"atlas": self.atlas.tolist(), "target": self.target.tolist(), "sigma_um": self.sigma}

    def pull(self, displacement: Tensor, on: Coordinates, affine: Tensor, generators: Tensor) -> Pull:
        """Energy, forces and curvature.

        Parameters
        ----------
        displacement : [3, z, y, x]
            Of φ⁻¹, in µm.
        on : Coordinates
            Of the displacement.
        affine : [4, 4] float64
        generators : [k, 4, 4]
        """
        back = torch.linalg.inv(affine)
        rest = (self.target.to(back.device) @ back[:3, :3].T + back[:3, 3]).to(displacement)
        positions = on.normalised(rest)[None, None]
        moved = rest + sample(displacement, positions)[:, 0, 0].T
        error = moved - self.atlas.to(moved)
        force = error / self.sigma**2
        by_displacement, by_positions = sample_adjoint(
            force.T[:, None, None], displacement, positions, of_field=True, of_positions=True
        )
        assert by_displacement is not None
        assert by_positions is not None
        by_rest = force + by_positions[0, 0] * on.scale
        return Pull(
            0.5 * float((error.double() * force).sum()),
            by_displacement,
            affine_steps.gradient(generators, by_rest, rest),
            self._curvature(positions, on),
        )

    def _curvature(self, positions: Tensor, on: Coordinates) -> Tensor:
        weights = positions.new_zeros((6, *positions.shape[:-1]))
        weights[[_XX, _YY, _ZZ]] = 1 / self.sigma**2
        gathered, _ = sample_adjoint(
            weights, positions.new_zeros((6, *on.shape)), positions, of_field=True, of_positions=False
        )
        assert gathered is not None
        return gathered


def _require_inside(pairs: Pairs, atlas: Frame, target: Frame) -> None:
    for frame, points, what in ((atlas, pairs.atlas, "atlas"), (target, pairs.target, "target")):
        outside = [name for name, inside in zip(pairs.names, frame.contains(points), strict=True) if not inside]
        if outside:
            raise InputError(
                f"{len(outside)} of {len(pairs)} landmarks lie outside of the {what}, such as {outside[0]!r}",
                why="they may be in voxels, not in µm, or from another volume",
                fix="positions are in µm from the centre of the volume's first voxel",
            )
