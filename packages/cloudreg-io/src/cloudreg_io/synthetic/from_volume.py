"""Cuts an acquisition out of a real volume at whole voxels: what is fused must be the volume again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.synthetic.acquisition import make_acquisition
from cloudreg_io.synthetic.scene import ArrayScene
from cloudreg_io.synthetic.spec import PERFECT_OPTICS, AcquisitionSpec
from cloudreg_io.synthetic.truth import Truth


def make_from_volume(
    folder: Path | str,
    volumes: Sequence[NDArray[np.uint16]],
    *,
    rows: int = 3,
    columns: int = 3,
    overlap: tuple[float, float] = (20.0, 20.0),
    jitter: tuple[int, int, int] = (2, 2, 1),
    jobs: int = 1,
    **options: Any,
) -> Truth:
    """Cut tiles out of volumes (one a channel) at whole voxels.

    The tiles are as large as fits: they cover the volume but for a rim of up to 2 · jitter voxels and the
    unscanned cells. By default every plane holds the volume's own values, so that for every covered voxel
    `fused[z, y, x] == volume[z + oz, y + oy, x + ox]` with (ox, oy, oz) = `truth.scene_offset`.

    Parameters
    ----------
    folder : Path
        New folder.
    volumes : sequence of [z, y, x] uint16
        Of equal shape; for a second channel from one volume see `inverted`.
    rows, columns : int
    overlap : (x, y) float
        Percent of the tile.
    jitter : (x, y, z) int
        Voxels.
    jobs : int
    options
        Any other field of `AcquisitionSpec`: unscanned, seed, z_step_um, magnification, and the optics, which
        are off by default (with them on, `signal` multiplies the volume's values).

    Returns
    -------
    Truth

    Raises
    ------
    InputError
        When the volumes differ in shape, are not uint16, or are too small for so many tiles.
    """
    if not volumes or {v.shape for v in volumes} != {volumes[0].shape} or volumes[0].ndim != 3:
        raise InputError(f"volumes of one shape [z, y, x] are wanted, not {[list(v.shape) for v in volumes]}")
    if any(volume.dtype != np.uint16 for volume in volumes):
        raise InputError("volumes of uint16 are wanted", why="planes of COLM are uint16")
    nz, ny, nx = volumes[0].shape
    tile = (
        _tile_edge(nx, columns, overlap[0], jitter[0], "x"),
        _tile_edge(ny, rows, overlap[1], jitter[1], "y"),
    )
    spec = AcquisitionSpec(
        rows=rows,
        columns=columns,
        tile_size=tile,
        planes=_tile_edge(nz, 1, 0.0, jitter[2], "z"),
        overlap=overlap,
        jitter=(float(jitter[0]), float(jitter[1]), float(jitter[2])),
        whole_voxels=True,
        channels=len(volumes),
        **{**PERFECT_OPTICS, **options},
    )
    return make_acquisition(
        folder, [ArrayScene(volume) for volume in volumes], spec, scene_size=(nx, ny, nz), jobs=jobs
    )


def inverted(volume: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """The volume with bright and dark exchanged: the same edges, another channel."""
    return np.asarray(volume.max() - volume, np.uint16)


def _tile_edge(size: int, count: int, overlap: float, jitter: int, axis: str) -> int:
    """The largest tile for which `count` of them stay inside `size` voxels, whatever the jitter."""
    edge = math.floor((size - 2 * jitter) / ((count - 1) * (1 - overlap / 100) + 1))
    if edge < 1 or (count > 1 and edge * overlap / 100 < 2 * jitter + 2):
        raise InputError(
            f"{size} voxels along {axis} are too few for {count} tiles",
            why=f"they shall overlap by {overlap:g} % and be off by up to ± {jitter} voxels",
            fix="fewer tiles, more overlap or less jitter",
        )
    return edge
