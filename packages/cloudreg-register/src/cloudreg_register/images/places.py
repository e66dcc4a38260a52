"""Places: what a user names as a volume, be it a file or precomputed, looked at without reading its voxels."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.files.image import SUFFIXES, read_image_header
from cloudreg_io.files.location import Location
from cloudreg_io.space import Grid, VoxelSize, vector3
from cloudreg_io.volumes import open_volume


def is_file(place: object) -> bool:
    """Whether a place is a NRRD, NIfTI or TIFF file, not a volume or an array."""
    return isinstance(place, str) and place.lower().endswith(SUFFIXES)


def grid_of(place: str | NDArray[Any], voxel_size: VoxelSize | None, option: str = "--voxel-size") -> Grid:
    """The voxels of mip 0 of a volume, a file or an array, without reading them.

    Raises
    ------
    NotFoundError, InputError
        Where the voxel size is not known, `option` is named.
    """
    if not isinstance(place, str):
        if voxel_size is None:
            raise InputError("an array has no voxel size of its own", fix=option)
        return Grid.of_array(place, voxel_size)
    if not is_file(place):
        _require_no_file(place)
        volume = open_volume(place)
        return Grid(volume.size(), vector3(voxel_size or volume.voxel_size()))
    header = read_image_header(Location.parse(place).path)
    edges = voxel_size or header.voxel_size
    if edges is None:
        raise InputError(f"{place} does not say how large its voxels are", fix=f"{option} X Y Z, in µm")
    return Grid(header.size, vector3(edges))


def _require_no_file(place: str) -> None:
    """Say of a file that it is none that can be read, rather than that it is no folder."""
    location = Location.parse(place)
    if location.is_file and location.path.is_file():
        raise InputError(
            f"{place} is a file, of a format that is not read here",
            fix=f"save it as one of {', '.join(SUFFIXES)}; a precomputed volume is named by its folder",
        )
