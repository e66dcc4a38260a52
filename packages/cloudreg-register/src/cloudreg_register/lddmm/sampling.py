"""Sampling: values of a field between its samples, and the adjoint of that.

Positions are kept in torch's normalised coordinates (−1 at the first sample of an axis, 1 at the last), last
dimension x, y, z, since every trilinear look-up needs them in that form. Outside of the grid the nearest sample
counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

_BILINEAR, _NEAREST, _BORDER = 0, 1, 1  # how aten numbers its modes


def identity(shape: Sequence[int], like: Tensor) -> Tensor:
    """Normalised positions [z, y, x, 3] of the samples of a grid of `shape` [z, y, x]; shared: do not write."""
    return _identity(tuple(int(n) for n in shape), like.dtype, like.device)


@lru_cache(maxsize=16)
def _identity(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    like = torch.zeros(1, dtype=dtype, device=device)
    axes = [torch.linspace(-1, 1, n, dtype=dtype, device=device) if n > 1 else like for n in shape]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([x, y, z], dim=-1)


def to_normalised(vectors: Tensor, spacing: Sequence[float]) -> Tensor:
    """Displacements [3, z, y, x] in µm as differences of normalised positions [z, y, x, 3] of the same grid."""
    return vectors.permute(1, 2, 3, 0) * normaliser(vectors.shape[1:], spacing, vectors)


def normaliser(shape: Sequence[int], spacing: Sequence[float], like: Tensor) -> Tensor:
    """Normalised units per µm along x, y, z on a grid of `shape` [z, y, x]."""
    factors = [2 / (max(n - 1, 1) * step) for n, step in zip(reversed(tuple(shape)), spacing, strict=True)]
    return torch.tensor(factors, dtype=like.dtype, device=like.device)


def sample(field: Tensor, positions: Tensor, *, nearest: bool = False) -> Tensor:
    """Trilinear (or nearest) values of a field.

    Parameters
    ----------
    field : [c, z, y, x]
    positions : [..., 3], three-dimensional before the last
        Normalised, x, y, z.

    Returns
    -------
    [c, ...]
    """
    mode = _NEAREST if nearest else _BILINEAR
    return torch.grid_sampler_3d(field[None], positions[None], mode, _BORDER, True)[0]


def sample_adjoint(
    weights: Tensor, field: Tensor, positions: Tensor, *, of_field: bool, of_positions: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Derivatives of Σ weights · sample(field, positions).

    Parameters
    ----------
    weights : [c, ...]
    field, positions
        As given to `sample`.
    of_field, of_positions : bool
        Which are wanted; the others are None.

    Returns
    -------
    [c, z, y, x] and [..., 3]
    """
    by_field, by_positions = torch.ops.aten.grid_sampler_3d_backward(
        weights[None].contiguous(),
        field[None],
        positions[None],
        _BILINEAR,
        _BORDER,
        True,
        [of_field, of_positions],
    )
    return (by_field[0] if of_field else None), (by_positions[0] if of_positions else None)
