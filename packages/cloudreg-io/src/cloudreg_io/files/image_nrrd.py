"""NRRD as a 3-D image.

Read through pynrrd. Written here: a header of ten lines and one gzip stream, since pynrrd puts the time of
writing into the header and equal volumes must give equal bytes.
Format: https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files.image_header import ImageHeader, micrometres, three_axes, voxel_size_of
from cloudreg_io.run.counters import count
from cloudreg_io.space import VoxelSize

_ENCODINGS = ("raw", "gzip", "gz", "bzip2", "bz2", "ascii", "text", "txt")
_LARGEST_RATIO = {"raw": 1, "gzip": 1032, "gz": 1032}
# every name that the format has for a type
_NAMES = {
    "int8": ("signed char", "int8", "int8_t"),
    "uint8": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "int16": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "uint16": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "int32": ("int", "signed int", "int32", "int32_t"),
    "uint32": ("uint", "unsigned int", "uint32", "uint32_t"),
    "int64": (
        "longlong",
        "long long",
        "long long int",
        "signed long long",
        "signed long long int",
        "int64",
        "int64_t",
    ),
    "uint64": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "float32": ("float",),
    "float64": ("double",),
}
_DTYPES = {name: np.dtype(dtype) for dtype, names in _NAMES.items() for name in names}
_SPATIAL = {"domain", "space", "none", "???", ""}
_GZIP = zlib.MAX_WBITS | 16
_BLOCK = 1 << 24


def read_header(path: Path) -> ImageHeader:
    """Shape, dtype and spacing of an NRRD; no voxel is read.

    Raises
    ------
    InputError
        No NRRD, more than three axes, an axis of colours or vectors, or less data than the header claims.
    """
    import nrrd

    if not path.is_file():
        raise NotFoundError(f"{path} not found", fix="check the path")
    try:
        with path.open("rb") as file:
            fields = nrrd.read_header(file)
            start = file.tell()
        sizes = [int(n) for n in fields["sizes"]]
        dtype = _DTYPES[str(fields["type"])]
    except (nrrd.NRRDError, KeyError, ValueError, StopIteration, IndexError, TypeError) as error:
        what = "it ends within its first line" if isinstance(error, StopIteration) else error
        raise InputError(
            f"{path} is not an NRRD that can be read: {what}",
            why="it is damaged, or of another format than its suffix says",
            fix="copy the file again, or save it anew as NRRD, NIfTI or TIFF",
        ) from error
    if (encoding := str(fields.get("encoding", "raw")).lower()) not in _ENCODINGS:
        raise InputError(
            f"{path}: its voxels are written as {encoding!r}, which is not read", fix="save it as raw or gzip"
        )
    kinds = [str(kind).lower() for kind in fields.get("kinds") or []]
    if odd := [kind for kind in kinds if kind not in _SPATIAL]:
        raise InputError(f"{path} has an axis of kind {odd[0]!r}; one scalar volume is expected")
    x, y, z = three_axes(path, sizes)
    _check_extent(path, fields, x * y * z * dtype.itemsize, start)
    voxel_size = _voxel_size(path, fields)
    return ImageHeader(path, (z, y, x), dtype.name, voxel_size, _notes(fields))


def read(header: ImageHeader) -> NDArray[Any]:
    """All voxels, [z, y, x] in native byte order."""
    import nrrd

    try:
        array, _ = nrrd.read(str(header.path), index_order="C")
    except (nrrd.NRRDError, zlib.error, ValueError, OSError, EOFError, IndexError, TypeError) as error:
        raise InputError(
            f"{header.path} is damaged: {error}", why="the copy was interrupted", fix="copy the file again"
        ) from error
    count(bytes_read=header.path.stat().st_size)
    return np.ascontiguousarray(array.reshape(header.shape), dtype=header.dtype)


def write(path: Path, array: NDArray[Any], voxel_size: VoxelSize) -> None:
    """Write [z, y, x] to `path` (not atomic: the caller gives a temporary path)."""
    z, y, x = array.shape
    ex, ey, ez = (repr(edge) for edge in voxel_size)
    fields = [
        "NRRD0004",
        f"type: {array.dtype.name.replace('float32', 'float').replace('float64', 'double')}",
        "dimension: 3",
        "space dimension: 3",
        f"sizes: {x} {y} {z}",
        f"space directions: ({ex},0,0) (0,{ey},0) (0,0,{ez})",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        'space units: "um" "um" "um"',
        "space origin: (0,0,0)",
    ]
    little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    stream = zlib.compressobj(1, zlib.DEFLATED, _GZIP)  # zlib's own gzip header has no time
    data = little.reshape(-1).view(np.uint8).data
    with path.open("wb") as file:
        file.write(("\n".join(fields) + "\n\n").encode("ascii"))
        for start in range(0, len(data), _BLOCK):
            file.write(stream.compress(data[start : start + _BLOCK]))
        file.write(stream.flush())
        count(bytes_written=file.tell())


def _check_extent(path: Path, fields: Mapping[str, Any], declared: int, start: int) -> None:
    encoding = str(fields.get("encoding", "raw")).lower()
    detached = fields.get("data file", fields.get("datafile"))
    if detached is not None and ("%" in detached or detached.upper().split()[:1] == ["LIST"]):
        return  # several files
    stored = path.stat().st_size - start if detached is None else _size_of_detached(path, detached)
    if encoding not in _LARGEST_RATIO:
        return
    if declared > stored * _LARGEST_RATIO[encoding]:
        raise InputError(
            f"{path} declares {declared} bytes of voxels and holds {stored} ({encoding})",
            why="the copy was interrupted, or the header is damaged",
            fix="copy the file again",
        )


def _size_of_detached(path: Path, name: str) -> int:
    """Bytes of the file beside a header that holds its voxels."""
    place = path.parent / name
    fix = "copy both files, and keep their names"
    try:
        if place.is_file():
            return place.stat().st_size
    except OSError as error:  # such as a name that is too long for the system
        what = f"{path}: its voxels are in {place}, which cannot be read: {error.strerror}"
        raise InputError(what, fix=fix) from error
    raise NotFoundError(f"{path}: its voxels are in {place}, and there is no such file", fix=fix)


def _voxel_size(path: Path, fields: Mapping[str, Any]) -> VoxelSize | None:
    if (directions := fields.get("space directions")) is not None:
        spacing = [float(np.linalg.norm(np.atleast_1d(row))) if row is not None else np.nan for row in directions]
        units = fields.get("space units")
    else:
        spacing = [float(value) for value in fields.get("spacings", [])]
        units = fields.get("units")
    if len(spacing) < 3:
        return None
    names = [str(unit) for unit in units or [] if str(unit)]
    if not names:
        return voxel_size_of(path, spacing[:3], None)
    lengths = [micrometres(name) for name in names[:3]]
    if len(lengths) < 3 or None in lengths:
        raise InputError(f"{path}: its units {names} are not lengths", fix="give --voxel-size X Y Z")
    return voxel_size_of(path, [s * (um or 0) for s, um in zip(spacing, lengths, strict=False)], 1.0)


def _notes(fields: Mapping[str, Any]) -> tuple[str, ...]:
    notes = []
    if (origin := fields.get("space origin")) is not None and np.any(origin):
        notes.append(f"origin {np.asarray(origin).tolist()}")
    if (directions := fields.get("space directions")) is not None:
        rows = np.array([row for row in directions if row is not None], dtype=float)
        if rows.ndim == 2 and (rows.shape[0] != rows.shape[1] or np.any(rows != np.diag(np.abs(np.diag(rows))))):
            notes.append(f"directions {rows.tolist()}")
    return tuple(notes)
