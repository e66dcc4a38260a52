"""The file of a grid list: TOML or CSV turned into values, every mistake named with its place."""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cloudreg_io.errors import InputError
from cloudreg_io.space import Vector3, VoxelSize
from cloudreg_io.tiles.readers.colm_metadata import read_text

_KEYS = (
    "voxel_size",
    "overlap_percent",
    "root",
    "position_unit",
    "invert",
    "planes",
    "first_plane",
    "plane_step",
    "channels",
    "tiles",
)
_TILE_KEYS = ("folder", "position", "row", "column")
_COLUMNS = ("folder", "x", "y", "z", "row", "column")
_DEFAULT_CHANNELS = {"CHN00": "*.tif*"}
_LARGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One tile as listed: its folder, position (in the list's unit) and (row, column)."""

    folder: str
    position: Vector3 | None
    cell: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class GridList:
    """A whole list; the module `grid_list` explains the fields."""

    path: Path
    root: Path
    voxel_size: VoxelSize | None
    overlap: tuple[float, float] | None
    position_unit: str
    invert: frozenset[str]
    planes: int | None
    first_plane: int | None
    plane_step: int
    channels: Mapping[str, str]
    rows: tuple[Row, ...]


def read_grid_list(path: Path) -> GridList:
    """Read a grid list from a TOML or CSV file.

    Raises
    ------
    NotFoundError, InputError
        Naming the file and the key, tile or line.
    """
    text = read_text(path)
    if path.suffix.lower() == ".csv":
        settings = _toml(path, _csv_header(text))
        rows = _csv_rows(path, text)
    else:
        settings = _toml(path, text)
        tiles = settings.get("tiles")
        if isinstance(tiles, str):
            positions = path.parent / safe_name(tiles, f"{path}: tiles")
            rows = _csv_rows(positions, read_text(positions))
        else:
            rows = _toml_rows(path, tiles)
    return _Values(path, settings).grid_list(rows)


def safe_name(text: object, where: str) -> str:
    """A relative path with forward slashes that stays below its root.

    Raises
    ------
    InputError
        For absolute paths, drive letters, `..`, control characters, and empty names.
    """
    name = str(text).replace("\\", "/").strip("/") if isinstance(text, str) else ""
    absolute = isinstance(text, str) and (text.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", text))
    parts = PurePosixPath(name).parts
    if not parts or absolute or ".." in parts or re.search(r"[\x00-\x1f\x7f]", name):
        raise InputError(
            f"{where}: {text!r} is not a safe folder name",
            why="files must not lead out of their folder",
            fix="write it relative to the root of the tiles, without `..`, drive and control characters",
        )
    return "/".join(parts)


class _Values:
    """Turns the settings of one file into values."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._path, self._settings = path, settings
        if unknown := sorted(set(settings) - set(_KEYS)):
            raise InputError(
                f"{path}: unknown key {unknown[0]!r}; known are {', '.join(_KEYS)}", fix="correct the key"
            )

    def grid_list(self, rows: tuple[Row, ...]) -> GridList:
        voxel_size, overlap = self._numbers("voxel_size", 3), self._numbers("overlap_percent", 2)
        if overlap and not all(0 < percent < 100 for percent in overlap):
            raise self._error("overlap_percent", "two numbers between 0 and 100")
        unit, invert = self._settings.get("position_unit", "um"), self._settings.get("invert", [])
        if unit not in ("um", "voxels"):
            raise self._error("position_unit", '"um" or "voxels"')
        if not isinstance(invert, list) or any(axis not in ("x", "y", "z") for axis in invert):
            raise self._error("invert", 'a list of axes such as ["x"]')
        return GridList(
            path=self._path,
            root=self._root(),
            voxel_size=VoxelSize.of_microscope(voxel_size) if voxel_size else None,
            overlap=(overlap[0] / 100, overlap[1] / 100) if overlap else None,
            position_unit=unit,
            invert=frozenset(invert),
            planes=self._integer("planes", 1),
            first_plane=self._integer("first_plane", 0),
            plane_step=self._integer("plane_step", 1) or 1,
            channels=self._channels(),
            rows=rows,
        )

    def _root(self) -> Path:
        root = self._settings.get("root", ".")
        if not isinstance(root, str):
            raise self._error("root", "a folder")
        return self._path.parent / root if root != "." else self._path.parent

    def _numbers(self, key: str, number: int) -> list[float] | None:
        values = self._settings.get(key)
        if values is None:
            return None
        if not isinstance(values, list) or len(values) != number or not all(map(_is_number, values)):
            raise self._error(key, f"a list of {number} numbers")
        return [float(value) for value in values]

    def _integer(self, key: str, smallest: int) -> int | None:
        value = self._settings.get(key)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not smallest <= value <= _LARGEST:
            raise self._error(key, f"a whole number from {smallest} to {_LARGEST}")
        return value

    def _channels(self) -> dict[str, str]:
        channels = self._settings.get("channels", _DEFAULT_CHANNELS)
        if not isinstance(channels, dict) or not channels:
            raise self._error("channels", 'a table such as ch488 = "*_488_{z}.tif"')
        for name, pattern in channels.items():
            # the name becomes the name of a folder of the output
            if not re.fullmatch(r"\w[\w.+-]*", name) or not isinstance(pattern, str):
                raise InputError(
                    f"{self._path}: channel {name!r} must have a name of letters, digits, `_`, `.`, `+`, `-` "
                    f"and a pattern in quotes",
                    fix='for example ch488 = "*_488_{z}.tif"',
                )
        return dict(channels)

    def _error(self, key: str, wanted: str) -> InputError:
        return InputError(
            f"{self._path}: {key} = {self._settings[key]!r:.80} must be {wanted}", fix="correct the value"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def _toml(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, thousands of brackets
        raise InputError(f"{path} is not valid TOML: {error}", fix="correct that line") from error


def _toml_rows(path: Path, tiles: object) -> tuple[Row, ...]:
    if not isinstance(tiles, list) or not tiles or not all(isinstance(tile, dict) for tile in tiles):
        raise InputError(
            f"{path} lists no tiles", fix='add [[tiles]] tables with folder and position, or tiles = "CSV"'
        )
    rows = []
    for number, tile in enumerate(tiles, 1):
        where = f"{path}, tile {number}"
        if unknown := sorted(set(tile) - set(_TILE_KEYS)):
            raise InputError(
                f"{where}: unknown key {unknown[0]!r}; known are {', '.join(_TILE_KEYS)}", fix="correct the key"
            )
        position = tile.get("position")
        if position is not None and not (
            isinstance(position, list) and len(position) in (2, 3) and all(map(_is_number, position))
        ):
            raise InputError(
                f"{where}: position = {position!r:.80} must be two or three numbers", fix="position = [X, Y, Z]"
            )
        rows.append(_row(where, tile.get("folder"), position, tile.get("row"), tile.get("column")))
    return _unique(path, rows)


def _csv_header(text: str) -> str:
    """The settings in the comments of a CSV file, each on its own line number as TOML."""
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(
        line[1:] if re.match(r"#\s*(" + "|".join(_KEYS) + r")\s*[.=]", line) else "" for line in lines
    )


def _csv_rows(path: Path, text: str) -> tuple[Row, ...]:
    lines = text.splitlines()
    body = [
        (number, line)
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    table = [(number, next(csv.reader([line], skipinitialspace=True))) for number, line in body]
    names = [name.strip().lower() for name in table[0][1]] if table else []
    if "folder" not in names or not ({"x", "y"} <= set(names) or {"row", "column"} <= set(names)):
        raise InputError(
            f"{path}: the first line must name the columns folder and x,y or row,column: {','.join(names)!r}",
            fix="folder,x,y[,z][,row,column]",
        )
    if unknown := [name for name in names if name not in _COLUMNS]:
        raise InputError(
            f"{path}: unknown column {unknown[0]!r}; known are {', '.join(_COLUMNS)}", fix="correct the first line"
        )
    if len(table) == 1:
        raise InputError(f"{path} lists no tiles", fix="add a line for each tile")
    rows = []
    for number, words in table[1:]:
        where = f"{path}, line {number}"
        if len(words) != len(names):
            raise InputError(
                f"{where} has {len(words)} values; {len(names)} expected",
                fix="give each column a value or leave it empty, and write numbers with a decimal point",
            )
        given = {name: word.strip() for name, word in zip(names, words, strict=True) if word.strip()}
        numbers = {name: _number(where, name, word) for name, word in given.items() if name != "folder"}
        position = [numbers["x"], numbers["y"], numbers.get("z", 0.0)] if {"x", "y"} <= set(numbers) else None
        rows.append(_row(where, given.get("folder"), position, numbers.get("row"), numbers.get("column")))
    return _unique(path, rows)


def _number(where: str, name: str, word: str) -> float:
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", word) or not _is_number(float(word)):
        comma = re.fullmatch(r"[+-]?[0-9]+,[0-9]+", word)
        raise InputError(
            f"{where}: {name} = {word!r} is not a number",
            why="it is written with a decimal comma" if comma else "",
            fix=f"write {word.replace(',', '.')}" if comma else "correct the value",
        )
    return float(word)


def _row(where: str, folder: object, position: Sequence[float] | None, row: object, column: object) -> Row:
    name = safe_name(folder, f"{where}: folder")
    cell = None
    if row is not None or column is not None:
        cell = (_whole(where, "row", row), _whole(where, "column", column))
    if position is None:
        return Row(name, None, cell)
    x, y, z = (*map(float, position), 0.0)[:3]
    return Row(name, (x, y, z), cell)


def _whole(where: str, name: str, value: object) -> int:
    if isinstance(value, int | float) and _is_number(value) and value == int(value) and 0 <= value < _LARGEST:
        return int(value)
    raise InputError(f"{where}: {name} = {value!r:.80} must be a whole number from 0", fix="correct the value")


def _unique(path: Path, rows: Sequence[Row]) -> tuple[Row, ...]:
    seen: set[str] = set()
    for row in rows:
        if row.folder in seen:
            raise InputError(f"{path} lists the folder {row.folder!r} twice", fix="give each tile its own folder")
        seen.add(row.folder)
    return tuple(rows)
