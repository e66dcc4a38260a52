"""Download: a volume, or a box of it, at a wanted voxel size, as one 3-D file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudreg_io.errors import InputError
from cloudreg_io.files.image import suffix_of, write_image
from cloudreg_io.files.location import Location
from cloudreg_io.run.memory import VOLUMES, Budget, Need, machine_memory
from cloudreg_io.space import Bounds, Grid, Vector3i, VoxelSize, resample, vector3i
from cloudreg_io.volumes.volume import Volume, open_volume

# Measured: reading and writing peak at 1.0 to 2.4 times the bytes of the voxels.
_FACTOR = 2.5


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
        A box in mip-0 voxels, widened to whole voxels of the mip unless resampled. By default everything.
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
    wanted = _wanted(volume, bounds)
    edges = _edges(voxel_size) if isotropic else None
    box = _box_of_mip(volume, mip, wanted, edges)
    grid = volume.grid(mip, box)
    onto = grid if edges is None else volume.grid(0, wanted).with_spacing(edges)
    labels = volume.spec.layer == "segmentation"
    _require_memory(volume, grid, onto, memory)
    array = volume.read(box, mip)
    if onto != grid:
        # the last voxel may reach beyond the volume: its centre then takes the value at the border
        array = resample(array, grid, onto, order=0 if labels else 1, outside=None, antialias=not labels)
    write_image(file, array, onto.voxel_size)
    return DownloadReport(file, mip, onto.voxel_size, onto.size, onto.origin)


def _edges(voxel_size: float | Sequence[float] | VoxelSize) -> VoxelSize:
    return VoxelSize.of((voxel_size,) * 3 if isinstance(voxel_size, int | float) else voxel_size)


def _wanted(volume: Volume, bounds: Bounds | None) -> Bounds:
    """The box in voxels of mip 0."""
    whole = volume.bounds()
    bounds = whole if bounds is None else bounds
    box = bounds.intersection(whole)
    if box.is_empty:
        raise InputError(
            f"bounds {bounds.lower}..{bounds.upper} miss the volume, whose mip 0 is {whole.lower}..{whole.upper}",
            fix="--bounds X0 Y0 Z0 X1 Y1 Z1 inside of it",
        )
    return box


def _box_of_mip(volume: Volume, mip: int, wanted: Bounds, edges: VoxelSize | None) -> Bounds:
    """The voxels of a mip that hold a box of mip-0 voxels, and those around it that resampling looks at."""
    factors = volume.spec.mips[mip]
    margin = [0, 0, 0]
    if edges is not None:
        margin = [math.ceil(max(1.0, e / v)) for e, v in zip(edges, volume.voxel_size(mip), strict=True)]
    lower = [low // f - m for low, f, m in zip(wanted.lower, factors, margin, strict=True)]
    upper = [-(-up // f) + m for up, f, m in zip(wanted.upper, factors, margin, strict=True)]
    return Bounds(vector3i(lower), vector3i(upper)).intersection(volume.bounds(mip))


def _require_memory(volume: Volume, grid: Grid, onto: Grid, memory: int | None) -> None:
    voxels = math.prod(grid.size) + (math.prod(onto.size) if onto != grid else 0)
    needed = math.ceil(_FACTOR * voxels * volume.dtype.itemsize)
    size = " × ".join(map(str, grid.size))
    ways = ("a larger --voxel-size", "a part by --bounds")
    need = Need(f"a file of {size} voxels of {grid.voxel_size}", needed, other=ways)
    Budget(memory or machine_memory() // 2, 1, True, VOLUMES).require(need)
