"""The whole sample at low resolution: the small copies of the tiles, each where the placement says."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.space import Vector3
from cloudreg_io.space.grid import Grid
from cloudreg_io.tiles import TileGrid
from cloudreg_stitch.placement import PlacedTile, Placement
from cloudreg_stitch.strips import small_factors
from cloudreg_stitch.survey import Survey

_RAMP = 0.1  # of a tile: over this much its weight falls off towards its edge

_Axis = tuple[slice, NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]]


def overview(survey: Survey, placement: Placement) -> tuple[NDArray[np.float32], Grid, NDArray[np.bool_]]:
    """Fuse the small copies.

    Parameters
    ----------
    survey : Survey
        Of any channel; its own `channel_shift` of the placement is applied.
    placement : Placement

    Returns
    -------
    array : float32 array [z, y, x]
        Mean counts; 0 where no tile is.
    grid : Grid
        Where its samples lie, in µm of the fused volume.
    mask : bool array [z, y, x]
        Where a tile is.
    """
    plan = survey.plan
    factor = (plan.small, plan.small, plan.small_z)
    grid = Grid.of_mip(placement.size(plan.grid.tile_size), placement.voxel_size, factor)
    total = np.zeros(grid.shape, np.float32)
    weight = np.zeros(grid.shape, np.float32)
    index = {tile.name: i for i, tile in enumerate(plan.grid.tiles)}
    shift = placement.channel_shift.get(survey.channel, (0.0, 0.0, 0.0))
    for tile in placement.scanned:
        _add(survey, index[tile.name], _moved(tile, shift), total, weight)
    mask = weight > 0
    np.divide(total, weight, out=total, where=mask)
    total[~mask] = 0
    return total, grid, mask


def overview_samples(grid: TileGrid) -> int:
    """How many samples an overview has, if the tiles lie where the stage says."""
    small, small_z = small_factors(grid)
    size = Placement.by_stage(grid).size(grid.tile_size)
    return math.prod(-(-n // f) for n, f in zip(size, (small, small, small_z), strict=True))


def _moved(tile: PlacedTile, shift: Vector3) -> Vector3:
    x, y, z = (p + s for p, s in zip(tile.position, shift, strict=True))
    return (x, y, z)


def _add(
    survey: Survey, index: int, position: Vector3, total: NDArray[np.float32], weight: NDArray[np.float32]
) -> None:
    plan = survey.plan
    small = survey.small(index)
    statistics = survey.tiles[index]
    there = np.ones(len(small), np.float32)
    if statistics:
        there[list(statistics.small_absent)] = 0
    width, height, planes = plan.grid.tile_size
    middle = (plan.small - 1) / 2
    z = _axis(total.shape[0], plan.small_z, position[2], planes, len(small), survey.small_z0)
    y = _axis(total.shape[1], plan.small, position[1], height, small.shape[1], middle)
    x = _axis(total.shape[2], plan.small, position[0], width, small.shape[2], middle)
    box = (z[0], y[0], x[0])
    # planes that are missing weigh nothing, and neither do samples between one of them and its neighbour
    along_z = np.floor(_between(there, z, 0) + 1e-6)
    share = along_z[:, None, None] * y[3][None, :, None] * x[3][None, None, :]
    values = _between(_between(_between(small, z, 0), y, 1), x, 2)
    total[box] += share * values
    weight[box] += share


def _axis(samples: int, factor: int, position: float, extent: int, count: int, first: float) -> _Axis:
    """How an axis of the overview meets that of a tile.

    Returns the samples of the overview inside the tile, for each of them the sample of the small copy below
    it and the fraction of the way to the next, and its weight.
    """
    voxel = (np.arange(samples) + 0.5) * factor - 0.5 - position  # in voxels of the tile
    inside = np.flatnonzero((voxel >= -0.5) & (voxel < extent - 0.5))
    begin, end = (int(inside[0]), int(inside[-1]) + 1) if inside.size else (0, 0)
    voxel = voxel[begin:end]
    place = np.clip((voxel - first) / factor, 0, max(0, count - 1))
    below = np.minimum(place.astype(np.intp), max(0, count - 2))
    edge = np.minimum(voxel + 0.5, extent - 0.5 - voxel) + 0.5
    ramp = np.clip(edge / max(1.0, _RAMP * extent), 1e-3, 1)
    return slice(begin, end), below, (place - below).astype(np.float32), ramp.astype(np.float32)


def _between(values: NDArray[np.float32], axis: _Axis, along: int) -> NDArray[np.float32]:
    """Linear interpolation along one axis."""
    _, below, fraction, _ = axis
    above = np.minimum(below + 1, values.shape[along] - 1)
    shape = [1] * values.ndim
    shape[along] = -1
    f = fraction.reshape(shape)
    result: NDArray[np.float32] = np.take(values, below, along) * (1 - f) + np.take(values, above, along) * f
    return result
