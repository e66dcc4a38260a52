"""Acquisitions described by a TeraStitcher import file (`xml_import.xml`), sparse ones included.

A stack's slices are the files in its folder whose names match IMG_REGEX (in RE2's syntax); the i-th of them is the
i-th slice that Z_RANGES covers. Slices outside Z_RANGES are not missing: nobody imaged them. TeraStitcher knows
one channel; where all names hold a `CHN` number, as a COLM's do, each number is a channel here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from math import gcd
from pathlib import Path

from cloudreg_io.errors import InputError
from cloudreg_io.files.natural_order import natural_key
from cloudreg_io.space import VoxelSize
from cloudreg_io.tiles.acquisition import Acquisition, Tile, TileGrid
from cloudreg_io.tiles.layout import complete_grid, from_zero
from cloudreg_io.tiles.listing import Listing, common_header, file_names, find_file, is_there
from cloudreg_io.tiles.readers.signs import Signs
from cloudreg_io.tiles.readers.terastitcher_project import ROOT_TAG, Project, Stack, read_project

NAME = "terastitcher"
FILE_NAME = "xml_import.xml"
_CHANNEL = re.compile(r"CHN([0-9]+)")
_DEFAULT_CHANNEL = "CHN00"


def signs(path: Path) -> Signs:
    """Whether `path` is a TeraStitcher project, or a folder that holds its import file."""
    if path.is_file():
        kind = f"a <{ROOT_TAG}> XML file"
        with path.open("rb") as file:
            return Signs((kind,), ()) if f"<{ROOT_TAG}".encode() in file.read(4096) else Signs((), (kind,))
    if find_file(path, FILE_NAME) is None:
        return Signs((), (f"{FILE_NAME} (looked in {path})",))
    return Signs((FILE_NAME,), ())


def open_terastitcher(path: Path, voxel_size: VoxelSize | None = None) -> Acquisition:
    """Open the tiles that a TeraStitcher import file describes.

    Parameters
    ----------
    path : Path
        The XML file, or a folder with `xml_import.xml`.
    voxel_size : VoxelSize, optional
        Instead of the one in the file.

    Raises
    ------
    NotFoundError, InputError
        As `terastitcher_project.read_project`; or a tile has another number of slices than promised and their
        names do not tell which.
    """
    file = path if path.is_file() else find_file(path, FILE_NAME) or path / FILE_NAME
    project = read_project(file)
    stacks = [stack for stack in project.stacks if stack.scanned]
    if not stacks:
        raise InputError(f"{file} has no stack with slices", fix="import the tiles again")
    names = {stack.folder: _slices_by_channel(project, stack) for stack in stacks}
    listing = _list(project, stacks, names)
    header = common_header(listing.files, project.stacks_dir)
    tiles = [
        Tile(stack.folder, stack.row, stack.column, nominal, z_ranges=stack.z_ranges)
        for stack, nominal in zip(stacks, from_zero(project.positions()), strict=True)
    ]
    rows, columns, cells = complete_grid(tiles, (project.rows, project.columns))
    tile_size = (header.shape[1], header.shape[0], listing.planes)
    grid = TileGrid(rows, columns, tile_size, voxel_size or project.voxel_size, cells)
    return Acquisition(
        root=file,
        tile_root=project.stacks_dir,
        reader=NAME,
        grid=grid,
        channels=tuple(listing.files),
        dtype=header.dtype,
        files=listing.files,
        warnings=tuple(_unpadded(names, file)),
        problems=tuple(listing.problems),
    )


def _slices_by_channel(project: Project, stack: Stack) -> dict[str, list[str]]:
    """Names of a stack's slices, in natural order."""
    folder = project.stacks_dir / stack.folder
    wanted = _regex(project, stack)
    names = sorted(file_names(folder), key=natural_key) if is_there(folder) else []
    names = [name for name in names if wanted(name) and name.casefold() != "thumbs.db"]
    numbers = [_CHANNEL.search(name) for name in names]
    if not all(numbers):
        return {_DEFAULT_CHANNEL: names}
    channels: dict[str, list[str]] = {}
    for name, number in zip(names, numbers, strict=True):
        channels.setdefault(f"CHN{int(number[1]):02d}" if number else _DEFAULT_CHANNEL, []).append(name)
    return channels


def _regex(project: Project, stack: Stack) -> Callable[[str], object]:
    """Whether a name matches IMG_REGEX as a whole; by RE2, whose time grows with the name's length and no more."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        regex = re2.compile(stack.image_regex or r".*\..*", options)
    except (re2.error, ValueError) as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error, re2.error) else error
        raise InputError(
            f"{project.path}: IMG_REGEX = {stack.image_regex!r} cannot be used: {reason}",
            fix="correct the value; .* takes every file",
        ) from error
    # names may hold bytes that are no UTF-8, which RE2 does not take
    return lambda name: regex.fullmatch(name.encode(errors="replace").decode())


def _list(project: Project, stacks: Sequence[Stack], names: Mapping[str, Mapping[str, list[str]]]) -> Listing:
    """Put each slice in its place."""
    slices = project.slices or max((len(g) for channels in names.values() for g in channels.values()), default=0)
    if not slices:
        raise InputError(
            f"{project.path}: none of its stacks has a plane in {project.stacks_dir}",
            why="stacks_dir, DIR_NAME or IMG_REGEX are those of another folder",
            fix="correct them, or import the tiles again",
        )
    listing = Listing(slices)
    for channel in sorted({channel for channels in names.values() for channel in channels}, key=natural_key):
        numbers = [_last_number(name) for channels in names.values() for name in channels.get(channel, [])]
        for stack in stacks:
            found = names[stack.folder].get(channel, [])
            promised = [z for first, end in stack.z_ranges or ((0, slices),) for z in range(first, end)]
            if found and len(found) != len(promised):
                where = f"{project.path}: tile {stack.folder}"
                indices = _indices_by_number(
                    found, numbers, slices, f"{where} has {len(found)} of {len(promised)}"
                )
            else:
                indices = promised
            places: dict[int, list[str]] = {}
            for index, name in zip(indices, found, strict=False):
                places.setdefault(index, []).append(name)
            listing.add(channel, stack.folder, project.stacks_dir / stack.folder, places)
    return listing


def _indices_by_number(found: Sequence[str], numbers: Sequence[int], slices: int, told: str) -> list[int]:
    """Slice indices from the last number in each name, where the numbers of all tiles span the slices evenly."""
    first = min(numbers)
    step = gcd(*(number - first for number in numbers))
    if first < 0 or step == 0 or (max(numbers) - first) // step + 1 != slices:
        raise InputError(
            f"{told} slices, and their names do not tell which ones",
            why="slices are missing, or other files match IMG_REGEX",
            fix="copy the tile again; or say in Z_RANGES which slices exist",
        )
    return [(_last_number(name) - first) // step for name in found]


def _last_number(name: str) -> int:
    """The last number in a name without its suffix; -1 when there is none."""
    digits = re.findall(r"[0-9]+", name.rpartition(".")[0])
    return int(digits[-1]) if digits else -1


def _unpadded(names: Mapping[str, Mapping[str, list[str]]], file: Path) -> list[str]:
    """A warning where TeraStitcher itself, which sorts bytewise, would take the slices in another order."""
    odd = [folder for folder, channels in names.items() if any(sorted(n) != n for n in channels.values())]
    if not odd:
        return []
    return [f"{file.name}: numbers without leading zeros in {odd[0]}; read in order of the numbers"]
