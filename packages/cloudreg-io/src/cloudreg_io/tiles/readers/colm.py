"""COLM acquisitions.

::

    EXPERIMENT/Experiment.ini            (or inside VW0)
    EXPERIMENT/Scanned Cells.txt         (or inside VW0)
    EXPERIMENT/VW0/LOC000/VW0_LOC000_CM0_CHN00_PLN0000.tif
                                         location = column + row × columns

Channel and plane are the numbers after `CHN` and `PLN` in a file's name, however many digits they have. The
tiles' nominal positions follow from the overlap that the microscope reports. Pixels are square; the
voxel size follows from the objective and from how many columns the camera was read out with.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files.tiff import TiffHeader
from cloudreg_io.space import VoxelSize
from cloudreg_io.tiles.acquisition import Acquisition, Tile, TileGrid
from cloudreg_io.tiles.listing import (
    Listing,
    common_header,
    entries,
    file_names,
    find_file,
    is_folder,
    links_outside,
)
from cloudreg_io.tiles.problem import Problem
from cloudreg_io.tiles.readers import colm_names as names
from cloudreg_io.tiles.readers.colm_metadata import ColmSettings, read_cells, read_settings
from cloudreg_io.tiles.readers.signs import Signs

NAME = "colm"

_LOCATION = re.compile(r"LOC([0-9]+)")
_PLANE = re.compile(r".*CHN([0-9]+).*PLN([0-9]+).*\.tiff?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the parts of an acquisition are; None where they were not found."""

    root: Path
    tile_root: Path | None
    ini: Path | None
    cells: Path | None
    looked_in: tuple[Path, ...]


def signs(path: Path) -> Signs:
    """What of a COLM acquisition is at `path`: its folder, its `VW0`, or its `Experiment.ini`."""
    place = _locate(path)
    looked = ", ".join(str(folder) for folder in place.looked_in)
    parts = {
        f"the folder {names.TILE_ROOT} (or folders LOC000, LOC001, …)": place.tile_root,
        names.INI_NAME: place.ini,
        names.CELLS_NAME: place.cells,
    }
    return Signs(
        found=tuple(name for name, part in parts.items() if part),
        lacking=tuple(f"{name} (looked in {looked})" for name, part in parts.items() if not part),
    )


def _locate(path: Path) -> _Place:
    folder = path.parent if path.is_file() else path
    tile_root: Path | None = None
    looked_in: tuple[Path, ...] = (folder,)
    if (folder / names.TILE_ROOT).is_dir():
        tile_root = folder / names.TILE_ROOT
        looked_in = (folder, tile_root)
    elif folder.name == names.TILE_ROOT:
        tile_root = folder
        looked_in = (folder, folder.parent)
    elif folder.is_dir() and any(_LOCATION.fullmatch(entry.name) for entry in entries(folder)):
        tile_root = folder
    return _Place(
        root=tile_root.parent if tile_root and tile_root.name == names.TILE_ROOT else folder,
        tile_root=tile_root,
        ini=next(filter(None, (find_file(place, names.INI_NAME) for place in looked_in)), None),
        cells=next(filter(None, (find_file(place, names.CELLS_NAME) for place in looked_in)), None),
        looked_in=looked_in,
    )


def open_colm(path: Path, voxel_size: VoxelSize | None = None) -> Acquisition:
    """Open a COLM acquisition.

    Parameters
    ----------
    path : Path
        The folder that holds `VW0`, or `VW0` itself.
    voxel_size : VoxelSize, optional
        Instead of what the metadata say; needed for objectives that are not known.

    Raises
    ------
    NotFoundError
        A file, a key, or all tiles are not there.
    InputError
        The metadata contradict themselves or the files.
    """
    place = _locate(path)
    if place.tile_root is None or place.ini is None or place.cells is None:
        raise NotFoundError(f"{path} is no COLM acquisition: it lacks {'; '.join(signs(path).lacking)}")
    settings = read_settings(place.ini, voxel_size)
    marked = read_cells(place.cells, settings.rows, settings.columns)
    listing = Listing(settings.planes)
    tiles, warnings = _list_tiles(listing, place.tile_root, place.cells, marked)
    files = _with_absent_tiles(listing, tiles, place.tile_root)
    header = common_header(files, place.tile_root)
    warnings += _check_resolution(header, settings, place.ini, given=voxel_size is not None)
    grid = _grid(settings, header, tiles)
    warnings += _compare_channels(settings.channels, tuple(files), place.ini)
    if outside := links_outside(place.root, [place.tile_root / tile.name for tile in tiles if tile.scanned]):
        warnings.append(f"{len(outside)} tile folders are links to another place: {', '.join(outside[:5])}")
    return Acquisition(
        root=place.root,
        tile_root=place.tile_root,
        reader=NAME,
        grid=grid,
        channels=tuple(files),
        dtype=header.dtype,
        files=files,
        warnings=tuple(warnings),
        problems=tuple(listing.problems),
    )


