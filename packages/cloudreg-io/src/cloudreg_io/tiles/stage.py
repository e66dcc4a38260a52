"""How the stage's axes lie to those of the image, where the metadata has it wrong.

The positions of tiles come from the stage, their pixels from the camera, and nothing in a file says that the two
agree: a camera may be mounted mirrored or turned, and programs differ about signs. There are eight ways, all made
of one exchange of x and y and one mirror along each axis. A grid read from files is told as one of them;
`StageAxes` turns it into another. Tiles keep their pixels and names, only their places change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from cloudreg_io.tiles.acquisition import Tile, TileGrid


@dataclass(frozen=True, slots=True)
class StageAxes:
    """What to do to the positions that the metadata tell: exchange first, then mirror.

    Attributes
    ----------
    flip_x : bool
        The stage's x runs against the image's columns: mirror the positions along x.
    flip_y : bool
        The stage's y runs against the image's rows: mirror the positions along y.
    swap_xy : bool
        The stage's x runs along the image's rows and its y along the columns: exchange them, in µm.
    """

    flip_x: bool = False
    flip_y: bool = False
    swap_xy: bool = False

    def __bool__(self) -> bool:
        return self.flip_x or self.flip_y or self.swap_xy

    def __str__(self) -> str:
        """As typed on a command line; "" for positions as the metadata tell them."""
        options = {"--flip-x": self.flip_x, "--flip-y": self.flip_y, "--swap-xy": self.swap_xy}
        return " ".join(option for option, wanted in options.items() if wanted)

    def then(self, other: StageAxes) -> StageAxes:
        """The one change that does what this one and after it `other` do."""
        x, y = (self.flip_y, self.flip_x) if other.swap_xy else (self.flip_x, self.flip_y)
        return StageAxes(x != other.flip_x, y != other.flip_y, self.swap_xy != other.swap_xy)

    def of(self, grid: TileGrid) -> TileGrid:
        """The grid with its tiles where these axes put them.

        Parameters
        ----------
        grid : TileGrid
            As the metadata tell it.

        Returns
        -------
        TileGrid
            The same tiles, row-major, with new rows, columns and nominal positions; the lowest and the highest
            position along an axis stay what they are (or become those of the other axis).
        """
        if self.swap_xy:
            grid = _exchanged(grid)
        for axis, wanted in enumerate((self.flip_x, self.flip_y)):
            if wanted:
                grid = _mirrored(grid, axis)
        return replace(grid, tiles=tuple(sorted(grid.tiles, key=lambda tile: (tile.row, tile.column))))


AS_TOLD = StageAxes()


def all_axes() -> Iterator[StageAxes]:
    """The eight ways, those with the fewest changes first."""
    ways = [StageAxes(*flags) for flags in product((False, True), repeat=3)]
    yield from sorted(ways, key=lambda axes: axes.flip_x + axes.flip_y + axes.swap_xy)


def _exchanged(grid: TileGrid) -> TileGrid:
    ratio = grid.voxel_size.x / grid.voxel_size.y

    def turned(tile: Tile) -> Tile:
        x, y, z = tile.nominal
        return replace(tile, row=tile.column, column=tile.row, nominal=(y / ratio, x * ratio, z))

    return replace(grid, rows=grid.columns, columns=grid.rows, tiles=tuple(map(turned, grid.tiles)))


def _mirrored(grid: TileGrid, axis: int) -> TileGrid:
    along = [tile.nominal[axis] for tile in grid.tiles]
    ends = min(along) + max(along)

    def turned(tile: Tile) -> Tile:
        x, y, z = tile.nominal
        if axis == 0:
            return replace(tile, column=grid.columns - 1 - tile.column, nominal=(ends - x, y, z))
        return replace(tile, row=grid.rows - 1 - tile.row, nominal=(x, ends - y, z))

    return replace(grid, tiles=tuple(map(turned, grid.tiles)))
