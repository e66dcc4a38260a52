"""Bias: what the sample does to the light, slowly and in 3-D, estimated on a small copy of the whole volume.

The estimate is N4 (Tustison et al., "N4ITK: Improved N3 Bias Correction", IEEE Trans. Med. Imaging 29(6), 2010) as
SimpleITK has it. Its B-spline is evaluated where it is wanted, so nothing is extrapolated by an interpolation
and no rim turns black; outside the tissue, where N4 knows nothing, the field keeps to the range inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.fields import Bias
from cloudreg_io.run import Run, Shared, Unit, digest
from cloudreg_io.space.grid import Grid

Float32 = NDArray[np.float32]

# N4 sees at most about this many samples along an axis: the field is far smoother than that
_LARGEST_AXIS = 48
_STAND_IN = 4  # voxels
_LEAST_TISSUE = 100  # samples
_SMALLEST_FIELD, _LARGEST_FIELD = 0.2, 5.0


@dataclass(frozen=True, slots=True)
class BiasOptions:
    """What the user decides about the bias.

    Attributes
    ----------
    iterations : tuple of int
        Of N4, for each level of its spline.
    shrink : int, optional
        N4 works on every `shrink`-th block of the volume; by default so that no axis has more than 48.
    """

    iterations: tuple[int, ...] = (50, 50, 50, 50)
    shrink: int | None = None


def estimate_bias(
    volume: NDArray[Any],
    *,
    mask: NDArray[np.bool_] | None = None,
    shrink: int | None = None,
    iterations: Sequence[int] = (50, 50, 50, 50),
) -> Float32:
    """Estimate the bias field of a volume.

    Parameters
    ----------
    volume : [z, y, x]
        Best at a low mip, background subtracted.
    mask : [z, y, x] bool, optional
        Tissue; by default what Otsu's threshold separates.
    shrink : int, optional
        N4 works on block means of so many voxels a side; by default so that no axis has more than 48.
    iterations : sequence of int
        For each level of the spline.

    Returns
    -------
    field : [z, y, x] float32
        Divisor, mean 1 inside the mask, positive everywhere.

    Raises
    ------
    InputError
        Not 3-D, not finite, of another shape than its mask, or without tissue.
    """
    volume, tissue = _checked(volume, mask)
    factor = shrink or shrink_of(volume.shape)
    field = _n4(shrunken(volume, factor), shrunken(tissue, factor) > 0.5, iterations, volume.shape, factor)
    return _tamed(field, tissue)


def shrink_of(shape: Sequence[int]) -> int:
    """The default `shrink` for a volume of this shape."""
    return max(1, -(-max(shape) // _LARGEST_AXIS))


def bias_stage(
    run: Run,
    overview: NDArray[Any],
    grid: Grid,
    channel: str,
    *,
    mask: NDArray[np.bool_] | None = None,
    options: BiasOptions | None = None,
) -> Path:
    """Estimate the bias of a channel from a small copy of its volume, into `OUT/bias/<channel>.tif`.

    Parameters
    ----------
    run : Run
    overview : [z, y, x]
        The small copy.
    grid : Grid
        Where its samples lie, in the frame of the fused volume.
    channel : str
    mask : [z, y, x] bool, optional
        What tiles cover; tissue is looked for in it.
    options : BiasOptions

    Returns
    -------
    Path
        For `Bias.load`.
    """
    options = options or BiasOptions()
    path = run.out / "bias" / f"{channel}.tif"
    covered = np.ones(overview.shape, bool) if mask is None else mask
    inputs = run.share(f"bias {channel}", _Inputs(np.asarray(overview, np.float32), covered, grid, options, path))
    keyed = {
        "iterations": list(options.iterations),
        "shrink": options.shrink,
        "grid": digest(grid.to_json()),
        "overview": _digest(overview, covered),
    }
    outputs = [f"bias/{channel}.tif", f"bias/{channel}.json"]
    run.stage("bias", _estimate, [Unit("all", inputs)], channel=channel, options=keyed, outputs=outputs)
    return path


@dataclass(frozen=True, slots=True, eq=False)
class _Inputs:
    overview: Float32
    covered: NDArray[np.bool_]
    grid: Grid
    options: BiasOptions
    path: Path


def _estimate(task: Shared[_Inputs]) -> dict[str, float]:
    inputs = task.get()
    tissue = tissue_mask(inputs.overview, inputs.covered)
    factor = inputs.options.shrink or shrink_of(inputs.overview.shape)
    # the field is smooth: it is kept where N4 worked, and interpolated when it is applied
    small, inside = shrunken(inputs.overview, factor), shrunken(tissue, factor) > 0.5
    _require_tissue(inside)
    field = _tamed(_n4(small, inside, inputs.options.iterations, small.shape, 1), inside)
    Bias(field, coarser(inputs.grid, factor, small.shape)).save(inputs.path)
    return {"lowest": float(field.min()), "highest": float(field.max()), "tissue": float(inside.mean())}


def coarser(grid: Grid, factor: int, shape: Sequence[int]) -> Grid:
    """The grid of block means of `factor` samples a side, [z, y, x] of `shape`."""
    x, y, z = (origin + (factor - 1) / 2 * step for origin, step in zip(grid.origin, grid.spacing, strict=True))
    sx, sy, sz = (factor * step for step in grid.spacing)
    return Grid((shape[2], shape[1], shape[0]), (sx, sy, sz), (x, y, z))


def shrunken(volume: NDArray[Any], factor: int) -> Float32:
    """Means of blocks of `factor` voxels a side; a rest at the far side makes smaller blocks of its own."""
    means = np.asarray(volume, np.float32)
    for axis in range(3):
        starts = np.arange(0, means.shape[axis], factor)
        sizes = np.diff(np.append(starts, means.shape[axis]))
        shape = [-1 if a == axis else 1 for a in range(3)]
        sums = np.add.reduceat(means, starts, axis=axis)
        means = np.asarray(sums / sizes.reshape(shape), np.float32)
    return means


def tissue_mask(volume: NDArray[Any], covered: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """What Otsu's threshold on the logarithm takes for tissue, among the voxels that are covered."""
    import SimpleITK as sitk

    known = np.ones(volume.shape, bool) if covered is None else covered
    level = np.log(np.maximum(np.asarray(volume, np.float32), 1))
    if not known.any() or np.ptp(level[known]) == 0:
        raise InputError(
            "no tissue: the volume is constant",
            why="every tile is empty, or the background was set too high",
            fix="leave the bias out: --no-bias",
        )
    otsu = sitk.OtsuThresholdImageFilter()
    otsu.Execute(sitk.GetImageFromArray(level[known][None]))
    mask: NDArray[np.bool_] = known & (level > otsu.GetThreshold())
    return mask


