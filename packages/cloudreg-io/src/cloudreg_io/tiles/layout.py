"""From stage positions to a grid: rows and columns, and whether neighbours overlap as they should."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from cloudreg_io.errors import InputError
from cloudreg_io.space import Vector3
from cloudreg_io.tiles.acquisition import Tile, TileGrid

# Positions closer than this part of a tile belong to the same row or column: stages repeat themselves
# far better, and tiles that overlap by more than three quarters are no mosaic.
_SAME = 0.25
# An overlap narrower than this many voxels cannot be aligned.
_NARROW = 4


def cluster(values: Sequence[float], gap: float) -> list[int]:
    """Number the groups of values that lie further apart than `gap`, in increasing order.

    Returns
    -------
    list of int
        The group of each value, 0 for the smallest ones.
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    groups = [0] * len(values)
    for before, after in pairwise(order):
        groups[after] = groups[before] + (values[after] - values[before] > gap)
    return groups


def rows_and_columns(positions: Sequence[Vector3], tile_size: tuple[int, int, int]) -> list[tuple[int, int]]:
    """Row and column of each tile from its position in voxels."""
    same = _SAME * min(tile_size[:2])  # of both: the axes of the stage may yet be exchanged
    columns = cluster([position[0] for position in positions], same)
    rows = cluster([position[1] for position in positions], same)
    return list(zip(rows, columns, strict=True))


def complete_grid(tiles: Sequence[Tile], at_least: tuple[int, int] = (1, 1)) -> tuple[int, int, tuple[Tile, ...]]:
    """Rows, columns and all cells in row-major order; cells that no tile fills become unscanned ones.

    An unscanned cell is put where its row and its column lie.

    Parameters
    ----------
    tiles : sequence of Tile
        In any order; at least one.
    at_least : (rows, columns) int
        The smallest grid to make.

    Raises
    ------
    InputError
        When two tiles claim the same cell.
    """
    at: dict[tuple[int, int], Tile] = {}
    for tile in tiles:
        other = at.setdefault((tile.row, tile.column), tile)
        if other is not tile:
            raise InputError(
                f"tiles {other.name!r} and {tile.name!r} are both in row {tile.row}, column {tile.column}",
                why="two tiles have nearly the same position, or the positions do not form a grid",
                fix="give every tile its row and column",
            )
    rows = max(at_least[0], *(tile.row + 1 for tile in tiles))
    columns = max(at_least[1], *(tile.column + 1 for tile in tiles))
    x_of = _centres([(tile.column, tile.nominal[0]) for tile in tiles], columns)
    y_of = _centres([(tile.row, tile.nominal[1]) for tile in tiles], rows)
    cells = [(row, column) for row in range(rows) for column in range(columns)]
    return (
        rows,
        columns,
        tuple(
            at.get(cell)
            or Tile(f"unscanned-{cell[0]}-{cell[1]}", *cell, (x_of[cell[1]], y_of[cell[0]], 0.0), scanned=False)
            for cell in cells
        ),
    )


def _centres(values: Sequence[tuple[int, float]], number: int) -> list[float]:
    """The middle position of each row (or column); of those without a tile, by the mean step."""
    known = {index: median(v for i, v in values if i == index) for index in {i for i, _ in values}}
    first, last = min(known), max(known)
    step = (known[last] - known[first]) / (last - first) if last > first else 0.0
    return [known.get(index, known[first] + (index - first) * step) for index in range(number)]


def from_zero(positions: Sequence[Vector3]) -> list[Vector3]:
    """Positions moved so that the smallest is 0 on each axis."""
    x0, y0, z0 = (min(position[axis] for position in positions) for axis in range(3))
    return [(x - x0, y - y0, z - z0) for x, y, z in positions]


def check_overlaps(grid: TileGrid, source: str) -> list[str]:
    """Refuse a grid whose neighbours do not overlap; return warnings for overlaps that are odd.

    Parameters
    ----------
    grid : TileGrid
    source : str
        The file that the positions come from, for the message.

    Raises
    ------
    InputError
        Naming the axis, the step and the overlap.
    """
    warnings = []
    for index, axis in enumerate("xy"):
        pairs = [(a, b) for a, b, along in grid.neighbours() if along == axis]
        if not pairs:
            continue
        step = median(b.nominal[index] - a.nominal[index] for a, b in pairs)
        size = grid.tile_size[index]
        overlap = size - step
        share = round(100 * overlap / size, 1)
        told = f"overlap along {axis}: {round(overlap, 2):.9g} of {size} voxels ({share:.9g} %)"
        if not 0 < overlap < size:
            raise InputError(
                f"{source}: neighbouring tiles must overlap; {told}, step {round(step, 2):.9g} voxels",
                why="a wrong voxel size or unit of the positions, an inverted axis, or x and y swapped",
                fix="compare the step between neighbours with the size of a tile: tile size = step + overlap; "
                "where the stage's x runs along the image's rows, add --swap-xy",
            )
        if overlap > size / 2:
            warnings.append(f"{source}: {told} is more than half a tile: check the voxel size and the axes")
        elif overlap < _NARROW:
            warnings.append(f"{source}: {told} is too narrow to align: is the overlap given in per cent?")
    return warnings
