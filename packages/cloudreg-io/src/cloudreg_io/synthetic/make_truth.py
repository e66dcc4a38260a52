"""Works out the truth about an acquisition from its specification and the tiles' places in the scene."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from cloudreg_io.errors import InputError
from cloudreg_io.space import Vector3, Vector3i, vector3
from cloudreg_io.synthetic.spec import AcquisitionSpec
from cloudreg_io.synthetic.truth import TruePair, TrueTile, Truth, rounded
from cloudreg_io.tiles import Tile, TileGrid

TissueShare = Callable[[Tile, Vector3, Vector3i], float]


def make_truth(
    folder: Path, spec: AcquisitionSpec, positions: Mapping[str, Vector3], tissue: TissueShare
) -> Truth:
    """The truth about the acquisition of `spec`.

    Parameters
    ----------
    folder : Path
        Of the acquisition.
    spec : AcquisitionSpec
    positions : mapping of tile name to (x, y, z)
        Of every cell, in voxels of the scene.
    tissue : callable
        (tile, scene position, extent x y z) -> share of that box in which something can be seen.

    Raises
    ------
    InputError
        When no cell of the grid is scanned.
    """
    scanned = [tile for tile in spec.tiles if tile.scanned]
    if not scanned:
        raise InputError("no cell of the grid is scanned", fix="leave a cell out of `unscanned`")
    offset = rounded(np.floor(np.min([positions[tile.name] for tile in scanned], axis=0)))
    size = (*spec.tile_size, spec.planes)
    grid = TileGrid(spec.rows, spec.columns, size, spec.voxel_size, spec.tiles)
    return Truth(
        folder=folder,
        voxel_size=spec.voxel_size,
        tile_size=size,
        channels=spec.channel_names,
        channel_shift={spec.channel_names[c]: vector3(shift) for c, shift in sorted(spec.channel_shift.items())},
        scene_offset=offset,
        tiles=tuple(_true_tile(tile, offset, spec, positions[tile.name], tissue) for tile in spec.tiles),
        pairs=tuple(_true_pair(a, b, axis, positions, size, tissue) for a, b, axis in grid.neighbours()),
    )


def _true_tile(
    tile: Tile, offset: Vector3i, spec: AcquisitionSpec, scene: Vector3, tissue: TissueShare
) -> TrueTile:
    cell = (tile.row, tile.column)
    share = tissue(tile, scene, (*spec.tile_size, spec.planes)) if tile.scanned else 0.0
    faults = {
        "unscanned": not tile.scanned,
        "dark": cell in spec.dark,
        "duplicate": cell in spec.duplicate,
    }
    faults["blank"] = cell in spec.blank or (share == 0 and not any(faults.values()))
    original = spec.duplicate.get(cell)
    return TrueTile(
        tile.name,
        tile.row,
        tile.column,
        vector3(np.subtract(scene, offset).tolist()),
        tile.nominal,
        tuple(sorted(flag for flag, present in faults.items() if present)),
        next((t.name for t in spec.tiles if (t.row, t.column) == original), ""),
        share,
    )


def _true_pair(
    a: Tile, b: Tile, axis: str, positions: Mapping[str, Vector3], size: Vector3i, tissue: TissueShare
) -> TruePair:
    first, second = np.array(positions[a.name]), np.array(positions[b.name])
    lower, upper = np.maximum(first, second), np.minimum(first, second) + size
    extent = rounded(np.maximum(np.floor(upper - lower), 0))
    share = min(tissue(tile, vector3(lower.tolist()), extent) for tile in (a, b))
    return TruePair(a.name, b.name, axis, vector3((second - first).tolist()), share)