def _checked(volume: NDArray[Any], mask: NDArray[np.bool_] | None) -> tuple[Float32, NDArray[np.bool_]]:
    volume = np.asarray(volume, np.float32)
    if volume.ndim != 3:
        raise InputError(f"a bias is estimated on a volume [z, y, x], not on {volume.ndim} axes")
    if not np.isfinite(volume).all():
        raise InputError("the volume holds NaN or infinite values")
    if mask is not None and mask.shape != volume.shape:
        raise InputError(f"the mask is {list(mask.shape)}, the volume {list(volume.shape)} [z, y, x]")
    tissue = tissue_mask(volume) if mask is None else np.asarray(mask, bool)
    _require_tissue(tissue)
    return volume, tissue


def _require_tissue(tissue: NDArray[np.bool_]) -> None:
    if tissue.sum() < _LEAST_TISSUE:
        raise InputError(
            f"only {int(tissue.sum())} voxels of tissue: too few for a bias field",
            fix="leave the bias out, or give a mask",
        )


def _n4(
    small: Float32, inside: NDArray[np.bool_], iterations: Sequence[int], shape: Sequence[int], factor: int
) -> Float32:
    """N4 on block means; its field at the voxels of the full `shape` [z, y, x]."""
    import SimpleITK as sitk

    _require_tissue(inside)
    flat = [n == 1 for n in small.shape]
    if any(flat):
        # N4's spline needs an extent along each axis: a few equal planes stand for a single one
        repeats = [_STAND_IN if single else 1 for single in flat]
        small, inside = np.tile(small, repeats), np.tile(inside, repeats)
        deep = [max(n, _STAND_IN * factor) if single else n for n, single in zip(shape, flat, strict=True)]
        field = _n4(small, inside, iterations, deep, factor)
        return np.ascontiguousarray(field[tuple(slice(n) for n in shape)])
    image = _image(np.maximum(small, np.float32(1e-3)), factor)
    filter_ = sitk.N4BiasFieldCorrectionImageFilter()
    # one thread: the same bytes whatever machine and --jobs
    filter_.SetNumberOfThreads(1)
    filter_.SetMaximumNumberOfIterations([int(n) for n in iterations])
    filter_.SetConvergenceThreshold(0.001)
    filter_.Execute(image, _image(inside.astype(np.uint8), factor))
    reference = sitk.Image([int(n) for n in reversed(shape)], sitk.sitkFloat32)
    log_field = sitk.GetArrayFromImage(filter_.GetLogBiasFieldAsImage(reference))
    return np.exp(np.asarray(log_field, np.float32))


def _image(array: NDArray[Any], factor: int) -> Any:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(array)
    image.SetSpacing([float(factor)] * 3)
    # a block's mean lies at its centre, not at its first voxel
    image.SetOrigin([(factor - 1) / 2] * 3)
    return image


def _tamed(field: Float32, tissue: NDArray[np.bool_]) -> Float32:
    """Mean 1 in the tissue; elsewhere no farther from 1 than in the tissue."""
    field = field / np.float32(field[tissue].mean(dtype=np.float64))
    low, high = float(field[tissue].min()), float(field[tissue].max())
    bounded = np.clip(field, max(low, _SMALLEST_FIELD), min(high, _LARGEST_FIELD))
    return np.asarray(bounded / bounded[tissue].mean(dtype=np.float64), np.float32)


def _digest(*arrays: NDArray[Any]) -> str:
    import hashlib

    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()[:16]
