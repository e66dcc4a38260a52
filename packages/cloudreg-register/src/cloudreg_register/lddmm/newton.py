"""Newton: the step of velocity and affine map together that a quadratic model of the energy asks for.

Model (Gauss-Newton): ½ (w + Σ b_k F_k)ᵀ D (w + Σ b_k F_k) + ½ wᵀ (1 + damping) L w + gᵀ w + hᵀ b, with w a step of
the velocity, b of the affine map with the vector fields F_k, D a symmetric 3×3 matrix at each sample (how sharply
the images say where it belongs), L the regulariser. Solving for both at once matters: a velocity that has taken up
what is affine gives it back only slowly otherwise. Preconditioned conjugate gradients; the preconditioner is (L +
mean of D)⁻¹ in Fourier space, and the exact inverse of the affine block. (Hernandez, Phys. Med. Biol. 59:3183,
2014, and Mang and Biros, SIAM J. Imaging Sci. 8:1030, 2015, take Gauss-Newton-Krylov steps for LDDMM.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cloudreg_register.lddmm.regulariser import filtered

_RELATIVE_RIDGE = 1e-4
_TOLERANCE = 1e-2


@dataclass(frozen=True, slots=True, eq=False)
class Quadratic:
    """The model.

    Attributes
    ----------
    curvature : [6, z, y, x]
        D: xx, xy, xz, yy, yz, zz.
    smoothness : [z, y, x // 2 + 1]
        (1 + damping) L in Fourier space.
    fields : [k, 3, z, y, x]
        F.
    by_velocity : [3, z, y, x]
        g.
    by_affine : [k] float64
        h.
    """

    curvature: Tensor
    smoothness: Tensor
    fields: Tensor
    by_velocity: Tensor
    by_affine: Tensor

    def minimum(self, iterations: int) -> tuple[Tensor, Tensor]:
        """The step (w [3, z, y, x], b [k]) after so many iterations, or when the residual is small."""
        inverse = 1 / (self.smoothness + float(self.curvature[[0, 3, 5]].mean()))
        block = self._affine_inverse()
        w, b = torch.zeros_like(self.by_velocity), torch.zeros_like(self.by_affine)
        r, s = -self.by_velocity, -self.by_affine
        z, y = filtered(r, inverse), block @ s
        p, q = z, y
        product = _dot(r, z) + float(s @ y)
        enough = _TOLERANCE**2 * product
        for _ in range(iterations):
            if product <= enough:
                break
            ap, aq = self._applied(p, q)
            step = product / (_dot(p, ap) + float(q @ aq))
            w, b, r, s = w + step * p, b + step * q, r - step * ap, s - step * aq
            z, y = filtered(r, inverse), block @ s
            product, last = _dot(r, z) + float(s @ y), product
            p, q = z + (product / last) * p, y + (product / last) * q
        return w, b

    def affine_minimum(self) -> Tensor:
        """The step b [k] of the affine map alone."""
        return -(self._affine_inverse() @ self.by_affine)

    def moved(self, velocity: Tensor, affine: Tensor) -> Tensor:
        """What a step moves each sample by, to first order: [3, z, y, x] in µm."""
        fields = self.fields.reshape(len(self.fields), -1)
        return velocity + (affine.to(fields) @ fields).reshape(velocity.shape)

    def _applied(self, w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        pulled = self._pulled(self.moved(w, b))
        by_affine = self.fields.reshape(len(self.fields), -1) @ pulled.flatten()
        return filtered(w, self.smoothness) + pulled, by_affine.double().cpu()

    def _pulled(self, field: Tensor) -> Tensor:
        xx, xy, xz, yy, yz, zz = self.curvature
        x, y, z = field
        return torch.stack([xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z])

    def _affine_inverse(self) -> Tensor:
        flat = self.fields.reshape(len(self.fields), -1)
        pulled = torch.stack([self._pulled(field) for field in self.fields]).reshape(flat.shape)
        block = (flat @ pulled.T).double().cpu()
        ridge = _RELATIVE_RIDGE * block.diagonal().clamp(min=float(block.diagonal().max()) * 1e-9 + 1e-30)
        inverse: Tensor = torch.linalg.inv(block + torch.diag(ridge))
        return inverse


def _dot(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum(dtype=torch.float64))
