"""Problem: an atlas and a sample made ready, and the objective of each level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool3d

from cloudreg_io.space import Grid, vector3
from cloudreg_register.images.image import Image
from cloudreg_register.lddmm.affine import AffineMode
from cloudreg_register.lddmm.coordinates import CPU, Coordinates
from cloudreg_register.lddmm.landmark_term import LandmarkTerm
from cloudreg_register.lddmm.levels import Level, default_resolution, unit_length, velocity_grid
from cloudreg_register.lddmm.objective import Map, Objective, make_generators
from cloudreg_register.lddmm.options import RegisterOptions
from cloudreg_register.lddmm.regulariser import Regulariser
from cloudreg_register.preparation.brightness import compressed, stretched
from cloudreg_register.preparation.grid_correction import without_grid
from cloudreg_register.preparation.illumination import evenly_lit
from cloudreg_register.preparation.missing_data import imaged_weights

_REGULARIZATION = 4.0
_POWER = 4.0  # of (id − a² Δ): twice 2, as of Tward et al.
_SUBSTEPS = 5
_RIDGE = 0.01
_CURVATURE_VOXELS = 2  # gathered as one where voxels are finer than the velocity


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """What is registered, at the finest level.

    Attributes
    ----------
    atlas, sample, imaged : [z, y, x]
        Prepared intensities, and weights from 0 to 1.
    atlas_grid, sample_grid : Grid
        Centred.
    options : RegisterOptions
    dtype : torch.dtype
    device : torch.device
    landmarks : LandmarkTerm or None
    """

    atlas: Tensor
    sample: Tensor
    imaged: Tensor
    atlas_grid: Grid
    sample_grid: Grid
    options: RegisterOptions
    dtype: torch.dtype = torch.float32
    device: torch.device = CPU
    landmarks: LandmarkTerm | None = None

    @classmethod
    def of(
        cls,
        target: Image,
        atlas: Image,
        options: RegisterOptions,
        *,
        device: torch.device = CPU,
        dtype: torch.dtype = torch.float32,
        landmarks: LandmarkTerm | None = None,
    ) -> Problem:
        """Prepare two images at any voxel size."""
        resolution = options.resolution or default_resolution(atlas.mip0)
        target, atlas = target.resampled(resolution), atlas.resampled(resolution)
        seen = np.asarray(target.array, np.float32)
        imaged = imaged_weights(seen) if options.missing_data else np.ones(seen.shape, np.float32)
        seen = flattened(seen, imaged, target.grid.spacing, unit_length(atlas.mip0), options)
        return cls(
            _tensor(stretched(np.asarray(atlas.array, np.float32)), dtype, device),
            _tensor(compressed(seen, imaged), dtype, device),
            _tensor(imaged, dtype, device),
            atlas.centred_grid,
            target.centred_grid,
            options,
            dtype,
            device,
            landmarks,
        )

    @property
    def resolution(self) -> float:
        """The voxel size of the finest level, in µm: images coarser than wanted stay as they are."""
        return min(self.sample_grid.spacing)

    def objective(self, level: Level) -> Objective:
        """The objective of a level."""
        sample, on_sample = self._sample(level.factor)
        imaged, _ = _reduced(self.imaged, self.sample_grid, level.factor)
        atlas, atlas_grid = _with_border(*_reduced(self.atlas, self.atlas_grid, level.factor))
        unit = unit_length(self.atlas_grid)
        on_velocity = self._coordinates(velocity_grid(self.atlas_grid, level.velocity_spacing))
        strength = self.options.regularization or _REGULARIZATION
        weight = on_velocity.sample_volume / unit**5 / strength**2
        generators, fields = make_generators(self.options.mode or AffineMode.AFFINE, on_velocity)
        coarse = min(on_velocity.grid.spacing) > 1.5 * max(on_sample.grid.spacing)
        return Objective(
            atlas=atlas,
            sample=sample,
            imaged=imaged,
            on_atlas=self._coordinates(atlas_grid),
            on_sample=on_sample,
            on_velocity=on_velocity,
            regulariser=Regulariser(on_velocity, unit, _POWER, weight),
            generators=generators,
            fields=fields,
            per_voxel=on_sample.sample_volume / unit**3,
            window=self._window(level, on_sample.grid),
            order=self.options.contrast_order,
            ridge=_RIDGE,
            scatter=level.scatter,
            substeps=_SUBSTEPS,
            gathered=_CURVATURE_VOXELS if coarse else 1,
            landmarks=self.landmarks,
        )

    def brought(self, at: Map, before: Grid | None, level: Level) -> Map:
        """A map from the velocity's grid at one level (None: there is no velocity yet) to that of another."""
        onto = self._coordinates(velocity_grid(self.atlas_grid, level.velocity_spacing))
        if before is None:
            return Map(torch.zeros((1, 3, *onto.shape), dtype=self.dtype, device=self.device), at.affine)
        if before == onto.grid:
            return at
        from_grid = self._coordinates(before)
        return Map(torch.stack([from_grid.resampled(part, onto) for part in at.velocity]), at.affine)

    def _sample(self, factor: int) -> tuple[Tensor, Coordinates]:
        """The sample at a level: means over what was imaged."""
        seen, grid = _reduced(self.sample * self.imaged, self.sample_grid, factor)
        imaged, _ = _reduced(self.imaged, self.sample_grid, factor)
        return seen / imaged.clamp(min=1e-6) * (imaged > 0), self._coordinates(grid)

    def _coordinates(self, grid: Grid) -> Coordinates:
        return Coordinates(grid, self.dtype, self.device)

    def _window(self, level: Level, grid: Grid) -> tuple[int, int, int]:
        if not self.options.local_contrast:
            z, y, x = grid.shape
            return z, y, x
        edge = level.window * max(grid.spacing)
        x, y, z = (max(1, round(edge / spacing)) for spacing in grid.spacing)
        return z, y, x


def flattened(
    seen: NDArray[np.float32],
    imaged: NDArray[np.float32],
    spacing: Sequence[float],
    unit: float,
    options: RegisterOptions,
) -> NDArray[np.float32]:
    """A sample [z, y, x] after the corrections that the options ask for."""
    if options.grid_correction:
        seen = without_grid(seen, imaged, spacing, unit)
    if options.bias_correction:
        seen = evenly_lit(seen, imaged, spacing, unit)
    return seen


def _reduced(field: Tensor, grid: Grid, factor: int) -> tuple[Tensor, Grid]:
    """Block means over `factor` voxels along each axis; a rest at the far side is left out."""
    if factor == 1:
        return field, grid
    size = [n // factor for n in grid.size]
    spacing = [s * factor for s in grid.spacing]
    reduced = avg_pool3d(field[None, None], factor)[0, 0]
    return reduced, grid.with_spacing(vector3(spacing), size)


def _with_border(field: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
    """An atlas with one sample of its darkest value all around: outside of it, there is nothing."""
    padded = torch.nn.functional.pad(field, (1,) * 6, value=float(field.min()))
    size = [n + 2 for n in grid.size]
    origin = [o - s for o, s in zip(grid.origin, grid.spacing, strict=True)]
    return padded, Grid((size[0], size[1], size[2]), grid.spacing, (origin[0], origin[1], origin[2]))


def _tensor(array: NDArray[np.float32], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device, dtype)
