"""Sums over square bins of a plane: one pass over the voxels, nothing copied."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_stitch.compiled import compiled


def bin_plane(plane: NDArray[Any], edge: int, out: NDArray[np.float32]) -> None:
    """Mean of every whole `edge` × `edge` bin of a plane.

    Parameters
    ----------
    plane : array [y, x]
        Integers or float32.
    edge : int
        At most 16: the sums of 16-bit voxels are then exact in float32.
    out : array [y // edge, x // edge]
        Receives the means. Rows and columns beyond the last whole bin are left out.
    """
    row = np.empty(plane.shape[1], np.float32 if plane.dtype.kind == "f" else np.uint32)
    _bin_plane(plane, edge, row, out)


@compiled
def _bin_plane(plane: NDArray[Any], edge: int, row: NDArray[Any], out: NDArray[np.float32]) -> None:
    rows, columns = out.shape
    width = columns * edge
    scale = np.float32(1.0 / (edge * edge))
    for i in range(rows):
        line = plane[i * edge]
        for j in range(width):
            row[j] = line[j]
        for k in range(1, edge):
            line = plane[i * edge + k]
            for j in range(width):
                row[j] += line[j]
        for j in range(columns):
            total = row[j * edge]
            for k in range(1, edge):
                total += row[j * edge + k]
            out[i, j] = np.float32(total) * scale
