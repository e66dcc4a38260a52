"""TIFF planes and stacks: headers checked before pixels, planes read into place, files written whole.

A *plane* is a TIFF with one page of one sample per pixel, as a microscope writes it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.files.atomic import atomic_path
from cloudreg_io.files.tiff_error import TiffError, pixels
from cloudreg_io.files.tiff_layout import Layout, open_file, read_layout
from cloudreg_io.files.tiff_pixels import read_pixels
from cloudreg_io.run.counters import count
from cloudreg_io.space import VoxelSize

Compression = Literal["zstd", "deflate", "lzw", "none"]

# Level 1 of either: on noisy camera data the next levels take twice as long for 2 % of the size.
_LEVELS: dict[str, dict[str, int]] = {"zstd": {"level": 1}, "deflate": {"level": 1}}
_STRIP_BYTES = 1 << 20  # one strip and its decoded form stay in a core's cache


@dataclass(frozen=True, slots=True)
class TiffHeader:
    """What a TIFF holds, from its directory alone.

    Attributes
    ----------
    shape : (y, x) int
        Of the first page.
    dtype : str
        numpy name, native byte order ("uint16").
    pages : int
    compression : str
        "none", "zstd", "deflate", "lzw", "jpeg", "packbits" or "code N".
    """

    shape: tuple[int, int]
    dtype: str
    pages: int = 1
    compression: str = "none"


def read_header(path: Path | str, *, pages: int | None = 1) -> TiffHeader:
    """What a TIFF holds; no pixel is read and nothing of the declared size is allocated.

    Parameters
    ----------
    path : Path
    pages : int or None
        How many pages are expected; None accepts any number.

    Raises
    ------
    TiffError
        Its `fault` is "empty", "not_tiff", "truncated" (strips beyond the end of the file), "damaged", "oversized"
        (declares more than the file can hold), "multi_page", or "dtype" (colour, or samples numpy cannot hold).
    NotFoundError
        No such file.
    """
    path = path if isinstance(path, Path) else Path(path)  # parsing it again costs as much as the file
    with open_file(path) as file:
        return _header(read_layout(file, path), path, pages)


def read_plane(
    path: Path | str, out: NDArray[Any] | None = None, *, expect: TiffHeader | None = None
) -> NDArray[Any]:
    """Read the single plane of a TIFF.

    Parameters
    ----------
    path : Path
    out : array [y, x], optional
        Filled and returned; its dtype must hold the file's values without loss.
    expect : TiffHeader, optional
        Shape and dtype that the plane must have.

    Returns
    -------
    array [y, x]
        In native byte order.

    Raises
    ------
    TiffError
        As `read_header`, and "shape" or "dtype" when the plane is not as expected. A strip that is cut off or does
        not decode is named.
    NotFoundError
        No such file.
    """
    path = path if isinstance(path, Path) else Path(path)
    with open_file(path) as file:
        layout = read_layout(file, path)
        header = _header(layout, path, 1)
        if expect is not None:
            check_same(header, expect, path)
        place = _place(out, header, path)
        read_pixels(file, layout, place, path)
        count(bytes_read=file.seek(0, io.SEEK_END), planes_decoded=1)
    if out is None or place is out:
        return place
    np.copyto(out, place, casting="safe")
    return out


def check_same(header: TiffHeader, expect: TiffHeader, path: Path) -> None:
    """Refuse a plane of another shape or dtype than expected.

    Raises
    ------
    TiffError
        With fault "shape" or "dtype".
    """
    if header.shape != expect.shape:
        raise TiffError(
            f"{path} is {pixels(header.shape)} pixels; expected {pixels(expect.shape)}",
            why="the file belongs to another acquisition, or the camera was cropped or binned differently",
            fix="replace it by the right file",
            fault="shape",
        )
    if header.dtype != expect.dtype:
        raise TiffError(
            f"{path} holds {header.dtype}; expected {expect.dtype}",
            why="the file was written by another program or another camera setting",
            fix="replace it by the right file",
            fault="dtype",
        )


def write_plane(
    path: Path | str, plane: NDArray[Any], *, compression: Compression = "zstd", durable: bool = True
) -> None:
    """Write one plane, atomically; the same pixels give the same bytes.

    Parameters
    ----------
    path : Path
        Its folder must exist.
    plane : array [y, x]
    compression : {"zstd", "deflate", "lzw", "none"}
        All but "none" use the predictor. Deflate and LZW are read by nearly every program.
    durable : bool
        Flush to the disk, so that the file survives a power cut.
    """
    if plane.ndim != 2:
        raise InputError(f"{path}: a plane has two axes [y, x], not {plane.ndim}")
    rows = max(1, _STRIP_BYTES // max(1, plane.shape[1] * plane.itemsize))
    _write(Path(path), plane, compression, durable, rowsperstrip=rows)


def write_stack(
    path: Path | str,
    stack: NDArray[Any],
    voxel_size: VoxelSize,
    *,
    compression: Compression = "deflate",
    durable: bool = True,
) -> None:
    """Write a stack as one page per plane with its spacing, atomically; the same voxels give the same bytes.

    The spacing is in ImageJ's form (resolution tags for x and y, `spacing` in the description for z), which Fiji,
    napari and tifffile read.

    Parameters
    ----------
    path : Path
    stack : array [z, y, x]
    voxel_size : VoxelSize
        In µm.
    compression, durable
        As in `write_plane`.
    """
    if stack.ndim != 3:
        raise InputError(f"{path}: a stack has three axes [z, y, x], not {stack.ndim}")
    # tifffile's own ImageJ and OME modes refuse some dtypes or put a random identifier into the file.
    description = (
        f"ImageJ=1.54f\nimages={len(stack)}\nslices={len(stack)}\nunit=um\nspacing={voxel_size.z!r}\nloop=false\n"
    )
    _write(
        Path(path),
        stack,
        compression,
        durable,
        description=description,
        resolution=(1 / voxel_size.x, 1 / voxel_size.y),
        resolutionunit="NONE",
    )


def _write(path: Path, voxels: NDArray[Any], compression: Compression, durable: bool, **options: object) -> None:
    import tifffile

    coded = compression != "none"
    with atomic_path(path, durable=durable) as temporary:
        tifffile.imwrite(
            temporary,
            voxels,
            photometric="minisblack",
            compression=compression if coded else None,
            compressionargs=_LEVELS.get(compression),
            predictor=coded and voxels.dtype.itemsize < 8,
            metadata=None,
            software=False,
            maxworkers=1,
            **options,
        )
        size = temporary.stat().st_size
    count(bytes_written=size)


def _header(layout: Layout, path: Path, pages: int | None) -> TiffHeader:
    if pages is not None and layout.pages != pages:
        raise TiffError(
            f"{path} has {layout.pages} pages; {pages} expected",
            why="it holds a whole stack, or several channels",
            fix="split it into one file per plane; cloudreg ingest reads a stack that is already stitched",
            fault="multi_page",
        )
    if layout.samples != 1:
        raise TiffError(
            f"{path} has {layout.samples} samples per pixel (colour)",
            why="it was saved as a picture (RGB) instead of grey values",
            fix="export the planes again as grey values, one channel per file",
            fault="dtype",
        )
    if not layout.dtype:
        raise TiffError(
            f"{path} has {layout.bits}-bit samples of format {layout.sample_format}, which are not supported",
            fix="export the planes again as 8- or 16-bit unsigned integers or 32-bit floats",
            fault="dtype",
        )
    return TiffHeader((layout.height, layout.width), layout.dtype, layout.pages, layout.compression)


def _place(out: NDArray[Any] | None, header: TiffHeader, path: Path) -> NDArray[Any]:
    """Where to decode: `out` itself when its memory has the plane's form, else a new array."""
    if out is None:
        return np.empty(header.shape, header.dtype)
    if out.shape != header.shape:
        raise TiffError(f"{path} is {pixels(header.shape)} pixels; {pixels(out.shape)} expected", fault="shape")
    if not np.can_cast(header.dtype, out.dtype, "safe"):
        raise TiffError(f"{path} holds {header.dtype}, which {out.dtype} cannot hold", fault="dtype")
    same = out.dtype == np.dtype(header.dtype) and out.dtype.isnative
    return out if same and out.flags.c_contiguous and out.flags.writeable else np.empty(header.shape, header.dtype)
