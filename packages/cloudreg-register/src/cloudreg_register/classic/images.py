"""Classic images: atlas and sample prepared as the original prepares them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cloudreg_io.space import Grid
from cloudreg_register.images.image import Image
from cloudreg_register.lddmm.coordinates import Coordinates
from cloudreg_register.lddmm.levels import default_resolution, unit_length
from cloudreg_register.lddmm.options import RegisterOptions
from cloudreg_register.lddmm.problem import flattened
from cloudreg_register.lddmm.regulariser import fft_size
from cloudreg_register.preparation.brightness import standardised
from cloudreg_register.preparation.illumination import logarithm
from cloudreg_register.preparation.missing_data import imaged_weights

MARGIN = 2.0  # units of nothing around the atlas: two widths of the kernel
_QUANTILES = (0.1, 0.9)


@dataclass(frozen=True, slots=True, eq=False)
class ClassicImages:
    """What is registered.

    Attributes
    ----------
    atlas : [z, y, x]
        With a margin of nothing; mean 0, standard deviation 1.
    sample, imaged : [z, y, x]
        Mean 0 and standard deviation 1 over what was imaged; 0 or 1.
    on_atlas, on_sample : Coordinates
        Centred.
    unit : float
        Of length, in µm.
    """

    atlas: Tensor
    sample: Tensor
    imaged: Tensor
    on_atlas: Coordinates
    on_sample: Coordinates
    unit: float

    @classmethod
    def of(cls, target: Image, atlas: Image, options: RegisterOptions, device: torch.device) -> ClassicImages:
        """Prepare two images at any voxel size."""
        unit = unit_length(atlas.mip0)
        resolution = options.resolution or default_resolution(atlas.mip0)
        target, atlas = target.resampled(resolution), atlas.resampled(resolution)
        seen = np.asarray(target.array, np.float32)
        imaged = imaged_weights(seen) if options.missing_data else np.ones(seen.shape, np.float32)
        seen = flattened(seen, imaged, target.grid.spacing, unit, options)
        padded, grid = _padded(np.asarray(atlas.array, np.float32), atlas.centred_grid, unit)
        return cls(
            torch.from_numpy(standardised(padded, np.ones_like(padded))).to(device),
            torch.from_numpy(_power_law(seen, imaged)).to(device),
            torch.from_numpy(imaged).to(device),
            Coordinates(grid, device=device),
            Coordinates(target.centred_grid, device=device),
            unit,
        )

    def quantiles(self, image: Tensor, imaged: Tensor | None = None) -> tuple[float, float]:
        """Two quantiles of an image, over what was imaged."""
        values = (image if imaged is None else image[imaged > 0]).flatten()
        low, high = np.quantile(values[:: max(1, values.numel() // 1_000_000)].cpu().numpy(), _QUANTILES)
        return float(low), float(high)


def _power_law(seen: NDArray[np.float32], imaged: NDArray[np.float32]) -> NDArray[np.float32]:
    """Brightness to the power at which its logarithm has a standard deviation of 1, standardised."""
    values, _ = logarithm(seen, imaged)
    return standardised(np.exp(standardised(values.numpy(), imaged)), imaged)


def _padded(array: NDArray[np.float32], grid: Grid, unit: float) -> tuple[NDArray[np.float32], Grid]:
    """An atlas with its darkest value around it, on a grid of lengths that are quick to transform."""
    margins = [math.ceil(MARGIN * unit / step) for step in grid.spacing]
    size = [fft_size(n + 2 * m) for n, m in zip(grid.size, margins, strict=True)]
    ends = [(m, total - n - m) for n, m, total in zip(grid.size, margins, size, strict=True)]
    origin = [o - m * s for o, m, s in zip(grid.origin, margins, grid.spacing, strict=True)]
    padded = np.pad(array, ends[::-1], constant_values=float(array.min()))
    return padded, Grid((size[0], size[1], size[2]), grid.spacing, (origin[0], origin[1], origin[2]))
