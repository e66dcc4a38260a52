"""TeraStitcher's project file: the XML that describes a grid of stacks.

Its axes are V (image rows, our y), H (image columns, our x) and D (slices, our z). Only what an import file says
is read here: grid, voxel size, nominal positions, and which slices exist. The format is TeraStitcher's
(Bria and Iannello, BMC Bioinformatics 13:316, 2012), described from its documentation and files.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from xml.parsers import expat

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.space import Vector3, VoxelSize
from cloudreg_io.tiles.listing import is_there
from cloudreg_io.tiles.readers.grid_list_file import safe_name

ROOT_TAG = "TeraStitcher"
VOLUME_FORMAT = "TiledXY|2Dseries"
_LARGEST = 1_000_000
_AGAIN = "copy the file again, or import the tiles again"

ZRanges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Stack:
    """One `<Stack>`: a tile.

    Attributes
    ----------
    row, column : int
    folder : str
        Relative to the stacks' folder; "" for a cell without a tile.
    position : (x, y, z) int
        ABS_H, ABS_V, ABS_D, in voxels.
    z_ranges : tuple of (first, end), or None
        The slices that exist; None when all do.
    image_regex : str
        Which names in the folder are slices; "" for all with a dot.
    """

    row: int
    column: int
    folder: str
    position: tuple[int, int, int]
    z_ranges: ZRanges | None
    image_regex: str

    @property
    def scanned(self) -> bool:
        """Whether there is a tile."""
        return bool(self.folder) and self.z_ranges != ()


@dataclass(frozen=True, slots=True)
class Project:
    """An import file.

    Attributes
    ----------
    path : Path
    stacks_dir : Path
        Where the tiles' folders are: as the file says, or else beside the file.
    voxel_size : VoxelSize
    step : (x, y) float
        Nominal distance of neighbours, in voxels.
    rows, columns : int
    slices : int
        0 when the file leaves it open.
    stacks : tuple of Stack
        Row-major.
    """

    path: Path
    stacks_dir: Path
    voxel_size: VoxelSize
    step: tuple[float, float]
    rows: int
    columns: int
    slices: int
    stacks: tuple[Stack, ...]

    def positions(self) -> list[Vector3]:
        """Nominal positions of the scanned stacks; from the steps where the file has only zeros."""
        scanned = [stack for stack in self.stacks if stack.scanned]
        if len(scanned) > 1 and not any(any(stack.position) for stack in scanned):
            return [(stack.column * self.step[0], stack.row * self.step[1], 0.0) for stack in scanned]
        return [(float(x), float(y), float(z)) for x, y, z in (stack.position for stack in scanned)]


def read_project(path: Path) -> Project:
    """Read an import file.

    Raises
    ------
    NotFoundError
        The file, or the folder of its stacks, is not there.
    InputError
        Not well-formed, entities declared, another volume format, or a value that is not what it must be; names
        the element and the attribute.
    """
    root = _parse(path)
    if root.tag != ROOT_TAG:
        raise InputError(
            f"{path} is no TeraStitcher project: its root is <{root.tag}>", fix="give an xml_import.xml"
        )
    kind = root.get("volume_format", "")
    if kind != VOLUME_FORMAT:
        raise InputError(
            f"{path}: volume_format = {kind!r} cannot be read; readable is {VOLUME_FORMAT!r} (a folder of 2-D "
            f"TIFF files per tile)",
            fix="convert the tiles to one TIFF file per plane, or describe them in a grid list (tiles.toml)",
        )
    reader = _Reader(path, root)
    reader.check_axes()
    rows, columns = reader.integer("dimensions", "stack_rows", 1), reader.integer("dimensions", "stack_columns", 1)
    slices = max(0, reader.integer("dimensions", "stack_slices", -_LARGEST))
    stacks = reader.stacks(rows, columns, slices)
    v, h, d = (abs(reader.number("voxel_dims", axis)) for axis in "VHD")
    size = VoxelSize(h, v, d)
    step = [abs(reader.number("mechanical_displacements", axis)) for axis in "HV"]
    return Project(
        path=path,
        stacks_dir=reader.stacks_dir([stack.folder for stack in stacks if stack.scanned]),
        voxel_size=size,
        step=(step[0] / size.x, step[1] / size.y),
        rows=rows,
        columns=columns,
        slices=slices,
        stacks=stacks,
    )


def _parse(path: Path) -> ET.Element:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} not found") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error

    def refuse(*_: object) -> None:
        raise InputError(
            f"{path} declares XML entities; refused",
            why="TeraStitcher never writes them, and they can make a small file fill the memory",
            fix="remove the <!ENTITY …> declarations, or import the tiles again",
        )

    # A first pass that only looks for entities: they are declared before they can be used.
    scan = expat.ParserCreate()
    scan.EntityDeclHandler = refuse
    try:
        scan.Parse(data, True)
        return ET.fromstring(data)
    except (expat.ExpatError, ET.ParseError, LookupError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not well-formed XML: {error}", fix="copy the file again") from error


class _Reader:
    """Reads elements and attributes; every error names them."""

    def __init__(self, path: Path, root: ET.Element) -> None:
        self._path, self._root = path, root

    def _attribute(self, element: ET.Element, name: str, where: str) -> str:
        value = element.get(name)
        if value is None:
            raise NotFoundError(f"{self._path}: <{where}> lacks the attribute {name}", fix=_AGAIN)
        return value.strip()

    def _element(self, tag: str) -> ET.Element:
        element = self._root.find(tag)
        if element is None:
            raise NotFoundError(f"{self._path} lacks the element <{tag}>", fix=_AGAIN)
        return element

    def number(self, tag: str, name: str) -> float:
        text = self._attribute(self._element(tag), name, tag)
        try:
            return float(text)
        except ValueError:
            why = "it is written with a decimal comma" if re.fullmatch(r"-?[0-9]+,[0-9]+", text) else ""
            raise InputError(
                f"{self._path}: <{tag} {name}={text!r}> is not a number", why=why, fix="correct the value"
            ) from None

    def integer(self, tag: str, name: str, smallest: int) -> int:
        return self._integer(self._element(tag), name, tag, smallest)

    def _integer(self, element: ET.Element, name: str, where: str, smallest: int = -10 * _LARGEST) -> int:
        text = self._attribute(element, name, where)
        if not re.fullmatch(r"[+-]?[0-9]{1,9}", text) or not smallest <= int(text) <= 10 * _LARGEST:
            raise InputError(
                f"{self._path}: <{where} {name}={text!r}> is not a whole number that makes sense",
                fix="correct the value",
            )
        return int(text)

    def check_axes(self) -> None:
        """Refuse axes that are not a permutation of V, H and D with slices last; absent means V, H, D."""
        if self._root.find("ref_sys") is None:
            return
        axes = [abs(self.integer("ref_sys", f"ref{i}", -3)) for i in (1, 2, 3)]
        if sorted(axes) != [1, 2, 3] or axes[2] != 3:
            raise InputError(
                f"{self._path}: <ref_sys> {axes} cannot be read: slices must be the third axis",
                fix="describe the tiles in a grid list (tiles.toml) instead",
            )

    def stacks_dir(self, folders: Sequence[str]) -> Path:
        """Where the stacks are: as written, or, for a project that was moved, beside its file."""
        written = self._attribute(self._element("stacks_dir"), "value", "stacks_dir")
        beside = self._path.parent
        places = [beside / written, beside / PureWindowsPath(written).name, beside]
        for place in places:
            if is_there(place) and (not folders or any(is_there(place / folder) for folder in folders)):
                return place
        tried = ", ".join(dict.fromkeys(map(str, places)))
        raise NotFoundError(
            f"{self._path}: the folders of its tiles are not found, such as {folders[0] if folders else written}",
            why=f"the data were moved; looked in {tried}",
            fix="put the file beside the tiles' folders, or correct stacks_dir in a copy of it",
        )

    def stacks(self, rows: int, columns: int, slices: int) -> tuple[Stack, ...]:
        elements = self._element("STACKS").findall("Stack")
        if rows * columns > _LARGEST or len(elements) != rows * columns:
            raise InputError(
                f"{self._path} has {len(elements)} <Stack> elements; {rows} rows × {columns} columns need "
                f"{rows * columns}",
                why="the file was cut off or edited",
                fix=_AGAIN,
            )
        return tuple(
            self._stack(element, *divmod(index, columns), slices) for index, element in enumerate(elements)
        )

    def _stack(self, element: ET.Element, row: int, column: int, slices: int) -> Stack:
        where = f"Stack in row {row}, column {column}"
        folder = self._attribute(element, "DIR_NAME", where)
        ranges = element.get("Z_RANGES")
        y, x, z = (self._integer(element, f"ABS_{axis}", where) for axis in "VHD")
        return Stack(
            row=row,
            column=column,
            folder=safe_name(folder, f"{self._path}: <{where}> DIR_NAME") if folder else "",
            position=(x, y, z),
            z_ranges=None if ranges is None else parse_z_ranges(ranges, slices, f"{self._path}: <{where}>"),
            image_regex=element.get("IMG_REGEX", ""),
        )


def parse_z_ranges(text: str, slices: int, where: str = "Z_RANGES") -> ZRanges:
    """Parse `[a,b);[c,d)`: half-open ranges of slices, increasing and not touching; "" is none.

    Raises
    ------
    InputError
        Another form, or ranges that overlap, touch, or leave 0 … slices.
    """
    ranges: list[tuple[int, int]] = []
    for part in text.split(";") if text.strip() else []:
        match = re.fullmatch(r"\s*\[\s*([0-9]{1,9})\s*,\s*([0-9]{1,9})\s*\)\s*", part)
        first, end = (int(match[1]), int(match[2])) if match else (0, 0)
        if not (ranges[-1][1] if ranges else -1) < first < end <= slices:
            raise InputError(
                f"{where}: Z_RANGES = {text!r} is not a list of increasing ranges [first,end) in {slices} slices",
                fix="correct the value, such as [0,40);[50,96)",
            )
        ranges.append((first, end))
    return tuple(ranges)


def format_z_ranges(ranges: Iterable[tuple[int, int]]) -> str:
    """The inverse of `parse_z_ranges`."""
    return ";".join(f"[{first},{end})" for first, end in ranges)
