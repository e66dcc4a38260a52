"""The sample of planes that the shading is estimated from.

Min(200, 20 % of the channel, at least 20) planes, at random over tiles and evenly over depth. They are taken in
pairs: a tile and its right or lower neighbour at the same depth, whose overlap shows the same tissue through
opposite edges of the field (`overlap`); apart from the overlap two neighbours are as unrelated as any two tiles.
Where the tiles have been placed, a pair shows the same depth of the tissue, not of the stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from cloudreg_correct.memory import MOST_PLANES
from cloudreg_correct.overlap import Overlap
from cloudreg_io.errors import InputError
from cloudreg_io.space import Vector3
from cloudreg_io.tiles import TileGrid, TileSource

SamplePlane = tuple[str, int]
Positions = Mapping[str, Vector3]

_MOST, _LEAST, _SHARE = MOST_PLANES, 20, 0.2
_GOLDEN = (5**0.5 - 1) / 2  # multiples of it, modulo 1, spread evenly however many are taken


def choose_sample(
    source: TileSource, planes: int | None = None, seed: int = 0, positions: Positions | None = None
) -> list[SamplePlane]:
    """Choose the planes to estimate the shading from.

    Parameters
    ----------
    source : TileSource
        Raw planes of one channel; planes that are not there are never chosen.
    planes : int, optional
        How many; by default 20 % of the channel, at least 20, at most 200.
    seed : int
        Another seed is another sample.
    positions : mapping of tile name to (x, y, z), optional
        Where voxel 0 of each tile lies, in voxels; by default where the stage says.

    Returns
    -------
    list of (tile name, z)
        Sorted by tile and depth.

    Raises
    ------
    InputError
        When `planes` is not positive or the channel has no planes.
    """
    if planes is not None and planes < 1:
        raise InputError(f"a sample of {planes} planes", fix="--sample PLANES, at least 5; better 60 or more")
    tiles = source.grid.scanned
    present = {tile.name: source.present(tile) for tile in tiles}
    total = sum(int(there.sum()) for there in present.values())
    if total == 0:
        raise InputError(f"channel {source.channel} has no planes", fix="cloudreg inspect ACQ shows what is there")
    wanted = min(total, planes or min(_MOST, max(_LEAST, round(_SHARE * total))))
    rng = np.random.default_rng(seed)
    chosen = _pairs(source.grid, present, wanted, rng, _places(source.grid, positions))
    if len(chosen) < wanted:
        rest = [(name, int(z)) for name, there in present.items() for z in np.flatnonzero(there)]
        rest = [plane for plane in rest if plane not in chosen]
        chosen |= {rest[i] for i in rng.permutation(len(rest))[: wanted - len(chosen)]}
    order = {tile.name: index for index, tile in enumerate(tiles)}
    return sorted(chosen, key=lambda plane: (order[plane[0]], plane[1]))


def overlaps_of(
    grid: TileGrid, sample: Sequence[SamplePlane], positions: Positions | None = None
) -> list[Overlap]:
    """The pairs of planes of neighbouring tiles in a sample that show the same depth."""
    places = _places(grid, positions)
    index = {plane: i for i, plane in enumerate(sample)}
    depths: dict[str, list[int]] = {}
    for name, z in sample:
        depths.setdefault(name, []).append(z)
    overlaps: list[Overlap] = []
    for a, b, _ in grid.neighbours():
        dx, dy, dz = (float(v) for v in places[b.name] - places[a.name])
        both = [(z, z - round(dz)) for z in depths.get(a.name, []) if (b.name, z - round(dz)) in index]
        overlaps += [Overlap(index[a.name, z], index[b.name, other], (dx, dy)) for z, other in both]
    return overlaps


def _places(grid: TileGrid, positions: Positions | None) -> dict[str, NDArray[np.float64]]:
    return {t.name: np.array(t.nominal if positions is None else positions[t.name]) for t in grid.scanned}


def _pairs(
    grid: TileGrid,
    present: dict[str, NDArray[np.bool_]],
    wanted: int,
    rng: np.random.Generator,
    places: dict[str, NDArray[np.float64]],
) -> set[SamplePlane]:
    """Pairs of neighbours at the same depth, in turn along x and y, until `wanted` planes are together."""
    along = {axis: [(a.name, b.name) for a, b, x_or_y in grid.neighbours() if x_or_y == axis] for axis in "xy"}
    turns = [cycle([pairs[i] for i in rng.permutation(len(pairs))]) for pairs in along.values() if pairs]
    chosen: set[SamplePlane] = set()
    if not turns:
        return chosen
    start = rng.random()
    for k in range(4 * wanted):  # a bound: the same planes may come up again in a small acquisition
        a, b = next(turns[k % len(turns)])
        below = round(float(places[b][2] - places[a][2]))
        both = _common(present[a], present[b], below)
        if both.size:
            z = int(both[int((start + k * _GOLDEN) % 1 * both.size)])
            new = {(a, z), (b, z - below)} - chosen
            if len(chosen) + len(new) > wanted:
                break
            chosen |= new
    return chosen


def _common(a: NDArray[np.bool_], b: NDArray[np.bool_], below: int) -> NDArray[np.intp]:
    """Planes z of a whose counterpart z - below of b is there as well."""
    z = np.flatnonzero(a)
    z = z[(z >= below) & (z < len(b) + below)]
    return np.asarray(z[b[z - below]])
