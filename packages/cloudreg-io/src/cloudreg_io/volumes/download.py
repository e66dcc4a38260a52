"""Download: a volume, or a box of it, at a wanted voxel size, as one 3-D file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cloudreg_io.console import memory_bytes
from cloudreg_io.errors import InputError, ToolError
from cloudreg_io.files.image import suffix_of, write_image
from cloudreg_io.files.location import Location
from cloudreg_io.space import Bounds, Grid, Vector3i, VoxelSize, resample
from cloudreg_io.volumes.volume import Volume, open_volume

# Measured peaks over the voxels read: chunks, cutout and file buffer (about 2.5); resampling holds two passes.
_READ_FACTOR = 3.0


@dataclass(frozen=True, slots=True)
class DownloadReport:
    """What was written.

    Attributes
    ----------
    file : Path
    mip : int
        The level that was read.
    voxel_size : VoxelSize
        Of the file, in µm.
    size : (x, y, z) int
        Of the file, in voxels.
    origin : (x, y, z) float
        Position of its voxel 0 in the volume, in µm; not in the file, whose header has the spacing only.
    """

    file: Path
    mip: int
    voxel_size: VoxelSize
    size: Vector3i
    origin: tuple[float, float, float]

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "file": str(self.file),
            "mip": self.mip,
            "voxel_size_um": list(self.voxel_size),
            "size": list(self.size),
            "origin_um": list(self.origin),
        }


def download(
    url: str | Path | Location,
    file: Path | str,
    *,
    voxel_size: float | Sequence[float] | VoxelSize,
    isotropic: bool = False,
    bounds: Bounds | None = None,
    memory: int | None = None,
    overwrite: bool = False,
) -> DownloadReport:
    """Write a volume to a 3-D file at about a voxel size.

    Parameters
    ----------
    url : str, Path or Location
        Of a precomputed volume, local or in S3.
    file : Path
        `.tif`, `.tiff`, `.nrrd`, `.nii` or `.nii.gz`; its header gets the spacing.
    voxel_size : float or (x, y, z) float
        In µm. The coarsest mip whose voxels are no larger is taken as it is.
    isotropic : bool
        Resample to voxels of exactly `voxel_size`: images linearly, with a low-pass filter where voxels grow;
        labels by the nearest voxel only.
    bounds : Bounds, optional
        A box in mip-0 voxels; widened to whole voxels of the mip. By default everything.
    memory : int, optional
        Bytes that may be used; by default half of this machine's.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    NotFoundError, InputError
        There is no such volume, its data are damaged, the suffix is unknown, the box misses the volume, or the
        file exists.
    ToolError
        The volume does not fit into the memory.
    """
    file = Path(file)
    suffix_of(file)
    if file.exists() and not overwrite:
        raise InputError(f"{file} exists", fix="add --overwrite to replace it")
    volume = open_volume(url)
    mip, _ = volume.mip_at(voxel_size)
    box = _box(volume, mip, bounds)
    grid = volume.grid(mip).crop(box.translate([-o for o in volume.bounds(mip).lower]))
    onto = grid.with_spacing(_edges(voxel_size)) if isotropic else grid
    labels = volume.spec.layer == "segmentation"
    _require_memory(volume, grid, onto, labels, memory)
    array = volume.read(box, mip)
    if onto != grid:
        # the last voxel may reach beyond the volume: its centre then takes the value at the border
        array = resample(array, grid, onto, order=0 if labels else 1, outside=None, antialias=not labels)
    write_image(file, array, onto.voxel_size)
    return DownloadReport(file, mip, onto.voxel_size, onto.size, onto.origin)


def _edges(voxel_size: float | Sequence[float] | VoxelSize) -> VoxelSize:
    if isinstance(voxel_size, int | float):
        voxel_size = (voxel_size, voxel_size, voxel_size)
    return VoxelSize.of(voxel_size)


def _box(volume: Volume, mip: int, bounds: Bounds | None) -> Bounds:
    """The voxels of a mip that hold a box of mip-0 voxels."""
    whole = volume.bounds(mip)
    if bounds is None:
        return whole
    factors = volume.spec.mips[mip]
    lower = [low // f for low, f in zip(bounds.lower, factors, strict=True)]
    upper = [-(-up // f) for up, f in zip(bounds.upper, factors, strict=True)]
    box = Bounds.of_size([u - low for low, u in zip(lower, upper, strict=True)], lower).intersection(whole)
    if box.is_empty:
        inside = volume.bounds()
        raise InputError(
            f"bounds {bounds.lower}..{bounds.upper} miss the volume, whose mip 0 is {inside.lower}..{inside.upper}"
        )
    return box


def _require_memory(volume: Volume, grid: Grid, onto: Grid, labels: bool, memory: int | None) -> None:
    read, written = (int(np.prod(g.size)) * volume.dtype.itemsize for g in (grid, onto))
    needed = _READ_FACTOR * read
    if onto != grid:
        work = 1 if labels else max(1, 4 // volume.dtype.itemsize)
        needed += 2 * work * max(read, written)
    limit = memory or memory_bytes("")
    if needed > limit:
        raise ToolError(
            f"{volume.url} at {grid.voxel_size} is {' × '.join(map(str, grid.size))} voxels, which take about "
            f"{needed / 1e9:.2g} GB of memory; {limit / 1e9:.2g} GB may be used",
            fix="choose a larger --voxel-size, or a part by --bounds; or allow more by --memory",
        )
