"""A stack: a volume that somebody else stitched, as it comes to be ingested, read plane by plane.

Either a folder of numbered planes (see `series`) or one 3-D file. What compresses a whole volume as one (NRRD,
NIfTI) cannot be read in parts; it is unpacked to scratch once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files import image, image_tiff, tiff
from cloudreg_io.run import digest
from cloudreg_io.space import Vector3i, VoxelSize
from cloudreg_io.volumes.ingest.series import Missing, Series, find_series


@dataclass(frozen=True, slots=True)
class PlaneStack:
    """A folder of planes."""

    series: Series
    header: tiff.TiffHeader

    @property
    def size(self) -> Vector3i:
        """Voxels along x, y, z."""
        y, x = self.header.shape
        return (x, y, len(self.series.files))

    @property
    def dtype(self) -> np.dtype[Any]:
        """As stored."""
        return np.dtype(self.header.dtype)

    @property
    def voxel_size(self) -> VoxelSize | None:
        """Planes do not know their distance."""
        return None

    @property
    def fingerprint(self) -> str:
        """Of names, sizes and times."""
        return _fingerprint([path for path in self.series.files if path is not None])

    def planes(self, begin: int, end: int) -> Iterator[NDArray[Any]]:
        """The planes [y, x] from z = begin to end; zeros where one is missing."""
        for path in self.series.files[begin:end]:
            if path is None:
                yield np.zeros(self.header.shape, self.header.dtype)
            else:
                yield tiff.read_plane(path, expect=self.header)

    def name(self, z: int) -> str:
        """Name of the file."""
        return str(self.series.files[z])


@dataclass(frozen=True, slots=True)
class FileStack:
    """One 3-D file. TIFF is read page by page; other formats from `unpacked`."""

    header: image.ImageHeader
    unpacked: Path | None = None

    @property
    def paged(self) -> bool:
        """Whether planes can be read one by one."""
        return image.suffix_of(self.header.path).startswith(".tif")

    @property
    def size(self) -> Vector3i:
        """Voxels along x, y, z."""
        return self.header.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """As stored."""
        return np.dtype(self.header.dtype)

    @property
    def voxel_size(self) -> VoxelSize | None:
        """What the header says, if anything."""
        return self.header.voxel_size

    @property
    def fingerprint(self) -> str:
        """Of name, size and time."""
        return _fingerprint([self.header.path])

    def unpack(self, path: Path) -> None:
        """Write the voxels to `path` as a .npy file, atomically."""
        from cloudreg_io.files.atomic import atomic_path

        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path, durable=False) as temporary, temporary.open("wb") as file:
            np.save(file, image.read_voxels(self.header))

    def unpacked_at(self, path: Path) -> FileStack:
        """The stack as it is read after `unpack(path)`."""
        return replace(self, unpacked=path)

    def planes(self, begin: int, end: int) -> Iterator[NDArray[Any]]:
        """The planes [y, x] from z = begin to end."""
        if self.unpacked is None:
            yield from image_tiff.planes(self.header, begin, end)
        else:
            yield from _unpacked_planes(self.unpacked, begin, end)

    def name(self, z: int) -> str:
        """Name of the file, and the plane in it."""
        return f"{self.header.path} plane {z}"


Stack = PlaneStack | FileStack


def _unpacked_planes(path: Path, begin: int, end: int) -> Iterator[NDArray[Any]]:
    """Planes of a .npy file: read, not mapped, since mapped pages would count as this process's memory."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        (depth, height, width), _, dtype = np.lib.format.read_array_header_1_0(file)
        file.seek(begin * height * width * dtype.itemsize, 1)
        for _ in range(begin, min(end, depth)):
            yield np.fromfile(file, dtype, height * width).reshape(height, width)


def open_stack(path: Path, *, missing: Missing = "error") -> Stack:
    """Look at a stack: every header is read and checked against the first, no pixel is.

    Parameters
    ----------
    path : Path
        A folder of planes, or a .tif, .tiff, .nrrd, .nii or .nii.gz file.
    missing : "error" or "fill"
        What to do about gaps in the numbers of planes.

    Raises
    ------
    NotFoundError, InputError
        As `find_series` and `read_image_header`; a plane that differs from the first is named.
    """
    path = Path(path)
    if path.is_dir():
        return _open_planes(find_series(path, missing=missing))
    if not path.exists():
        raise NotFoundError(f"{path} not found", fix="give a folder of planes or a 3-D file")
    return FileStack(image.read_image_header(path))


def _open_planes(series: Series) -> PlaneStack:
    files = [path for path in series.files if path is not None]
    if len(files) == 1 and (pages := tiff.read_header(files[0], pages=None).pages) > 1:
        raise InputError(
            f"{series.folder} holds one TIFF of {pages} pages, not a series of planes",
            fix=f"give {files[0]} itself",
        )
    first = tiff.read_header(files[0])
    for path in files[1:]:
        tiff.check_same(tiff.read_header(path), first, path)
    return PlaneStack(series, first)


def _fingerprint(files: list[Path]) -> str:
    found = [(path, path.stat()) for path in files]
    return digest([[path.name, status.st_size, status.st_mtime_ns] for path, status in found])
