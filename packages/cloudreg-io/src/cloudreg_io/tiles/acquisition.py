"""An acquisition: a grid of tiles, each a stack of planes, in one or more channels.

A *tile* is one stage position; its *planes* are 2-D images of equal size. The grid says where the stage
believed each tile to be (its *nominal* position, in voxels); where tiles really are is found by alignment
and lives in a placement, not here. Planes may be absent from files: what the metadata promises and the
disk lacks is *missing*, see `cloudreg_io.tiles.completeness`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, overload

from cloudreg_io.errors import NotFoundError
from cloudreg_io.space import Vector3, Vector3i, VoxelSize
from cloudreg_io.tiles.problem import Problem
from cloudreg_io.tiles.stamps import Stamps, stamps_of

if TYPE_CHECKING:
    from cloudreg_io.tiles.source import TileSource


@dataclass(frozen=True, slots=True)
class Tile:
    """One stage position.

    Attributes
    ----------
    name : str
        Folder relative to the tile root, with forward slashes; unique in the grid. Unscanned cells have one too.
    row, column : int
        Place in the grid; rows grow along y, columns along x.
    nominal : (x, y, z) float
        Where the stage believed voxel 0 to be, in voxels of the grid.
    scanned : bool
        Whether the microscope imaged this cell.
    z_ranges : tuple of (first, end), optional
        The planes that were imaged where the metadata says that only some were; None: all.
    """

    name: str
    row: int
    column: int
    nominal: Vector3
    scanned: bool = True
    z_ranges: tuple[tuple[int, int], ...] | None = None

    def promises(self, z: int) -> bool:
        """Whether the metadata says that plane z of this tile was imaged."""
        if self.z_ranges is None:
            return self.scanned
        return self.scanned and any(first <= z < end for first, end in self.z_ranges)


@dataclass(frozen=True, slots=True)
class TileGrid:
    """All tiles of an acquisition, in row-major order, and what they have in common.

    Attributes
    ----------
    rows, columns : int
        Extent of the grid.
    tile_size : (x, y, z) int
        Size of every tile in voxels; z is the number of planes the metadata promises.
    voxel_size : VoxelSize
        In µm.
    tiles : tuple of Tile
        Scanned and unscanned cells.
    """

    rows: int
    columns: int
    tile_size: Vector3i
    voxel_size: VoxelSize
    tiles: tuple[Tile, ...]

    @property
    def scanned(self) -> tuple[Tile, ...]:
        """The tiles that were imaged."""
        return tuple(tile for tile in self.tiles if tile.scanned)

    @property
    def planes(self) -> int:
        """Number of planes of a tile."""
        return self.tile_size[2]

    def tile(self, name: str) -> Tile:
        """The tile of that name."""
        for tile in self.tiles:
            if tile.name == name:
                return tile
        raise NotFoundError(f"no tile {name!r} in this acquisition", fix="cloudreg inspect ACQ lists the tiles")

    def neighbours(self) -> Iterator[tuple[Tile, Tile, str]]:
        """Pairs (a, b, axis) of scanned tiles side by side: axis "x" along a row, "y" along a column."""
        at = {(tile.row, tile.column): tile for tile in self.scanned}
        for (row, column), tile in at.items():
            if right := at.get((row, column + 1)):
                yield tile, right, "x"
            if below := at.get((row + 1, column)):
                yield tile, below, "y"


@dataclass(frozen=True, slots=True)
class PlaneFiles(Sequence["Path | None"]):
    """The files of one tile's planes in one channel, in order; None where there is none.

    One folder and the names in it: a large acquisition has 10⁵ to 10⁶ planes, and as many `Path` objects would
    take a gigabyte and travel to every worker.
    """

    folder: Path
    names: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Path | None: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Path | None]: ...
    def __getitem__(self, index: int | slice) -> Path | Sequence[Path | None] | None:
        if isinstance(index, slice):
            return PlaneFiles(self.folder, self.names[index])
        name = self.names[index]
        return None if name is None else self.folder / name


@dataclass(frozen=True, slots=True)
class Acquisition:
    """One raw data set on disk, as a reader found it.

    Attributes
    ----------
    root : Path
        The folder (or file) that opens it again: `open_acquisition(root)`.
    tile_root : Path
        The folder that tile names are relative to (COLM: `root/VW0`).
    reader : str
        Name of the reader: "colm", "grid", "terastitcher".
    grid : TileGrid
    channels : tuple of str
        Channel names in the order of the metadata ("CHN00", "CHN01", …).
    dtype : str
        numpy name of the planes' dtype ("uint16", …).
    files : mapping of channel to mapping of tile name to planes
        `files[channel][tile.name][z]` is the path of a plane, or None where no file was found.
    warnings : tuple of str
        What is odd but not wrong.
    problems : tuple of Problem
        What the listing of the folders showed to be wrong (duplicates, planes that nothing promises, folders of
        unscanned cells); `cloudreg_io.tiles.completeness` adds what the files show.
    """

    root: Path
    tile_root: Path
    reader: str
    grid: TileGrid
    channels: tuple[str, ...]
    dtype: str
    files: dict[str, dict[str, Sequence[Path | None]]]
    warnings: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    _stamps: dict[tuple[str, str], Stamps] = field(default_factory=dict, repr=False, compare=False)

    def stamps(self, channel: str) -> dict[str, Stamps]:
        """What the planes of each tile were when this was first asked; see `cloudreg_io.tiles.stamps`."""
        for tile, paths in self.files[channel].items():
            if (channel, tile) not in self._stamps:
                self._stamps[channel, tile] = stamps_of(paths)
        return {tile: self._stamps[channel, tile] for tile in self.files[channel]}

    def channel(self, name: str | int) -> str:
        """The full name of a channel given by name or by number (position for names without a number).

        Raises
        ------
        NotFoundError
            Naming the channels that are present.
        """
        text = str(name)
        for channel in self.channels:
            digits = channel.removeprefix("CHN")
            if text == channel or (text.isdigit() and digits.isdigit() and int(text) == int(digits)):
                return channel
        if text.isdigit() and int(text) < len(self.channels) and not any(_numbered(c) for c in self.channels):
            return self.channels[int(text)]
        raise NotFoundError(
            f"channel {text} not found; channels present: {', '.join(self.channels)}", fix="--channels NAME[,NAME]"
        )

    def source(self, channel: str | int, *, fill_missing: bool = False) -> TileSource:
        """The planes of one channel. With `fill_missing`, absent planes read as 0 and are masked out."""
        from cloudreg_io.tiles.source import FileTileSource

        return FileTileSource.of(self, self.channel(channel), fill_missing=fill_missing)


def _numbered(channel: str) -> bool:
    return channel.startswith("CHN") and channel[3:].isdigit()
