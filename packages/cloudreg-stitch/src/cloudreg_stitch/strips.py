"""Which parts of the tiles the alignment looks at: overlap strips, z slabs, bins.

Two neighbours share a strip along their common edge. How wide it is only the measurement will tell, so a
strip reaches beyond the nominal overlap by the search range. Of every strip two things are kept:

* the whole of it, binned, for the coarse search over the full range;
* at full resolution, a few *slabs* of consecutive planes, the same for all tiles, for the sub-voxel fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cloudreg_io.errors import InputError
from cloudreg_io.space import Vector3, Vector3i
from cloudreg_io.tiles import TileGrid

# (bin of x and y, bin of z, most bytes of a pair of strips): the finest that fits. Beyond a few MB a finer
# bin adds only time: the coarse search needs to be right within a bin, the fit does the rest.
_BINS = ((2, 1, 2e6), (4, 1, 6e6), (8, 1, 24e6), (8, 2, 32e6), (8, 4, 48e6), (16, 4, 64e6), (16, 8, 64e6))
_SMALL_UM = 22.5  # voxel edge of the small copies
_SLAB_FRACTION = 0.10  # of the raw data that is kept at full resolution, …
_SLAB_BYTES = 32e6  # … unless that is less than this per tile
_SLAB_PLANES = 12  # planes of a slab beyond the search range


@dataclass(frozen=True, slots=True)
class Strip:
    """A box of columns x and rows y of a tile (half-open, voxels), over all its planes."""

    x: tuple[int, int]
    y: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        return (self.y[1] - self.y[0], self.x[1] - self.x[0])


@dataclass(frozen=True, slots=True)
class PairPlan:
    """Two neighbours and the strips in which they may overlap.

    Attributes
    ----------
    a, b : int
        Indices of the tiles in `grid.tiles`.
    axis : "x" or "y"
    nominal : (x, y, z) float
        position(b) − position(a) as the stage says, in voxels.
    strip_a, strip_b : Strip or None
        In voxels of the respective tile; None when the stage says that they are too far apart.
    """

    a: int
    b: int
    axis: str
    nominal: Vector3
    strip_a: Strip | None
    strip_b: Strip | None


@dataclass(frozen=True, slots=True)
class SurveyPlan:
    """What a survey keeps of the tiles of one acquisition.

    Attributes
    ----------
    grid : TileGrid
    search : (x, y, z) int
        Search range in voxels.
    bin, bin_z : int
        Edge of the bins of the binned strips, in x and y, and in z.
    slabs : tuple of (z0, z1)
        Planes kept at full resolution.
    small, small_z : int
        Edge of the voxels of the small copies, in x and y, and in z, in voxels.
    pairs : tuple of PairPlan
    """

    grid: TileGrid
    search: Vector3i
    bin: int
    bin_z: int
    slabs: tuple[tuple[int, int], ...]
    small: int
    small_z: int
    pairs: tuple[PairPlan, ...]

    @property
    def bins_z(self) -> int:
        """Number of planes of a binned strip."""
        return self.grid.planes // self.bin_z

    @property
    def slab_planes(self) -> tuple[int, ...]:
        """Every plane that belongs to a slab."""
        return tuple(z for z0, z1 in self.slabs for z in range(z0, z1))

    def strips_of(self, index: int) -> dict[str, Strip]:
        """The strips of a tile by side: right, left, bottom, top."""
        found: dict[str, Strip] = {}
        for pair in self.pairs:
            if pair.a == index and pair.strip_a:
                found[side_of_a(pair.axis)] = pair.strip_a
            if pair.b == index and pair.strip_b:
                found[side_of_b(pair.axis)] = pair.strip_b
        return found


def side_of_a(axis: str) -> str:
    """Side at which the first tile of a pair meets the second."""
    return "right" if axis == "x" else "bottom"


def side_of_b(axis: str) -> str:
    """Side at which the second tile of a pair meets the first."""
    return "left" if axis == "x" else "top"


def plan_survey(grid: TileGrid, search: Vector3i, bytes_per_voxel: int = 2) -> SurveyPlan:
    """Decide what to keep. The result depends on nothing but the arguments.

    Raises
    ------
    InputError
        When no tile is scanned.
    """
    if not grid.scanned:
        raise InputError("no tile of this acquisition is scanned", fix="cloudreg inspect ACQ")
    edge, edge_z = _choose_bins(grid, search)
    pairs = tuple(_plan_pair(grid, pair, search, edge) for pair in _neighbours(grid))
    small, small_z = small_factors(grid, edge)
    slabs = _choose_slabs(grid, search, pairs, bytes_per_voxel)
    return SurveyPlan(grid, search, edge, edge_z, slabs, small, small_z, pairs)


def small_factors(grid: TileGrid, edge: int = 1) -> tuple[int, int]:
    """Voxels x (and y) and planes that make one voxel of a small copy; a multiple of `edge` where it can be."""
    voxel = grid.voxel_size
    small = max(1, round(_SMALL_UM / max(voxel.x, voxel.y)))
    if small >= edge:
        small = round(small / edge) * edge
    return min(small, *grid.tile_size[:2]), min(max(1, round(_SMALL_UM / voxel.z)), grid.planes)


def _neighbours(grid: TileGrid) -> list[tuple[int, int, str, Vector3]]:
    index = {tile.name: i for i, tile in enumerate(grid.tiles)}
    return [(index[a.name], index[b.name], axis, _minus(b.nominal, a.nominal)) for a, b, axis in grid.neighbours()]


def _minus(b: Vector3, a: Vector3) -> Vector3:
    return (b[0] - a[0], b[1] - a[1], b[2] - a[2])


def _overlap(grid: TileGrid, search: Vector3i, axis: str, nominal: Vector3) -> tuple[int, int]:
    """Where the strip of a begins and that of b ends, along the axis, in voxels."""
    k = "xy".index(axis)
    size, reach = grid.tile_size[k], search[k]
    start = max(0, math.floor(nominal[k]) - reach)
    stop = min(size, math.ceil(size - nominal[k]) + reach)
    return start, stop


def _plan_pair(grid: TileGrid, pair: tuple[int, int, str, Vector3], search: Vector3i, edge: int) -> PairPlan:
    a, b, axis, nominal = pair
    k = "xy".index(axis)
    size = grid.tile_size[k]
    if not nominal[k] + search[k] > 0 or nominal[k] - search[k] > size - 2 * edge:
        return PairPlan(a, b, axis, nominal, None, None)
    start, stop = _overlap(grid, search, axis, nominal)
    along_a = (start // edge * edge, size)
    along_b = (0, min(size, -(-stop // edge) * edge))
    full = (0, grid.tile_size[1 - k])
    if axis == "x":
        return PairPlan(a, b, axis, nominal, Strip(along_a, full), Strip(along_b, full))
    return PairPlan(a, b, axis, nominal, Strip(full, along_a), Strip(full, along_b))


def _choose_bins(grid: TileGrid, search: Vector3i) -> tuple[int, int]:
    widest = 0
    for _, _, axis, nominal in _neighbours(grid):
        start, stop = _overlap(grid, search, axis, nominal)
        k = "xy".index(axis)
        widest = max(widest, (grid.tile_size[k] - start + stop) * grid.tile_size[1 - k])
    for edge, edge_z, most in _BINS:
        if grid.planes >= 2 * edge_z and widest * grid.planes * 4 / (edge**2 * edge_z) <= most:
            return edge, edge_z
    return _BINS[-1][:2] if grid.planes >= 2 * _BINS[-1][1] else (_BINS[-1][0], 1)


def _choose_slabs(
    grid: TileGrid, search: Vector3i, pairs: tuple[PairPlan, ...], bytes_per_voxel: int
) -> tuple[tuple[int, int], ...]:
    strips = [strip for pair in pairs for strip in (pair.strip_a, pair.strip_b) if strip]
    if not strips:
        return ()
    width, height, planes = grid.tile_size
    # an inner tile has four strips; this is the most that one plane adds to a tile's scratch
    per_plane = min(4 * max(math.prod(strip.shape) for strip in strips), width * height)
    budget = max(_SLAB_FRACTION * planes * width * height / per_plane, _SLAB_BYTES / (per_plane * bytes_per_voxel))
    depth = min(planes, search[2] + _SLAB_PLANES)
    count = max(1, min(int(budget // depth), planes // depth))
    if budget >= planes:
        return ((0, planes),)
    gap = planes / count
    starts = [min(planes - depth, max(0, round((i + 0.5) * gap - depth / 2))) for i in range(count)]
    return tuple((start, start + depth) for start in starts)
