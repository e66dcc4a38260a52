"""Sums in scratch: what one group of mips leaves for the next, a file per slab and strip.

A file is a `.npy` of shape [y, z, x]: y first, so that it is written and read row after row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import ToolError
from cloudreg_io.files.atomic import atomic_path
from cloudreg_io.run.counters import count

_NAME = re.compile(r"z(\d+)-(\d+)_x(\d+)-(\d+)\.npy")


def sums_folder(scratch: Path, mip: int) -> Path:
    """Where the sums that mip `mip` begins with are."""
    return scratch / "sums" / str(mip)


def sums_path(scratch: Path, mip: int, z: tuple[int, int], x: tuple[int, int]) -> Path:
    """The file of a box of `mip`."""
    return sums_folder(scratch, mip) / f"z{z[0]}-{z[1]}_x{x[0]}-{x[1]}.npy"


class SumsWriter:
    """Writes one file row by row. A context manager: the file appears when the block ends well.

    Parameters
    ----------
    path : Path
    dtype : numpy dtype
    shape : (z, y, x) int
    """

    def __init__(self, path: Path, dtype: np.dtype[Any], shape: tuple[int, int, int]) -> None:
        self._path, self._dtype, self._shape = path, dtype, shape
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._stack.enter_context(atomic_path(self._path))
        self._file = self._stack.enter_context(temporary.open("wb"))
        depth, rows, width = self._shape
        descr = np.lib.format.dtype_to_descr(self._dtype)
        header = {"descr": descr, "fortran_order": False, "shape": (rows, depth, width)}
        np.lib.format.write_array_header_1_0(self._file, header)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._stack.__exit__(kind, error, trace)

    def append(self, rows: NDArray[Any]) -> None:
        """Take the next rows [z, y, x]."""
        data = np.ascontiguousarray(rows.transpose(1, 0, 2), dtype=self._dtype)
        self._file.write(data.data)
        count(bytes_written=data.nbytes)


@dataclass(frozen=True, slots=True)
class _Piece:
    path: Path
    z: tuple[int, int]
    x: tuple[int, int]


class SumsReader:
    """Gives the sums of one slab of `mip`, band by band, from the files of all slabs and strips that made them.

    Raises
    ------
    ToolError
        When the files in scratch do not cover the slab exactly once.
    """

    def __init__(self, scratch: Path, mip: int, z: tuple[int, int], width: int) -> None:
        self.z, self.width = z, width
        folder = sums_folder(scratch, mip)
        found = [_piece(path) for path in sorted(folder.glob("z*.npy"))]
        self._pieces = [piece for piece in found if piece.z[0] < z[1] and piece.z[1] > z[0]]
        area = sum((p.z[1] - p.z[0]) * (p.x[1] - p.x[0]) for p in self._pieces)
        inside = all(z[0] <= p.z[0] and p.z[1] <= z[1] and p.x[1] <= width for p in self._pieces)
        if not inside or area != (z[1] - z[0]) * width:
            raise ToolError(
                f"{folder} does not hold the sums of z {z[0]}-{z[1]} exactly once",
                why="slabs are missing, or scratch holds those of another run too",
                fix="give the command that wrote the volume again, with --overwrite",
            )

    def bands(self, rows: int, height: int) -> Iterator[NDArray[Any]]:
        """Arrays [z, y, x] of at most `rows` rows each, up to `height`."""
        for y in range(0, height, rows):
            parts = [(piece, _read_rows(piece.path, y, min(y + rows, height))) for piece in self._pieces]
            shape = (self.z[1] - self.z[0], parts[0][1].shape[0], self.width)
            band = np.empty(shape, parts[0][1].dtype)
            for piece, part in parts:
                target = band[piece.z[0] - self.z[0] : piece.z[1] - self.z[0], :, slice(*piece.x)]
                target[...] = part.transpose(1, 0, 2)
            yield band


def _piece(path: Path) -> _Piece:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ToolError(f"{path} is not a file of sums", fix="remove it")
    z0, z1, x0, x1 = (int(number) for number in match.groups())
    return _Piece(path, (z0, z1), (x0, x1))


def _read_rows(path: Path, begin: int, end: int) -> NDArray[Any]:
    """Rows [y, z, x] of a file. Read, not mapped: mapped pages would count as this process's memory."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        (height, depth, width), _, dtype = np.lib.format.read_array_header_1_0(file)
        end = min(end, height)
        row = depth * width
        file.seek(begin * row * dtype.itemsize, 1)
        data = np.fromfile(file, dtype, (end - begin) * row)
    if data.size != (end - begin) * row:
        raise ToolError(f"{path} is shorter than it says", fix="give the command again with --overwrite")
    count(bytes_read=data.nbytes)
    return data.reshape(end - begin, depth, width)
