"""Arrays in scratch: written plane by plane without being held in memory, whole folders at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cloudreg_io.errors import ToolError
from cloudreg_io.files.atomic import naming_full_disk, sync_file, sync_files, temporary_beside
from cloudreg_io.run import count


class PlaneWriter:
    """A .npy file of a known shape that takes one plane after the other."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._file = path.open("wb")
        header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)

    def append(self, plane: NDArray[Any]) -> None:
        """Write the next plane."""
        data = np.ascontiguousarray(plane, self._dtype)
        self._file.write(data.data)
        count(bytes_written=data.nbytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class PlaneReader:
    """A .npy file [z, y, x] of which boxes are read: a memory map's pages would count as this process's memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            self._shape, _, self._dtype = np.lib.format.read_array_header_1_0(file)
            self._start = file.tell()

    def __getitem__(self, box: tuple[slice, slice, slice]) -> NDArray[Any]:
        """The voxels of a box; only the rows that it touches are read."""
        z, y, x = (range(*part.indices(n)) for part, n in zip(box, self._shape, strict=True))
        _, height, width = self._shape
        rows = np.empty((len(z), len(y), width), self._dtype)
        with self._path.open("rb", buffering=0) as file:
            for place, plane in zip(rows, z, strict=True):
                file.seek(self._start + (plane * height + y.start) * width * self._dtype.itemsize)
                if file.readinto(place.data.cast("B")) != place.nbytes:
                    anew = "cloudreg clean OUT --yes, then the command again with --overwrite: it begins anew"
                    raise ToolError(f"{self._path} is cut off", why="the disk is damaged", fix=anew)
        return rows[:, :, x.start : x.stop]


@contextmanager
def whole_folder(path: Path) -> Iterator[tuple[Path, ExitStack]]:
    """Give a temporary folder that becomes `path` when the block ends well, and a stack for its open files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    temporary.mkdir()
    try:
        with naming_full_disk(path, None):
            with ExitStack() as files:
                yield temporary, files
            if made := [file for file in temporary.rglob("*") if file.is_file()]:
                sync_files(made)  # a power cut leaves the journal, which then says that they are there
        shutil.rmtree(path, ignore_errors=True)
        temporary.rename(path)
        sync_file(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
