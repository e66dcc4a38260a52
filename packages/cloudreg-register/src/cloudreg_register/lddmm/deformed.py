"""Deformed: the atlas as a velocity and an affine map put it on the sample's grid, and what moves it.

The atlas at a voxel y of the sample is I(x + u(x)) with x = A⁻¹ y and u the displacement of φ⁻¹. `DeformedAtlas`
keeps both positions, so that a wish for another brightness at each voxel becomes a force on the velocity (through
the adjoint of the flow) and on the affine map.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d

from cloudreg_register.lddmm.coordinates import Coordinates
from cloudreg_register.lddmm.flow import Flow
from cloudreg_register.lddmm.sampling import sample, sample_adjoint


@dataclass(frozen=True, slots=True, eq=False)
class DeformedAtlas:
    """An atlas on a sample's grid.

    Attributes
    ----------
    values : [z, y, x]
        The atlas at the voxels of the sample.
    flow : Flow
        Of φ⁻¹.
    rest : [z, y, x, 3]
        Where the voxels lie in the atlas before φ⁻¹, in µm.
    in_velocity, in_atlas : [z, y, x, 3]
        `rest` on the velocity's grid, and after φ⁻¹ on the atlas's, normalised.
    """

    values: Tensor
    flow: Flow
    rest: Tensor
    in_velocity: Tensor
    in_atlas: Tensor
    _atlas: Tensor
    _on_atlas: Coordinates
    _on_velocity: Coordinates

    @classmethod
    def of(
        cls,
        atlas: Tensor,
        on_atlas: Coordinates,
        velocity: Tensor,
        on_velocity: Coordinates,
        affine: Tensor,
        on_sample: Coordinates,
        substeps: int,
    ) -> DeformedAtlas:
        """Deform an atlas [z, y, x] by a velocity [t, 3, z, y, x] and an affine map [4, 4]."""
        flow = Flow(velocity, on_velocity.grid.spacing, inverse=True, substeps=substeps)
        rest = on_sample.mapped(torch.linalg.inv(affine))
        in_velocity = on_velocity.normalised(rest)
        moved = rest + sample(flow.displacement, in_velocity).permute(1, 2, 3, 0)
        in_atlas = on_atlas.normalised(moved)
        values = sample(atlas[None], in_atlas)[0]
        return cls(values, flow, rest, in_velocity, in_atlas, atlas, on_atlas, on_velocity)

    def gradient(self) -> Tensor:
        """Derivative [3, z, y, x] of `values` by the displacement of φ⁻¹ there, per µm."""
        ones = torch.ones_like(self.values)[None]
        _, by_positions = sample_adjoint(ones, self._atlas[None], self.in_atlas, of_field=False, of_positions=True)
        assert by_positions is not None
        return (by_positions * self._on_atlas.scale).permute(3, 0, 1, 2).contiguous()

    def velocity_force(self, force: Tensor, further: Tensor) -> Tensor:
        """Derivative [t, 3, z, y, x] of an energy by the velocity.

        Parameters
        ----------
        force : [3, z, y, x]
            Its derivative by the displacement of φ⁻¹ at the sample's voxels.
        further : [3, z, y, x]
            And by the displacement at the velocity's own samples; 0 where only the voxels count.
        """
        by_field, _ = sample_adjoint(
            force, self.flow.displacement, self.in_velocity, of_field=True, of_positions=False
        )
        assert by_field is not None
        return self.flow.adjoint(by_field + further)

    def rest_force(self, force: Tensor) -> Tensor:
        """Derivative [z, y, x, 3] by `rest` of the energy whose derivative by the displacement is `force`."""
        _, by_positions = sample_adjoint(
            force, self.flow.displacement, self.in_velocity, of_field=False, of_positions=True
        )
        assert by_positions is not None
        return force.permute(1, 2, 3, 0) + by_positions * self._on_velocity.scale

    def curvature(self, gradient: Tensor, weight: Tensor, coarser: int) -> Tensor:
        """Σ weight · gradient gradientᵀ at the velocity's samples: [6, z, y, x] of xx, xy, xz, yy, yz, zz.

        Parameters
        ----------
        gradient : [3, z, y, x]
            Of the expected image, per µm.
        weight : [z, y, x]
        coarser : int
            Blocks of voxels are gathered as one: the result is smooth, and one pass over fine voxels costs most.
        """
        x, y, z = gradient
        products = torch.stack([x * x, x * y, x * z, y * y, y * z, z * z]) * weight
        positions = self.in_velocity
        if coarser > 1:
            products = avg_pool3d(products[None], coarser)[0] * coarser**3
            positions = avg_pool3d(positions.permute(3, 0, 1, 2)[None], coarser)[0].permute(1, 2, 3, 0)
        onto = products.new_zeros((6, *self._on_velocity.shape))
        gathered, _ = sample_adjoint(products, onto, positions, of_field=True, of_positions=False)
        assert gathered is not None
        return gathered
