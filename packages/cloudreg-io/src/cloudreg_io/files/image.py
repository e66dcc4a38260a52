"""3-D images as files: TIFF, NRRD and NIfTI, chosen by suffix.

Arrays are [z, y, x], x fastest in the file. A header's spacing is used; its origin and directions are logged and
not used, because CloudReg's physical 0 is the centre of voxel 0 and orientation is given by a code.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.files.image_header import ImageHeader
from cloudreg_io.space import VoxelSize

_logger = logging.getLogger(__name__)

SUFFIXES = (".tif", ".tiff", ".nrrd", ".nii", ".nii.gz")

__all__ = ["SUFFIXES", "ImageHeader", "read_image", "read_image_header", "suffix_of", "write_image"]


def suffix_of(path: Path) -> str:
    """The suffix that decides the format, in lower case.

    Raises
    ------
    InputError
        For any other; the message lists those that are known.
    """
    name = path.name.lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return suffix
    raise InputError(
        f"{path}: unknown suffix {path.suffix!r}", fix=f"3-D images are read and written as {', '.join(SUFFIXES)}"
    )


def read_image_header(path: Path | str) -> ImageHeader:
    """Shape, dtype and voxel size of a 3-D image; no voxel is read.

    Raises
    ------
    NotFoundError
        No such file.
    InputError
        Unknown suffix, damage, colours, or more than three axes.
    """
    path = Path(path)
    suffix = suffix_of(path)
    if suffix.startswith(".tif"):
        from cloudreg_io.files.image_tiff import read_header
    elif suffix == ".nrrd":
        from cloudreg_io.files.image_nrrd import read_header
    else:
        from cloudreg_io.files.image_nifti import read_header
    return read_header(path)


def read_image(path: Path | str) -> tuple[NDArray[Any], VoxelSize | None]:
    """Read a 3-D image.

    Parameters
    ----------
    path : Path
        `.tif`, `.tiff`, `.nrrd`, `.nii` or `.nii.gz`.

    Returns
    -------
    array [z, y, x]
        Of the file's dtype, in native byte order; a 2-D image has a z of 1.
    VoxelSize or None
        None where the file does not say.

    Raises
    ------
    NotFoundError, InputError
        As `read_image_header`; also for voxels that do not decode.
    """
    header = read_image_header(path)
    for note in header.notes:
        _logger.info("%s: %s not used", path, note)
    return read_voxels(header), header.voxel_size


def read_voxels(header: ImageHeader) -> NDArray[Any]:
    """All voxels [z, y, x] of a file whose header has been read."""
    suffix = suffix_of(header.path)
    if suffix.startswith(".tif"):
        from cloudreg_io.files.image_tiff import read
    elif suffix == ".nrrd":
        from cloudreg_io.files.image_nrrd import read
    else:
        from cloudreg_io.files.image_nifti import read
    return read(header)


def write_image(path: Path | str, array: NDArray[Any], voxel_size: VoxelSize) -> None:
    """Write a 3-D image with its spacing, atomically; equal voxels give equal bytes.

    Parameters
    ----------
    path : Path
        Its suffix decides the format; its folder is made when absent.
    array : [z, y, x]
        Integers or floats of 8 to 64 bits.
    voxel_size : VoxelSize
        In µm.

    Raises
    ------
    InputError
        Unknown suffix, an array that is not 3-D, or a dtype that the format has no place for.
    ToolError
        The disk is full.
    """
    from cloudreg_io.files.atomic import atomic_path

    path = Path(path)
    suffix = suffix_of(path)
    if array.ndim != 3 or not array.size:
        raise InputError(f"{path}: an image has three axes [z, y, x] and some voxels, not {list(array.shape)}")
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8 or array.dtype == np.float16:
        raise InputError(
            f"{path}: {array.dtype} has no place in {suffix} files",
            fix="convert to integers, float32 or float64 first",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix.startswith(".tif"):
        from cloudreg_io.files.tiff import write_stack

        write_stack(path, array, voxel_size)
        return
    if suffix == ".nrrd":
        from cloudreg_io.files.image_nrrd import write
    else:
        from cloudreg_io.files.image_nifti import write
    with atomic_path(path) as temporary:
        write(temporary, array, voxel_size)
