"""The sample of planes that the shading is estimated from.

Min(200, 20 % of the channel, at least 20) planes, at random over tiles and evenly over depth. They are taken in
pairs: a tile and its right or lower neighbour at the same depth, whose overlap shows the same tissue through
opposite edges of the field (`overlap`); apart from the overlap two neighbours are as unrelated as any two tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from cloudreg_correct.overlap import Overlap
from cloudreg_io.errors import InputError
from cloudreg_io.tiles import Tile, TileGrid, TileSource

SamplePlane = tuple[str, int]

_MOST, _LEAST, _SHARE = 200, 20, 0.2
_GOLDEN = (5**0.5 - 1) / 2  # multiples of it, modulo 1, spread evenly however many are taken


def choose_sample(source: TileSource, planes: int | None = None, seed: int = 0) -> list[SamplePlane]:
    """Choose the planes to estimate the shading from.

    Parameters
    ----------
    source : TileSource
        Raw planes of one channel; planes that are not there are never chosen.
    planes : int, optional
        How many; by default 20 % of the channel, at least 20, at most 200.
    seed : int
        Another seed is another sample.

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
    chosen = _pairs(source.grid, present, wanted, rng)
    if len(chosen) < wanted:
        rest = [(name, int(z)) for name, there in present.items() for z in np.flatnonzero(there)]
        rest = [plane for plane in rest if plane not in chosen]
        chosen |= {rest[i] for i in rng.permutation(len(rest))[: wanted - len(chosen)]}
    order = {tile.name: index for index, tile in enumerate(tiles)}
    return sorted(chosen, key=lambda plane: (order[plane[0]], plane[1]))


def overlaps_of(grid: TileGrid, sample: Sequence[SamplePlane]) -> list[Overlap]:
    """The pairs of neighbouring tiles at the same depth in a sample, by their nominal positions."""
    place = {plane: index for index, plane in enumerate(sample)}
    depths: dict[str, list[int]] = {}
    for name, z in sample:
        depths.setdefault(name, []).append(z)
    return [
        Overlap(place[a.name, z], place[b.name, z], _shift(a, b))
        for a, b, _ in grid.neighbours()
        for z in depths.get(a.name, [])
        if (b.name, z) in place
    ]


def _shift(a: Tile, b: Tile) -> tuple[float, float]:
    return (b.nominal[0] - a.nominal[0], b.nominal[1] - a.nominal[1])


def _pairs(
    grid: TileGrid, present: dict[str, NDArray[np.bool_]], wanted: int, rng: np.random.Generator
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
        both = np.flatnonzero(present[a] & present[b])
        if both.size:
            z = int(both[int((start + k * _GOLDEN) % 1 * both.size)])
            new = {(a, z), (b, z)} - chosen
            if len(chosen) + len(new) > wanted:
                break
            chosen |= new
    return chosen