def _location_folders(tile_root: Path) -> dict[int, Path]:
    """Folders by location number."""
    folders: dict[int, Path] = {}
    for entry in entries(tile_root):
        match = _LOCATION.fullmatch(entry.name)
        if match and is_folder(entry):
            other = folders.setdefault(int(match[1]), tile_root / entry.name)
            if other.name != entry.name:
                raise InputError(
                    f"{tile_root}: {other.name} and {entry.name} are the same location",
                    fix="move one of them out of the folder",
                )
    if not folders:
        raise NotFoundError(
            f"no tiles found under {tile_root} (looked for LOC000/, LOC001/, …)",
            fix="check the path, and that the copy is complete",
        )
    return folders


def _list_tiles(
    listing: Listing, tile_root: Path, cells: Path, marked: tuple[tuple[bool, ...], ...]
) -> tuple[list[Tile], list[str]]:
    """One tile per cell of the grid, its files in the listing; and warnings."""
    folders = _location_folders(tile_root)
    tiles: list[Tile] = []
    warnings: list[str] = []
    for row, cells_of_row in enumerate(marked):
        for column, scanned in enumerate(cells_of_row):
            location = column + row * len(cells_of_row)
            folder = folders.get(location)
            name = folder.name if folder else names.LOCATION_NAME.format(location=location)
            tiles.append(Tile(name, row, column, (0.0, 0.0, 0.0), scanned))
            if folder and scanned:
                warnings += _list_planes(listing, folder)
                del folders[location]
    for folder in folders.values():
        problem = Problem("unmarked_folder", "", folder.name, (), folder, f"in {cells.name}; it is not used")
        listing.problems.append(problem)
        warnings.append(str(problem))
    return tiles, warnings


def _list_planes(listing: Listing, folder: Path) -> list[str]:
    """Put the planes of one folder into the listing; say which images are not taken."""
    found: dict[str, dict[int, list[str]]] = {}
    others = []
    for name in file_names(folder):
        if match := _PLANE.fullmatch(name):
            channel = names.CHANNEL_NAME.format(channel=int(match[1]))
            found.setdefault(channel, {}).setdefault(int(match[2]), []).append(name)
        elif name.lower().endswith((".tif", ".tiff")):
            others.append(name)
    for channel, planes in found.items():
        listing.add(channel, folder.name, folder, planes)
    if not others:
        return []
    return [f"{folder.name}: {len(others)} images without CHN and PLN numbers are ignored, such as {others[0]!r}"]


def _with_absent_tiles(
    listing: Listing, tiles: list[Tile], tile_root: Path
) -> dict[str, dict[str, Sequence[Path | None]]]:
    """The files of every scanned tile in every channel, channels in the order of their numbers."""
    for channel in listing.files:
        for tile in tiles:
            if tile.scanned and tile.name not in listing.files[channel]:
                listing.add(channel, tile.name, tile_root / tile.name, {})
    return {channel: listing.files[channel] for channel in sorted(listing.files, key=lambda name: int(name[3:]))}


def _check_resolution(header: TiffHeader, settings: ColmSettings, ini: Path, *, given: bool) -> list[str]:
    """Compare the planes' size with the metadata; with a voxel size given, a difference only warns."""
    pairs = [
        (names.X_RESOLUTION, settings.x_resolution, header.shape[1]),
        (names.Y_RESOLUTION, settings.y_resolution, header.shape[0]),
    ]
    warnings = []
    for key, said, size in pairs:
        if said is None or said == size:
            continue
        text = f"{ini}: {key} = {said}, but the planes have {size}"
        if not given:
            raise InputError(
                text,
                why="the planes were cropped or binned after recording, so that the voxel size is not sure",
                fix="give the voxel size yourself: --voxel-size X Y Z (µm)",
            )
        warnings.append(text)
    return warnings


def _grid(settings: ColmSettings, header: TiffHeader, tiles: list[Tile]) -> TileGrid:
    height, width = header.shape
    step_x, step_y = width * (1 - settings.overlap[0]), height * (1 - settings.overlap[1])
    placed = tuple(
        Tile(tile.name, tile.row, tile.column, (tile.column * step_x, tile.row * step_y, 0.0), tile.scanned)
        for tile in tiles
    )
    size = (width, height, settings.planes)
    return TileGrid(settings.rows, settings.columns, size, settings.voxel_size, placed)


def _compare_channels(promised: int, found: tuple[str, ...], ini: Path) -> list[str]:
    if promised == len(found):
        return []
    return [
        f"{ini}: {names.CHANNELS} = {promised}, but files of {len(found)} channels are there: {', '.join(found)}"
    ]
