"""NIfTI as a 3-D image, through nibabel. Its array is [x, y, z]; ours is the transpose."""

from __future__ import annotations

import gzip
import logging
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files.image_header import ImageHeader, micrometres, three_axes, voxel_size_of
from cloudreg_io.run.counters import count
from cloudreg_io.space import VoxelSize

_LARGEST_GZIP_RATIO = 1032
_PIECE = 1 << 22
_LARGEST_NIFTI1_AXIS = 32767
_SHEARED = 0.02  # cosine between two axes: 1 degree, beyond what rounding leaves

_logger = logging.getLogger(__name__)


def read_header(path: Path) -> ImageHeader:
    """Shape, dtype and spacing of a NIfTI file; no voxel is read.

    Values that the header scales (slope, intercept) are floats; the dtype says so.

    Raises
    ------
    InputError
        No NIfTI, more than three axes, colours, or less data than the header claims.
    """
    image = _open(path)
    x, y, z = three_axes(path, image.shape)
    stored = image.get_data_dtype()
    if stored.kind not in "iuf":
        raise InputError(
            f"{path} holds values of type {stored}; one number a voxel is expected",
            fix="save one channel, or the magnitude, as integers or 32-bit floats",
        )
    declared, size = x * y * z * stored.itemsize, path.stat().st_size
    if declared > size * (_LARGEST_GZIP_RATIO if path.suffix == ".gz" else 1):
        raise InputError(
            f"{path} declares {declared} bytes of voxels in a file of {size}",
            why="the copy was interrupted, or the header is damaged",
            fix="copy the file again",
        )
    scaled = (image.dataobj.slope, image.dataobj.inter) != (1, 0)
    dtype = np.dtype(np.float64) if scaled else stored.newbyteorder("=")
    zooms = [float(zoom) for zoom in image.header.get_zooms()]
    voxel_size = None
    if len(zooms) >= 3:
        voxel_size = voxel_size_of(path, zooms[:3], _unit(image))
    _warn_of_shear(path, image)
    return ImageHeader(path, (z, y, x), dtype.name, voxel_size, _notes(image))


def read(header: ImageHeader) -> NDArray[Any]:
    """All voxels, [z, y, x] in native byte order."""
    try:
        _require_whole(header.path)
        array = np.asanyarray(_open(header.path).dataobj)
    except (OSError, zlib.error, ValueError, OverflowError, EOFError) as error:
        raise InputError(
            f"{header.path} is damaged: {error}", why="the copy was interrupted", fix="copy the file again"
        ) from error
    count(bytes_read=header.path.stat().st_size)
    return np.ascontiguousarray(array.reshape(header.shape[::-1], order="F").T, dtype=header.dtype)


def _require_whole(path: Path) -> None:
    """Read a compressed file to its end: only there is its checksum, and nibabel stops before."""
    if path.suffix.lower() == ".gz":
        with gzip.open(path) as file:
            while file.read(_PIECE):
                pass


def write(path: Path, array: NDArray[Any], voxel_size: VoxelSize) -> None:
    """Write [z, y, x] to `path` (not atomic: the caller gives a temporary path).

    The header is in millimetres, which is what most readers take for granted.
    """
    import nibabel

    kind = nibabel.Nifti1Image if max(array.shape) <= _LARGEST_NIFTI1_AXIS else nibabel.Nifti2Image
    affine = np.diag([*(edge / 1000 for edge in voxel_size), 1.0])
    image = kind(array.T, affine, dtype=array.dtype)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    count(bytes_written=path.stat().st_size)


def _open(path: Path) -> Any:
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    if not path.is_file():
        raise NotFoundError(f"{path} not found", fix="check the path")
    try:
        image = nibabel.load(path)
    except (ImageFileError, HeaderDataError, OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{path} is not a NIfTI file that can be read: {error}",
            why="it is damaged, or of another format than its suffix says",
            fix="copy the file again; or give it its format's suffix: .nii, or .nii.gz where it is compressed",
        ) from error
    if not isinstance(image, nibabel.Nifti1Pair):
        raise InputError(f"{path} is {type(image).__name__}, not NIfTI")
    return image


def _unit(image: Any) -> float | None:
    try:
        return micrometres(image.header.get_xyzt_units()[0])
    except KeyError:  # a code that the format does not have
        return None


def _warn_of_shear(path: Path, image: Any) -> None:
    axes = np.asarray(image.affine, dtype=float)[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    if not lengths.all() or not np.isfinite(axes).all():
        return
    cosines = (axes / lengths).T @ (axes / lengths) - np.eye(3)
    if np.abs(cosines).max() > _SHEARED:
        _logger.warning("%s: its axes are not at right angles in its header; they are taken as if they were", path)


def _notes(image: Any) -> tuple[str, ...]:
    affine = np.asarray(image.affine, dtype=float)
    notes = []
    if affine[:3, 3].any():
        notes.append(f"origin {affine[:3, 3].tolist()}")
    if np.any(affine[:3, :3] != np.diag(np.abs(np.diag(affine[:3, :3])))):
        notes.append(f"directions {affine[:3, :3].tolist()}")
    return tuple(notes)
