"""Bands: planes come one z after the other, chunks want rows of all z of a slab; here the slab turns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import ToolError
from cloudreg_io.files.atomic import temporary_beside
from cloudreg_io.space import Vector3i


def bands_of(
    planes: Iterable[NDArray[Any]], shape: Vector3i, dtype: np.dtype[Any], rows: int, spill: Path | None = None
) -> Iterator[NDArray[Any]]:
    """Give the rows of a slab, a band after the other.

    Parameters
    ----------
    planes : iterable of array [y, x]
        In the order of z.
    shape : (z, y, x) int
        Of the slab.
    dtype : numpy dtype
    rows : int
        Of a band; the last may have fewer.
    spill : Path, optional
        Where a temporary file may hold the slab, for slabs that are too large for the memory.

    Yields
    ------
    array [z, rows, x]
    """
    if spill is None:
        slab = np.empty(shape, dtype)
        for place, plane in zip(slab, planes, strict=True):
            place[:] = plane
        for y in range(0, shape[1], rows):
            yield slab[:, y : y + rows]
        return
    spill.parent.mkdir(parents=True, exist_ok=True)
    path = temporary_beside(spill)
    # plain reads and writes, not a memory map, whose pages would count as memory of this process
    try:
        with path.open("w+b") as file:
            for plane in planes:
                file.write(np.ascontiguousarray(plane).data)
            yield from _bands_of_file(file, shape, dtype, rows)
    finally:
        path.unlink(missing_ok=True)


def _bands_of_file(file: BinaryIO, shape: Vector3i, dtype: np.dtype[Any], rows: int) -> Iterator[NDArray[Any]]:
    depth, height, width = shape
    for y in range(0, height, rows):
        band = np.empty((depth, min(rows, height - y), width), dtype)
        for z, part in enumerate(band):
            file.seek((z * height + y) * width * dtype.itemsize)
            data = file.read(part.nbytes)
            if len(data) != part.nbytes:
                raise ToolError("a slab in scratch is cut off", why="the disk is full, or its file was removed")
            part[:] = np.frombuffer(data, dtype).reshape(part.shape)
        yield band
