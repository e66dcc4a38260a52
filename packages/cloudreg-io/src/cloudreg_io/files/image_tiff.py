"""TIFF as a 3-D image: one page a plane, or one block of planes after a single page (ImageJ above 4 GB).

The spacing is taken from ImageJ's description with the resolution tags, or from OME's XML. Resolution tags alone
say nothing about z and mostly hold the 72 dpi of some default: a file that has no more has no spacing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from numpy.typing import NDArray

from cloudreg_io.errors import CloudRegError, InputError
from cloudreg_io.files import tiff
from cloudreg_io.files.image_header import ImageHeader, micrometres, voxel_size_of
from cloudreg_io.files.tiff_error import damaged
from cloudreg_io.files.tiff_layout import open_file, read_layout
from cloudreg_io.files.tiff_lzw import read_lzw
from cloudreg_io.run.counters import count
from cloudreg_io.space import VoxelSize

# A stack may call its planes z, a sequence, an index, or (Fiji, after an import) times; not channels.
_PLANE_AXES = "ZIQTR"


def read_header(path: Path) -> ImageHeader:
    """Shape, dtype and spacing of a TIFF stack; no pixel is read.

    Raises
    ------
    InputError
        No TIFF, colour, several channels, pages of different shapes, or less data than the header claims.
    """
    first = tiff.read_header(path, pages=None)  # its errors name the damage; nothing is allocated
    with _opened(path) as file:
        series = _only_series(path, file)
        sizes = dict(zip(series.axes, series.shape, strict=True))
        planes = [axis for axis, n in sizes.items() if axis not in "YX" and n > 1]
        if len(planes) > 1 or (planes and planes[0] not in _PLANE_AXES):
            raise InputError(
                f"{path} has axes {series.axes} of sizes {list(series.shape)}; one stack [z, y, x] is expected",
                why="it holds several channels, times or colours",
                fix="save one channel to a file of its own",
            )
        z = int(sizes[planes[0]]) if planes else 1
        _check_extent(path, file, series, z, first)
        return ImageHeader(path, (z, *first.shape), first.dtype, _voxel_size(path, file))


def planes(header: ImageHeader, begin: int = 0, end: int | None = None) -> Iterator[NDArray[Any]]:
    """Give the planes [y, x] of a stack from z = `begin` to `end`, decoded one by one.

    Raises
    ------
    InputError
        Naming the page that is damaged.
    """
    with _opened(header.path) as file:
        series = file.series[0]
        offset = series.dataoffset
        for index in range(begin, header.shape[0] if end is None else end):
            plane = np.empty(header.shape[1:], header.dtype)
            if offset is None:
                _read_page(header.path, series, index, plane)
            else:
                _read_block(header.path, file, series, offset + index * plane.nbytes, plane)
            count(planes_decoded=1)
            yield plane


def read(header: ImageHeader) -> NDArray[Any]:
    """All voxels, [z, y, x] in native byte order."""
    stack = np.empty(header.shape, header.dtype)
    for place, plane in zip(stack, planes(header), strict=True):
        place[:] = plane
    return stack


def _read_block(
    path: Path, file: tifffile.TiffFile, series: tifffile.TiffPageSeries, offset: int, plane: NDArray[Any]
) -> None:
    file.filehandle.seek(offset)
    data = file.filehandle.read(plane.nbytes)
    if len(data) != plane.nbytes:
        raise damaged(path, f"it ends before byte {offset + plane.nbytes}", "truncated")
    plane[:] = np.frombuffer(data, np.dtype(file.byteorder + series.dtype.char)).reshape(plane.shape)
    count(bytes_read=len(data))


def _read_page(path: Path, series: tifffile.TiffPageSeries, index: int, plane: NDArray[Any]) -> None:
    page = series[index]
    if page is None:
        raise damaged(path, f"page {index} is missing", "truncated")
    try:
        if page.keyframe.compression == tifffile.COMPRESSION.LZW:
            with open_file(path) as file:  # asarray would take the decoder that damage can crash
                read_lzw(file, read_layout(file, path, page.offset), plane, path, index)
        else:
            plane[:] = page.asarray(maxworkers=1)
    except CloudRegError:
        raise
    except (ValueError, RuntimeError, KeyError, IndexError, OSError, tifffile.TiffFileError) as error:
        raise damaged(path, f"page {index} does not decode ({error})") from error
    count(bytes_read=sum(page.databytecounts))


@contextmanager
def _opened(path: Path) -> Iterator[tifffile.TiffFile]:
    try:
        with tifffile.TiffFile(path) as file:
            yield file
    except (CloudRegError, MemoryError):
        raise
    except Exception as error:  # a damaged directory makes tifffile raise nearly anything
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def _only_series(path: Path, file: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    # series after the first are thumbnails of slide scanners, labels, or pages that do not belong together
    shapes = sorted({tuple(series.shape) for series in file.series})
    if len(file.series) != 1:
        raise InputError(
            f"{path} holds {len(file.series)} images of shapes {', '.join(str(list(s)) for s in shapes)}",
            why="a stack has pages of one shape and dtype",
            fix="save the stack alone",
        )
    return file.series[0]


def _check_extent(
    path: Path, file: tifffile.TiffFile, series: tifffile.TiffPageSeries, z: int, first: tiff.TiffHeader
) -> None:
    """Refuse a file that ends before its planes do."""
    size = file.filehandle.size
    if (offset := series.dataoffset) is not None:
        ends = [offset + z * int(np.prod(first.shape)) * np.dtype(first.dtype).itemsize]
    else:
        pages = [page for page in series if page is not None]
        ends = [max(o + n for o, n in zip(p.dataoffsets, p.databytecounts, strict=True)) for p in pages]
    for index, end in enumerate(ends):
        if end > size:
            raise damaged(path, f"page {index} of {z} needs {end} bytes, the file has {size}", "truncated")


def _voxel_size(path: Path, file: tifffile.TiffFile) -> VoxelSize | None:
    if file.is_ome and file.ome_metadata:
        return _from_ome(path, file.ome_metadata)
    if file.is_imagej and file.imagej_metadata:
        return _from_imagej(path, file)
    return None


def _from_imagej(path: Path, file: tifffile.TiffFile) -> VoxelSize | None:
    metadata, tags = file.imagej_metadata or {}, file.pages.first.tags
    unit = micrometres(str(metadata.get("unit", "")))
    if unit is None or "XResolution" not in tags or "YResolution" not in tags:
        return None
    edges = []
    for name in ("XResolution", "YResolution"):
        pixels, units = tags[name].value
        edges.append(units / pixels if pixels else float("nan"))
    # ImageJ leaves a depth of 1 unit out
    return voxel_size_of(path, [*edges, float(metadata.get("spacing", 1.0))], unit)


def _from_ome(path: Path, text: str) -> VoxelSize | None:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError(f"{path}: its OME description is not XML ({error})") from error
    pixels = root.find(".//{*}Pixels")
    if pixels is None:
        return None
    edges = []
    for axis in "XYZ":
        unit = micrometres(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        value = pixels.get(f"PhysicalSize{axis}")
        if value is None or unit is None:
            return None
        edges.append(float(value) * unit)
    return voxel_size_of(path, edges, 1.0)
