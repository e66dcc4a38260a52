"""Contrast: how brightness in the atlas becomes brightness in the sample, everywhere anew.

A stain, a microscope or missing light change what tissue looks like, and not in the same way everywhere. The
expected image is a polynomial of the deformed atlas Z, f(y) = Σ c_k(y) Z(y)^k, whose coefficients vary slowly in
space (Tward et al., Front. Neurosci. 14:52, 2020, where they are a field with a penalty on its roughness). Here
they are the weighted least squares fit in windows that overlap by half, drawn towards the fit of the whole image
where a window says little. The scatter about the fit is kept too: as the expected error of a voxel it makes the
data term a local correlation coefficient, which sees faint structure beside bright structure.

The fit in all windows costs one pass over the image: block means of the moments Z^k and J Z^k.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d, conv3d, interpolate, pad

# how many voxels' worth of belief the fit of the whole image has in each window
_BELIEF_IN_SCATTER = 0.02
_SINGULAR = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """Polynomials on a lattice of windows.

    Attributes
    ----------
    coefficients : [order + 1, z, y, x]
        On the lattice, of Z^0, Z^1, …
    variance : [z, y, x]
        Mean squared error of the fit.
    window : (z, y, x) int
        Voxels of the image from one lattice point to the next.
    """

    coefficients: Tensor
    variance: Tensor
    window: tuple[int, int, int]

    @classmethod
    def fit(
        cls,
        atlas: Tensor,
        image: Tensor,
        weight: Tensor,
        window: tuple[int, int, int],
        *,
        order: int,
        ridge: float,
    ) -> Contrast:
        """Fit polynomials.

        Parameters
        ----------
        atlas, image, weight : [z, y, x]
            The deformed atlas (about −1 to 1), the image, and how much each voxel counts (0 to 1).
        window : (z, y, x) int
            Voxels; one as large as the image makes the contrast global.
        order : int
            Of the polynomial.
        ridge : float
            Belief in the fit of the whole image: 1 counts as much as a window full of weight.
        """
        powers = [weight]
        for _ in range(2 * order):
            powers.append(powers[-1] * atlas)
        seen = [power * image for power in powers[: order + 1]]
        fine = torch.stack([*powers, *seen, seen[0] * image])
        whole = fine.flatten(1).sum(dim=1, dtype=torch.float64)
        whole = whole / whole[0].clamp(min=_SINGULAR)
        local = _in_windows(fine, window).double().permute(1, 2, 3, 0)
        h, b, square = _normal_equations(local, order)
        h0, b0, square0 = _normal_equations(whole, order)
        unit = torch.eye(order + 1, dtype=torch.float64, device=atlas.device)
        everywhere = torch.linalg.solve(h0 + _SINGULAR * unit, b0)
        pull = ridge * h0 + _SINGULAR * unit
        solved = torch.linalg.solve(h + pull, (b + pull @ everywhere)[..., None])[..., 0]
        error = square - 2 * (b * solved).sum(-1) + torch.einsum("...i,...ij,...j", solved, h, solved)
        error0 = square0 - 2 * b0 @ everywhere + everywhere @ h0 @ everywhere
        variance = (error.clamp(min=0) + _BELIEF_IN_SCATTER * error0.clamp(min=0)) / (
            h[..., 0, 0] + _BELIEF_IN_SCATTER
        )
        return cls(solved.permute(3, 0, 1, 2).to(atlas.dtype), variance.to(atlas.dtype), window)

    def at(self, atlas: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The expected image, its derivative by the atlas, and the variance of what is seen: [z, y, x] each."""
        fields = torch.cat([self.coefficients, self.variance[None]])
        size = [n * w for n, w in zip(fields.shape[1:], self.window, strict=True)]
        z, y, x = atlas.shape
        c = interpolate(fields[None], size=size, mode="trilinear", align_corners=False)[0, :, :z, :y, :x]
        order = len(c) - 2
        value, slope = c[order], torch.zeros_like(atlas)
        for k in range(order - 1, -1, -1):
            slope = slope * atlas + value
            value = value * atlas + c[k]
        return value, slope, c[-1]


def _normal_equations(moments: Tensor, order: int) -> tuple[Tensor, Tensor, Tensor]:
    """Matrix [..., n, n], right side [..., n] and Σ J² [...] from moments [..., 3 order + 3]."""
    n = order + 1
    powers = torch.arange(n, device=moments.device)
    index = powers[:, None] + powers
    return moments[..., index], moments[..., 2 * order + 1 : 2 * order + 1 + n], moments[..., -1]


def _in_windows(fields: Tensor, window: tuple[int, int, int]) -> Tensor:
    """Means of fields [c, z, y, x] in windows of twice the lattice's step, weighted 1 : 2 : 1; 0 outside."""
    rest = [(-n) % w for n, w in zip(fields.shape[1:], window, strict=True)]
    blocks = avg_pool3d(pad(fields, (0, rest[2], 0, rest[1], 0, rest[0]))[None], window)[0][:, None]
    weights = torch.tensor([0.25, 0.5, 0.25], dtype=fields.dtype, device=fields.device)
    for axis in range(3):
        kernel = weights.reshape([1, 1, *[3 if i == axis else 1 for i in range(3)]])
        blocks = conv3d(blocks, kernel, padding=[1 if i == axis else 0 for i in range(3)])
    return blocks[:, 0]
