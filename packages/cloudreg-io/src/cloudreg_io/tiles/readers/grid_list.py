"""Grid lists: a small file, written by hand or by a script, that describes any microscope's tiles.

As TOML, beside the tiles (`tiles.toml`, or any name)::

    voxel_size = [1.46, 1.46, 5.0]      # µm: x, y, z
    overlap_percent = [10, 10]          # x, y; only for tiles that have row and column but no position
    root = "."                          # where the tile folders are; default: beside this file
    position_unit = "um"                # or "voxels"
    invert = ["x"]                      # axes along which positions fall while voxels rise
    planes = 96                         # default: as many as the fullest tile has
    first_plane = 0                     # number of the first plane; default: the smallest found
    plane_step = 1                      # difference between the numbers of two planes

    [channels]                          # name = pattern of the files of its planes
    ch488 = "*_488_{z}.tif"             # {z}: the plane's number; * and ? as usual
    ch561 = "Ex_561/{folder}/{z}.tif"   # {folder}: the tile's folder; default: "{folder}/PATTERN"

    [[tiles]]
    folder = "tile_00"
    position = [0.0, 0.0, 0.0]          # x, y and, if known, z
    [[tiles]]
    folder = "tile_01"
    row = 0                             # instead of a position, or beside it
    column = 1

As CSV, with the same settings as comments in front; `voxel_size` may also be given when it is opened::

    # voxel_size = [1.46, 1.46, 5.0]
    # channels.ch488 = "*_488_{z}.tif"
    folder,x,y,z,row,column
    tile_00,0,0,,,
    tile_01,2690.5,0,,,

A TOML file may also name the CSV file: `tiles = "positions.csv"`. Without `[channels]` there is one channel,
CHN00, of all TIFF files in a folder. A pattern without `{z}` takes files in natural order, and then every
tile must have the same number of them, since nothing tells which one is missing. Rows and columns, where they
are not given, follow from the positions.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cloudreg_io.errors import InputError
from cloudreg_io.space import Vector3, VoxelSize
from cloudreg_io.tiles.acquisition import Acquisition, Tile, TileGrid
from cloudreg_io.tiles.layout import complete_grid, from_zero, rows_and_columns
from cloudreg_io.tiles.listing import Listing, common_header, find_file
from cloudreg_io.tiles.readers.grid_list_file import GridList, Row, read_grid_list
from cloudreg_io.tiles.readers.plane_pattern import Numbers, PlanePattern
from cloudreg_io.tiles.readers.signs import Signs

NAME = "grid"
FILE_NAMES = ("tiles.toml", "tiles.csv")
_SUFFIXES = (".toml", ".csv")


def signs(path: Path) -> Signs:
    """Whether `path` is a grid list, or a folder that holds one."""
    if path.is_file():
        kind = "a .toml or .csv file"
        return Signs((kind,), ()) if path.suffix.lower() in _SUFFIXES else Signs((), (kind,))
    file = _file(path)
    if file is None:
        return Signs((), (f"{' or '.join(FILE_NAMES)} (looked in {path})",))
    return Signs((file.name,), ())


def _file(path: Path) -> Path | None:
    if path.is_file():
        return path
    return next(filter(None, (find_file(path, name) for name in FILE_NAMES)), None)


def open_grid_list(path: Path, voxel_size: VoxelSize | None = None) -> Acquisition:
    """Open a grid list.

    Parameters
    ----------
    path : Path
        The TOML or CSV file, or a folder with `tiles.toml` or `tiles.csv`.
    voxel_size : VoxelSize, optional
        Instead of the one in the file.

    Raises
    ------
    NotFoundError
        The file, a folder, or all planes are not there.
    InputError
        A key or a value is not what it must be, or tiles and planes contradict each other.
    """
    file = _file(path) or path
    wanted = read_grid_list(file)
    size = voxel_size or wanted.voxel_size
    if size is None:
        raise InputError(
            f"{file} does not give the voxel size",
            fix="add the line `voxel_size = [X, Y, Z]` (µm; in CSV after a #), or give --voxel-size X Y Z",
        )
    listing = _list(wanted)
    header = common_header(listing.files, wanted.root)
    tile_size = (header.shape[1], header.shape[0], listing.planes)
    rows, columns, tiles = complete_grid(_place(wanted, tile_size, size))
    grid = TileGrid(rows, columns, tile_size, size, tiles)
    return Acquisition(
        root=file,
        tile_root=wanted.root,
        reader=NAME,
        grid=grid,
        channels=tuple(listing.files),
        dtype=header.dtype,
        files=listing.files,
        problems=tuple(listing.problems),
    )


def _list(wanted: GridList) -> Listing:
    """The files of all tiles in all channels."""
    patterns = {
        channel: PlanePattern.of(text, f"{wanted.path}: channel {channel}: ")
        for channel, text in wanted.channels.items()
    }
    found: dict[str, list[Numbers]] = {
        channel: [pattern.find(wanted.root, row.folder) for row in wanted.rows]
        for channel, pattern in patterns.items()
    }
    planes = wanted.planes or 0
    for channel, pattern in patterns.items():
        if pattern.numbered:
            found[channel] = _indexed(wanted, channel, found[channel])
        else:
            _check_equal(wanted, channel, found[channel])
        if wanted.planes is None:
            planes = max([planes, *(number + 1 for numbers in found[channel] for number in numbers)])
    listing = Listing(planes)
    for channel, pattern in patterns.items():
        for row, numbers in zip(wanted.rows, found[channel], strict=True):
            listing.add(channel, row.folder, pattern.folder(wanted.root, row.folder), numbers)
    return listing


def _indexed(wanted: GridList, channel: str, tiles: list[Numbers]) -> list[Numbers]:
    """Numbers in the file names turned into plane indices."""
    first = wanted.first_plane
    if first is None:
        first = min((number for numbers in tiles for number in numbers), default=0)
    step = wanted.plane_step
    for row, numbers in zip(wanted.rows, tiles, strict=True):
        if odd := [number for number in numbers if (number - first) % step]:
            raise InputError(
                f"{wanted.path}: plane {odd[0]} of tile {row.folder!r}, channel {channel}, is not a multiple of "
                f"plane_step = {step} after the first plane, {first}",
                fix="correct plane_step or first_plane",
            )
    return [{(number - first) // step: names for number, names in numbers.items()} for numbers in tiles]


def _check_equal(wanted: GridList, channel: str, tiles: list[Numbers]) -> None:
    promised = wanted.planes or max(map(len, tiles))
    for row, numbers in zip(wanted.rows, tiles, strict=True):
        if len(numbers) not in (0, promised):
            raise InputError(
                f"tile {row.folder!r}, channel {channel}, has {len(numbers)} planes; {promised} expected",
                why="planes are missing or too many, and the pattern does not say which number is which plane",
                fix=f"in {wanted.path}, write {{z}} where the plane's number stands: {channel} = 'img_{{z}}.tif'",
            )


def _place(wanted: GridList, tile_size: tuple[int, int, int], voxel_size: VoxelSize) -> list[Tile]:
    """Tiles with their nominal positions in voxels, rows and columns."""
    if all(row.position is not None for row in wanted.rows):
        positions = _positions(wanted, voxel_size)
    else:
        positions = [_position_of_cell(wanted, row, tile_size) for row in wanted.rows]
    cells = rows_and_columns(positions, tile_size)
    tiles = [
        Tile(row.folder, *(row.cell or cell), nominal)
        for row, cell, nominal in zip(wanted.rows, cells, from_zero(positions), strict=True)
    ]
    first_row, first_column = min(tile.row for tile in tiles), min(tile.column for tile in tiles)
    return [replace(tile, row=tile.row - first_row, column=tile.column - first_column) for tile in tiles]


def _positions(wanted: GridList, voxel_size: VoxelSize) -> list[Vector3]:
    units = tuple(voxel_size) if wanted.position_unit == "um" else (1.0, 1.0, 1.0)
    x, y, z = (-1 / unit if axis in wanted.invert else 1 / unit for axis, unit in zip("xyz", units, strict=True))
    given = [row.position for row in wanted.rows if row.position is not None]
    return [(position[0] * x, position[1] * y, position[2] * z) for position in given]


def _position_of_cell(wanted: GridList, row: Row, tile_size: tuple[int, int, int]) -> Vector3:
    if row.cell is None or wanted.overlap is None:
        lacks = "overlap_percent" if row.cell else "a position, or row and column"
        raise InputError(
            f"{wanted.path}: the position of tile {row.folder!r} is not known: {lacks} is not given",
            fix="give every tile its position; or every tile its row and column, and overlap_percent = [X, Y]",
        )
    x, y = (n * s * (1 - o) for n, s, o in zip(row.cell[::-1], tile_size[:2], wanted.overlap, strict=True))
    return (x, y, 0.0)
