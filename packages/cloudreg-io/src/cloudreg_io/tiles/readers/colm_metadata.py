"""The metadata of a COLM acquisition: `Experiment.ini` and `Scanned Cells.txt`.

Both are written by the microscope's LabVIEW program: values in quotes, lines ended by CRLF, at times a byte
order mark, and a decimal comma where Windows is set to one.
"""

from __future__ import annotations

import codecs
import math
import re
from dataclasses import dataclass
from pathlib import Path

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.space import VoxelSize
from cloudreg_io.tiles.readers import colm_names as names
from cloudreg_io.tiles.readers.colm_names import Key

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

# More than this in a row, column or stack is a damaged file, not an acquisition.
_LARGEST = 1_000_000


class Ini:
    """An ini file with the line of each key, so that messages can name it.

    Sections and keys are found whatever the case of their letters.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._values: dict[tuple[str, str], list[tuple[str, int]]] = {}
        section = ""
        for number, line in enumerate(read_text(path).splitlines(), 1):
            text = line.strip()
            if text.startswith("[") and text.endswith("]"):
                section = text[1:-1].strip()
            elif "=" in text and text[0] not in ";#":
                name, value = (part.strip() for part in text.split("=", 1))
                if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
                    value = value[1:-1].strip()
                self._values.setdefault((section.casefold(), name.casefold()), []).append((value, number))

    def has(self, key: Key) -> bool:
        """Whether the key is there."""
        return (key.section.casefold(), key.name.casefold()) in self._values

    def text(self, key: Key) -> str:
        """The value of a key, without quotes.

        Raises
        ------
        NotFoundError
            Naming section and key.
        InputError
            When it is empty, or there twice with different values.
        """
        return self._entry(key)[0]

    def number(self, key: Key) -> float:
        """The value of a key as a number."""
        text, line = self._entry(key)
        place = f"{self.path}, line {line}: {key} = {text!r}"
        if re.fullmatch(r"[+-]?[0-9]+,[0-9]+", text):
            raise InputError(
                f"{place} is written with a decimal comma",
                why="the microscope's computer is set to a language that writes numbers with a comma",
                fix=f"write {text.replace(',', '.')} in that line",
            )
        if not _NUMBER.fullmatch(text) or math.isinf(float(text)):
            raise InputError(f"{place} is not a number", fix="correct the value")
        return float(text)

    def count(self, key: Key) -> int:
        """The value of a key as a whole number of at least 1."""
        value = self.number(key)
        if value != round(value) or not 1 <= value <= _LARGEST:
            text, line = self._entry(key)
            raise InputError(
                f"{self.path}, line {line}: {key} = {text!r} is not a whole number from 1 to {_LARGEST}",
                fix="correct the value",
            )
        return int(value)

    def _entry(self, key: Key) -> tuple[str, int]:
        entries = self._values.get((key.section.casefold(), key.name.casefold()))
        if not entries:
            raise NotFoundError(
                f"{self.path} lacks {key.name!r} in the section [{key.section}]",
                why="the file is cut off, or was written by another version of the microscope's program",
                fix="add the line",
            )
        if len({text for text, _ in entries}) > 1:
            lines = " and ".join(str(line) for _, line in entries)
            raise InputError(
                f"{self.path} gives {key} different values on lines {lines}", fix="remove one of them"
            )
        text, line = entries[0]
        if not text:
            raise InputError(f"{self.path}, line {line}: {key} is empty", fix="add the value")
        return text, line


@dataclass(frozen=True, slots=True)
class ColmSettings:
    """What `Experiment.ini` says.

    Attributes
    ----------
    rows, columns : int
    planes : int
        Planes of each tile.
    x_resolution : int
        Columns of a plane.
    y_resolution : int or None
        Rows of a plane, where the file says so.
    channels : int
        Number of enabled channels.
    overlap : (x, y) float
        Between neighbours, as a part of the tile.
    voxel_size : VoxelSize
    """

    rows: int
    columns: int
    planes: int
    x_resolution: int
    y_resolution: int | None
    channels: int
    overlap: tuple[float, float]
    voxel_size: VoxelSize


def read_settings(path: Path, voxel_size: VoxelSize | None = None) -> ColmSettings:
    """Read `Experiment.ini`.

    Parameters
    ----------
    path : Path
    voxel_size : VoxelSize, optional
        Used instead of what objective, resolution and stack step say.

    Raises
    ------
    NotFoundError
        A key is not there: names section and key.
    InputError
        A value is not what it must be: names section, key, value and line.
    """
    ini = Ini(path)
    columns, rows = ini.count(names.COLUMNS), ini.count(names.ROWS)
    if columns * rows > _LARGEST:
        raise InputError(
            f"{path}: {columns} × {rows} tiles are too many", fix=f"check {names.COLUMNS} and {names.ROWS}"
        )
    return ColmSettings(
        rows=rows,
        columns=columns,
        planes=ini.count(names.PLANES),
        x_resolution=ini.count(names.X_RESOLUTION),
        y_resolution=ini.count(names.Y_RESOLUTION) if ini.has(names.Y_RESOLUTION) else None,
        channels=ini.count(names.CHANNELS),
        overlap=(_overlap(ini, names.OVERLAP_X, columns), _overlap(ini, names.OVERLAP_Y, rows)),
        voxel_size=voxel_size or _voxel_size(ini),
    )


def _overlap(ini: Ini, key: Key, tiles: int) -> float:
    percent = ini.number(key)
    if tiles > 1 and not 0 < percent < 100:
        raise InputError(
            f"{ini.path}: {key} = {percent:g} is not between 0 and 100",
            why="the scan was set up without overlap, or the axes of the stage are swapped",
            fix="correct the value; tiles without overlap cannot be aligned",
        )
    return percent / 100 if tiles > 1 else 0.0


def _voxel_size(ini: Ini) -> VoxelSize:
    objective = ini.text(names.OBJECTIVE)
    match = re.search(r"([0-9]+(?:\.[0-9]+)?)\s*[xX×]", objective)
    magnification = float(match[1]) if match else 0.0
    if magnification not in names.PIXEL_SIZES:
        known = ", ".join(
            f"{m:g}x ({size} µm at {names.REFERENCE_PIXELS} pixels)" for m, size in names.PIXEL_SIZES.items()
        )
        raise InputError(
            f"{ini.path}: {names.OBJECTIVE} = {objective!r} is not a known objective; known are {known}",
            fix="give the voxel size yourself: --voxel-size X Y Z (µm)",
        )
    edge = names.PIXEL_SIZES[magnification] * names.REFERENCE_PIXELS / ini.count(names.X_RESOLUTION)
    step = ini.number(names.STACK_STEP)
    if not 0 < step < 1:
        raise InputError(
            f"{ini.path}: {names.STACK_STEP} = {step:g} is not between 0 and 1 mm",
            fix="give the voxel size yourself: --voxel-size X Y Z (µm)",
        )
    # 0.0035 mm is 3.5 µm, not the 3.5000000000000004 of the product
    return VoxelSize(edge, edge, round(step * 1000, 9))


def read_cells(path: Path, rows: int, columns: int) -> tuple[tuple[bool, ...], ...]:
    """Read `Scanned Cells.txt`: one line per row of the grid, 1 for a scanned cell and 0 for one that is not.

    Raises
    ------
    InputError
        Another number of rows or columns, or a word other than 0 and 1, with line and column.
    """
    lines = [(number, line.strip()) for number, line in enumerate(read_text(path).splitlines(), 1)]
    lines = [(number, line.removesuffix(",")) for number, line in lines if line]
    cells = tuple(tuple(_cell(path, number, line)) for number, line in lines)
    wrong = [(number, len(row)) for (number, _), row in zip(lines, cells, strict=True) if len(row) != columns]
    if len(cells) != rows or wrong:
        found = f"{len(cells)} rows" if not wrong else f"{wrong[0][1]} columns on line {wrong[0][0]}"
        raise InputError(
            f"{path} has {found}; {names.INI_NAME} says {rows} rows × {columns} columns",
            why="the two files belong to different acquisitions, or one was edited",
            fix="copy both files again from the microscope",
        )
    if not any(any(row) for row in cells):
        raise InputError(
            f"{path} marks no cell as scanned", fix="write 1 for each cell that has a folder of tiles"
        )
    return cells


def _cell(path: Path, number: int, line: str) -> list[bool]:
    cells = []
    for column, word in enumerate(line.split(","), 1):
        if word.strip() not in ("0", "1"):
            raise InputError(
                f"{path}, line {number}, column {column}: {word.strip()!r} is neither 0 nor 1",
                fix="write 1 for a scanned cell and 0 for one that is not",
            )
        cells.append(word.strip() == "1")
    return cells


def read_text(path: Path) -> str:
    """The text of a file that another program wrote: UTF-16 by its mark, UTF-8, or Windows Latin."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} not found") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")
