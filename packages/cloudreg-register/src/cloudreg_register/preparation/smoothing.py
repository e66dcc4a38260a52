"""Smoothing: weighted Gaussian means of a field.

Normalised convolution: both the field times its weight and the weight are smoothed, and their ratio is the mean of
what is known nearby. So neither the border of a volume nor a hole in it pulls the result towards 0, and nothing
wraps around (Knutsson and Westin, CVPR 1993).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d, conv3d, interpolate, pad

_REACH = 3.0  # standard deviations
_SAMPLES_PER_SIGMA = 3  # of the coarse grid on which wide kernels are applied
_LEAST = 1e-6


def smoothed(field: Tensor, weight: Tensor, sigma: Sequence[float]) -> Tensor:
    """Gaussian means of a field.

    Parameters
    ----------
    field, weight : [z, y, x]
        Weights are not negative.
    sigma : (z, y, x) float
        Standard deviations in samples; 0 leaves an axis as it is.

    Returns
    -------
    [z, y, x]
        Where there is no weight within reach: 0.
    """
    shape = field.shape
    factors = [max(1, int(s / _SAMPLES_PER_SIGMA)) for s in sigma]
    both = torch.stack([field * weight, weight])
    rest = [(-n) % f for n, f in zip(shape, factors, strict=True)]
    both = avg_pool3d(pad(both, (0, rest[2], 0, rest[1], 0, rest[0]))[None], factors)[0][:, None]
    for axis, (s, factor) in enumerate(zip(sigma, factors, strict=True)):
        both = _convolved(both, s / factor, axis)
    mean = both[0] / both[1].clamp(min=_LEAST)
    size = [n * f for n, f in zip(mean.shape[1:], factors, strict=True)]
    z, y, x = shape
    return interpolate(mean[None], size=size, mode="trilinear", align_corners=False)[0, 0, :z, :y, :x]


def _convolved(fields: Tensor, sigma: float, axis: int) -> Tensor:
    """Fields [c, 1, z, y, x] after a Gaussian along one axis; 0 outside."""
    reach = math.ceil(_REACH * sigma)
    if not reach:
        return fields
    at = torch.arange(-reach, reach + 1, dtype=fields.dtype, device=fields.device)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = (kernel / kernel.sum()).reshape([1, 1, *[-1 if i == axis else 1 for i in range(3)]])
    return conv3d(fields, kernel, padding=[reach if i == axis else 0 for i in range(3)])
