"""Coverage: what became of every voxel of the input, and which voxels of the output nobody imaged.

Every source voxel is counted once, at the output voxel nearest to it: *alone* (the output is its value),
*blended* (with other tiles), *dropped* (another tile was preferred) or *cropped* (outside the volume). The
first three are counted while tiles are added, the last from geometry, and together they must be the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import CloudRegError
from cloudreg_io.space import Bounds
from cloudreg_stitch.layout import Footprint, Layout

COUNTS = ("alone", "blended", "dropped")


def uncovered(tiles: Sequence[Footprint], window: Bounds) -> int:
    """Number of output voxels of a window that no plane of any tile covers."""
    missing = 0
    known: dict[tuple[int, ...], int] = {}
    for z in range(window.lower[2], window.upper[2]):
        present = tuple(tile.index for tile in tiles if tile.planes(z))
        if present not in known:
            boxes = [tile.bounds for tile in tiles if tile.index in present]
            known[present] = _area(window) - union_area(boxes, window)
        missing += known[present]
    return missing


def union_area(boxes: Sequence[Bounds], window: Bounds) -> int:
    """Area (x, y) of the part of a window that is inside any of the boxes."""
    parts = [box for box in boxes if _meets(box, window)]
    edges = [_edges(parts, window, axis) for axis in (0, 1)]
    inside = np.zeros((len(edges[1]) - 1, len(edges[0]) - 1), np.bool_)
    for box in parts:
        columns, rows = (
            slice(*np.searchsorted(edge, (box.lower[axis], box.upper[axis]))) for axis, edge in enumerate(edges)
        )
        inside[rows, columns] = True
    return int(np.diff(edges[1]) @ inside @ np.diff(edges[0]))


def cropped(tile: Footprint, volume: Bounds) -> int:
    """Number of voxels of a tile's planes that lie outside the volume."""
    home = tile.home
    inside = [k for k in np.flatnonzero(tile.present) if volume.lower[2] <= home.lower[2] + k < volume.upper[2]]
    return _voxels(tile) - _area(home.intersection(volume)) * len(inside)


def report(layout: Layout, counts: NDArray[np.int64]) -> list[dict[str, Any]]:
    """What became of each tile's voxels, as JSON.

    Parameters
    ----------
    layout : Layout
    counts : int64 [tiles, 3]
        Alone, blended, dropped; summed over the whole volume.

    Raises
    ------
    CloudRegError
        The counts and the input differ: voxels were lost or used twice.
    """
    rows = []
    by_place = sorted(layout.footprints, key=lambda tile: (tile.tile.row, tile.tile.column))
    for tile in by_place:
        row = counts[tile.index].tolist()
        outside, total = cropped(tile, layout.volume), _voxels(tile)
        if sum(row) + outside != total:
            raise CloudRegError(
                f"tile {tile.tile.name}: {total} voxels went in, {sum(row)} + {outside} cropped are accounted for",
                why="this is a defect of cloudreg-stitch, not of the data",
                fix="please report it with OUT/placement.json",
            )
        missing = [int(k) for k in np.flatnonzero(~tile.present)]
        rows.append(
            {"name": tile.tile.name, "input": total}
            | dict(zip(COUNTS, row, strict=True))
            | {"cropped": outside, "missing_planes": missing}
        )
    return rows


def _voxels(tile: Footprint) -> int:
    return int(tile.present.sum()) * tile.size[0] * tile.size[1]


def _area(box: Bounds) -> int:
    return box.size[0] * box.size[1]


def _edges(boxes: Sequence[Bounds], window: Bounds, axis: int) -> NDArray[np.int64]:
    """Where boxes begin and end inside a window: between two edges nothing changes."""
    ends = (window.lower[axis], window.upper[axis])
    values = [*ends, *(box.lower[axis] for box in boxes), *(box.upper[axis] for box in boxes)]
    return np.unique(np.clip(values, *ends))


def _meets(box: Bounds, window: Bounds) -> bool:
    return all(box.lower[axis] < window.upper[axis] and window.lower[axis] < box.upper[axis] for axis in (0, 1))
