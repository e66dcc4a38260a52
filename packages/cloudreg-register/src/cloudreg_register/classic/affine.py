"""Classic affine: the original's Gauss-Newton step of A⁻¹, and the nearest map of the kind that is allowed."""

from __future__ import annotations

import torch
from torch import Tensor

from cloudreg_register.classic.flow import image_gradient
from cloudreg_register.lddmm.affine import AffineMode
from cloudreg_register.lddmm.coordinates import Coordinates

_SINGULAR = 1e-9


def inverse_step(expected: Tensor, error: Tensor, weight: Tensor, affine: Tensor, on: Coordinates) -> Tensor:
    """The step [3, 4] by which A⁻¹ should become smaller, in float64.

    Parameters
    ----------
    expected, error : [z, y, x]
        The image expected of the atlas, and the same less the sample.
    weight : [z, y, x]
    affine : [4, 4]
    on : Coordinates
        Of the sample.
    """
    length = max(on.grid.extent) / 2  # positions in it, so that no column is thousands of times another
    slope = image_gradient(expected, on).reshape(3, -1)
    slope = affine[:3, :3].T.to(slope) @ slope
    ones = torch.eye(4, dtype=torch.float64)
    positions = on.mapped(ones).reshape(-1, 3).T / length
    columns = [h * y for h in slope for y in (*positions, torch.ones_like(positions[0]))]
    basis = torch.stack(columns)
    flat = weight.flatten()
    matrix = ((basis * flat) @ basis.T).double().cpu()
    right = (basis @ (flat * error.flatten())).double().cpu()
    ridge = torch.diag(_SINGULAR * matrix.diagonal() + 1e-30)
    step = torch.linalg.solve(matrix + ridge, right).reshape(3, 4)
    scaled: Tensor = step / torch.tensor([length, length, length, 1.0], dtype=torch.float64)
    return scaled


def projected(affine: Tensor, scale: Tensor, mode: AffineMode) -> Tensor:
    """The nearest map [4, 4] of a kind.

    Parameters
    ----------
    affine : [4, 4]
    scale : [3]
        Of the atlas's axes in the start.
    mode : AffineMode
        Rigid and fixed-scale are a rotation times `scale`; a similarity may make that larger or smaller as a
        whole, to the geometric mean of the singular values; affine leaves the map as it is.
    """
    if mode is AffineMode.AFFINE:
        return affine
    u, values, v = torch.linalg.svd(affine[:3, :3])
    if mode is AffineMode.SIMILARITY:
        scale = scale * (values.log().mean() - scale.log().mean()).exp()
    result = affine.clone()
    result[:3, :3] = (u @ v) * scale
    return result


def scale_of(start: Tensor) -> Tensor:
    """The scale [3] of the atlas's axes in a start: it stays, as `fixed_scale` always did."""
    lengths: Tensor = start[:3, :3].norm(dim=0)
    return lengths
