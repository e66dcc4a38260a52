"""Affine: the linear part of the map, by Gauss-Newton steps within the kinds of map that are allowed.

A step multiplies A on the side of the atlas: A ← A exp(Σ b_k G_k), with generators G_k of the kind of map. So a
rigid map stays rigid to rounding, and a scale that was given stays as it is.
"""

from __future__ import annotations

from enum import StrEnum

import torch
from torch import Tensor

from cloudreg_register.lddmm.coordinates import Coordinates


class AffineMode(StrEnum):
    """What the affine map may do beyond its start."""

    RIGID = "rigid"
    SIMILARITY = "similarity"
    AFFINE = "affine"
    FIXED_SCALE = "fixed-scale"


def generators(mode: AffineMode, radius: float) -> Tensor:
    """Generators [k, 4, 4], in units in which all move a point at `radius` (µm) by about 1 µm."""
    made = [_entries((axis, 3, 1.0)) for axis in range(3)]
    if mode is AffineMode.AFFINE:
        made += [_entries((i, j, 1 / radius)) for i in range(3) for j in range(3)]
        return torch.stack(made)
    made += [_entries((i, j, -1 / radius), (j, i, 1 / radius)) for i, j in ((0, 1), (1, 2), (2, 0))]
    if mode is AffineMode.SIMILARITY:
        made.append(_entries(*[(i, i, 1 / radius) for i in range(3)]))
    return torch.stack(made)


def generated_fields(on: Coordinates, made: Tensor) -> Tensor:
    """The vector fields of generators: [k, 3, z, y, x] in µm."""
    return torch.stack([on.mapped(generator).permute(3, 0, 1, 2) for generator in made]).contiguous()


def gradient(made: Tensor, force: Tensor, positions: Tensor) -> Tensor:
    """Derivatives of the energy by the parameters b of a step, float64 [k].

    Parameters
    ----------
    made : [k, 4, 4]
    force : [..., 3]
        Derivative of the energy by each sample's position in the atlas.
    positions : [..., 3]
        Of the samples in the atlas, in µm.
    """
    flat, at = force.reshape(-1, 3), positions.reshape(-1, 3)
    linear = (flat.T @ at).double()
    moments = torch.cat([linear, flat.sum(dim=0, dtype=torch.float64)[:, None]], dim=1)
    # positions in the atlas are A⁻¹ y: a step of A moves them the other way
    return -(made[:, :3, :] * moments.to(made.device)).sum(dim=(1, 2))


def stepped(affine: Tensor, made: Tensor, step: Tensor) -> Tensor:
    """The affine map [4, 4] after a step [k]."""
    moved: Tensor = affine @ torch.linalg.matrix_exp(torch.einsum("k,kij->ij", step, made))
    return moved


def _entries(*entries: tuple[int, int, float]) -> Tensor:
    matrix = torch.zeros(4, 4, dtype=torch.float64)
    for i, j, value in entries:
        matrix[i, j] = value
    return matrix
