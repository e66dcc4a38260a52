"""Image: a target, an atlas or its labels in memory, at the voxel size that registration asks for.

Whatever a volume came from (a precomputed volume, NRRD, NIfTI, TIFF), it arrives as an array [z, y, x] that knows
where its samples lie, which way its axes point, and what the volume's own mip 0 was, since every position that
leaves this package refers to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.files.image import read_image_header, read_voxels
from cloudreg_io.files.location import Location
from cloudreg_io.space import Grid, Orientation, VoxelSize, resample, vector3, vector3i
from cloudreg_io.volumes.pyramid import downsample_mode
from cloudreg_io.volumes.volume import Volume, open_volume
from cloudreg_register.images.blocks import block_factors, block_reduced, reduced_volume
from cloudreg_register.images.frame import Frame
from cloudreg_register.images.places import is_file
from cloudreg_register.images.plausible import as_label_ids, require_memory, require_signal

# a spacing this near to the wanted one is as good: resampling would only blur
_NEAR = 1.1


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """A volume in memory.

    Attributes
    ----------
    array : [z, y, x]
        float32 for images; for labels the unsigned type that the file has.
    grid : Grid
        Where the samples lie: µm, 0 at the centre of mip-0 voxel 0.
    mip0 : Grid
        Of the volume at its finest.
    orientation : Orientation
        Directions in which x, y, z grow.
    name : str
        The path or address, for messages and records.
    """

    array: NDArray[Any] = field(repr=False)
    grid: Grid
    mip0: Grid
    orientation: Orientation
    name: str = ""

    def __post_init__(self) -> None:
        if self.array.shape != self.grid.shape:
            raise InputError(f"array {list(self.array.shape)} does not fit its grid {list(self.grid.shape)}")

    @classmethod
    def of_array(
        cls,
        array: NDArray[Any],
        voxel_size: Sequence[float] | VoxelSize,
        orientation: str | Orientation,
        name: str = "",
    ) -> Image:
        """An array [z, y, x] that is a volume of its own."""
        code = orientation if isinstance(orientation, Orientation) else Orientation(orientation)
        grid = Grid.of_array(array, VoxelSize.of(voxel_size))
        return cls(array, grid, grid, code, name)

    @property
    def voxel_size(self) -> VoxelSize:
        """Of the array, in µm."""
        return self.grid.voxel_size

    @property
    def frame(self) -> Frame:
        """Where the volume's coordinates are, at its finest."""
        return Frame(self.mip0.size, self.mip0.voxel_size, self.orientation, self.name)

    @property
    def centred_grid(self) -> Grid:
        """Where the samples lie when 0 is the centre of the volume, computed once from mip 0."""
        return self.grid.centred(on=self.mip0)

    def resampled(self, resolution_um: float, *, labels: bool = False) -> Image:
        """The image at voxels no larger than a resolution: block means, then a low-pass filter; labels by mode.

        Axes that are as coarse already stay as they are.
        """
        factors = block_factors(self.voxel_size, resolution_um)
        array, grid = self.array, self.grid
        if max(factors) > 1:
            grid = grid.with_spacing(vector3(s * f for s, f in zip(grid.spacing, factors, strict=True)))
            array = downsample_mode(array, factors) if labels else block_reduced(array, factors)
        onto = _finished(grid, resolution_um)
        if onto != grid:
            # the last voxel may reach beyond the volume: it takes the value at the border
            array = resample(array, grid, onto, order=0 if labels else 1, outside=None, antialias=not labels)
        return replace(self, array=array, grid=onto)


def load_image(
    place: str | Path | Location,
    *,
    resolution_um: float | None,
    orientation: str | Orientation,
    voxel_size: Sequence[float] | VoxelSize | None = None,
    labels: bool = False,
    memory: int | None = None,
) -> Image:
    """Read a volume.

    Parameters
    ----------
    place : str, Path or Location
        A precomputed volume (path, `file://`, `s3://`) or a local `.tif`, `.tiff`, `.nrrd`, `.nii`, `.nii.gz`.
    resolution_um : float or None
        Largest voxel edge wanted; None takes the finest level as it is.
    orientation : str or Orientation
        Directions in which x, y, z grow, such as LPS.
    voxel_size : (x, y, z) float, optional
        In µm, in place of what the file says.
    labels : bool
        The voxels are ids: never averaged, and kept in an unsigned type.
    memory : int, optional
        Bytes that may be used; by default half of this machine's.

    Returns
    -------
    Image

    Raises
    ------
    NotFoundError, InputError
        No such volume; damage; no voxel size, or an absurd one; an impossible orientation; NaN; one value only.
    ToolError
        The volume does not fit into the memory.
    """
    code = orientation if isinstance(orientation, Orientation) else Orientation(orientation)
    size = None if voxel_size is None else VoxelSize.of(voxel_size)
    if is_file(str(place)):
        image = _load_file(Location.parse(place), code, size, memory)
        image = _as_labels(image) if labels else _as_float(image)
        if resolution_um is not None:
            image = image.resampled(resolution_um, labels=labels)
    else:
        image = _load_volume(open_volume(place), resolution_um, code, size, labels, memory)
        image = _as_labels(image) if labels else _as_float(image)
    require_signal(image.array, image.name, labels=labels)
    return image


def _load_file(
    location: Location, orientation: Orientation, voxel_size: VoxelSize | None, memory: int | None
) -> Image:
    header = read_image_header(location.path)
    edges = voxel_size or header.voxel_size
    if edges is None:
        raise InputError(
            f"{header.path} does not say how large its voxels are",
            fix="give their edges in µm: --voxel-size X Y Z, for an atlas --atlas-voxel-size X Y Z",
        )
    require_memory(header.size, header.dtype, str(header.path), memory)
    return Image.of_array(read_voxels(header), edges, orientation, str(header.path))


def _load_volume(
    volume: Volume,
    resolution_um: float | None,
    orientation: Orientation,
    voxel_size: VoxelSize | None,
    labels: bool,
    memory: int | None,
) -> Image:
    Frame.of_volume(volume, orientation)  # refuses volumes that begin at another voxel than 0
    mip = 0 if resolution_um is None else _mip_for(volume, resolution_um, voxel_size)
    mip0, grid = _stretched(volume, 0, voxel_size), _stretched(volume, mip, voxel_size)
    factors = (1, 1, 1) if resolution_um is None else block_factors(grid.voxel_size, resolution_um)
    reduced = vector3i([-(-n // f) for n, f in zip(grid.size, factors, strict=True)])
    require_memory(reduced, volume.dtype, volume.url, memory)
    array = reduced_volume(volume, mip, factors, labels=labels)
    onto = grid.with_spacing(vector3(s * f for s, f in zip(grid.spacing, factors, strict=True)), reduced)
    image = Image(array, onto, mip0, orientation, volume.url)
    return image if resolution_um is None else image.resampled(resolution_um, labels=labels)


def _mip_for(volume: Volume, resolution_um: float, voxel_size: VoxelSize | None) -> int:
    """The coarsest mip whose voxels are no larger than wanted, where the stated voxel size may replace mip 0's."""
    wanted = [resolution_um] * 3
    if voxel_size is not None:
        wanted = [w * own / told for w, own, told in zip(wanted, volume.voxel_size(), voxel_size, strict=True)]
    # an axis that is coarser already does not keep the others from a coarser mip
    floors = [max(w, own) for w, own in zip(wanted, volume.voxel_size(), strict=True)]
    return volume.mip_at(floors)[0]


def _stretched(volume: Volume, mip: int, voxel_size: VoxelSize | None) -> Grid:
    """The grid of a level when the voxels of mip 0 have the stated size."""
    grid = volume.grid(mip)
    if voxel_size is None:
        return grid
    factors = [told / own for told, own in zip(voxel_size, volume.voxel_size(), strict=True)]
    spacing, origin = (
        vector3(v * f for v, f in zip(values, factors, strict=True)) for values in (grid.spacing, grid.origin)
    )
    return Grid(grid.size, spacing, origin)


def _finished(grid: Grid, resolution_um: float) -> Grid:
    """The grid with the axes that are much finer than wanted brought to the resolution."""
    spacing = [resolution_um if s * _NEAR < resolution_um else s for s in grid.spacing]
    return grid if vector3(spacing) == grid.spacing else grid.with_spacing(spacing)


def _as_float(image: Image) -> Image:
    if image.array.dtype.kind not in "iufb":
        raise InputError(f"{image.name} holds {image.array.dtype} voxels: an image of numbers is needed")
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit becomes infinite, which is refused
        return replace(image, array=image.array.astype(np.float32, copy=False))


def _as_labels(image: Image) -> Image:
    return replace(image, array=as_label_ids(image.array, image.name))
