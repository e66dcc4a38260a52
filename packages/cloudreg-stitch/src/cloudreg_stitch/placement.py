"""Placement: where each tile of an acquisition goes in the fused volume, and on what evidence.

A placement is estimated once, on the alignment channel, and applied to every channel. On disk it is
`placement.json`, which a person may edit and feed back: a tile flagged `pinned` then stays where it is.
A *displacement* is what was measured between two neighbouring tiles; a *position* is what was made of all
displacements together.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudreg_io.errors import CloudRegError, InputError, NotFoundError
from cloudreg_io.files.atomic import write_bytes
from cloudreg_io.space import Vector3, Vector3i, VoxelSize, vector3i
from cloudreg_io.tiles import TileGrid
from cloudreg_stitch.checked import CheckedObject

VERSION = 1

FLAGS = (
    "unscanned",  # the microscope did not image this cell
    "stage_position",  # no displacement of this tile is trusted: it is where the stage says
    "blank",  # nothing but noise in it
    "duplicate",  # the same pixels as another tile
    "low_confidence",  # placed by displacements that are weak or disagree
    "drift",  # its displacement changes over the overlap
    "saturated",  # a large part of it is clipped by the camera
    "pinned",  # placed by hand: alignment leaves it alone
)


@dataclass(frozen=True, slots=True)
class Displacement:
    """What was measured between two neighbouring tiles.

    Attributes
    ----------
    a, b : str
        Names of the tiles; b is to the right of a (axis "x") or below it (axis "y").
    axis : "x" or "y"
    displacement : (x, y, z) float
        position(b) − position(a), in voxels.
    confidence : float
        0 (nothing found) to 1.
    used : bool
        Whether the positions rest on it.
    """

    a: str
    b: str
    axis: str
    displacement: Vector3
    confidence: float = 1.0
    used: bool = True


@dataclass(frozen=True, slots=True)
class PlacedTile:
    """One cell of the grid and where it goes.

    Attributes
    ----------
    name, row, column
        As in `cloudreg_io.tiles.Tile`.
    position : (x, y, z) float
        Where voxel 0 of the tile lies in the fused volume, in voxels of mip 0.
    nominal : (x, y, z) float
        Where the stage believed it to be.
    confidence : float
        0 (the stage position) to 1.
    flags : tuple of str
        Of `FLAGS`.
    """

    name: str
    row: int
    column: int
    position: Vector3
    nominal: Vector3
    confidence: float = 1.0
    flags: tuple[str, ...] = ()

    @property
    def scanned(self) -> bool:
        """Whether the microscope imaged this cell."""
        return "unscanned" not in self.flags


@dataclass(frozen=True, slots=True)
class Placement:
    """Where all tiles of an acquisition go.

    Attributes
    ----------
    tiles : tuple of PlacedTile
        Every cell of the grid, row by row, unscanned ones too.
    pairs : tuple of Displacement
    voxel_size : VoxelSize
        In µm.
    alignment_channel : str
    channel_shift : mapping of channel to (x, y, z) float
        Added to every position when that channel is fused; channels not named are not shifted.
    """

    tiles: tuple[PlacedTile, ...]
    pairs: tuple[Displacement, ...]
    voxel_size: VoxelSize
    alignment_channel: str = ""
    channel_shift: Mapping[str, Vector3] = field(default_factory=dict)

    @classmethod
    def by_stage(cls, grid: TileGrid) -> Placement:
        """Every tile where the stage believed it to be: for plans made before anything is aligned."""
        scanned = [tile.nominal for tile in grid.scanned]
        x0, y0, z0 = (min(nominal[axis] for nominal in scanned) for axis in range(3))
        tiles = tuple(
            PlacedTile(
                tile.name,
                tile.row,
                tile.column,
                (tile.nominal[0] - x0, tile.nominal[1] - y0, tile.nominal[2] - z0),
                tile.nominal,
                0.0,
                ("stage_position",) if tile.scanned else ("unscanned",),
            )
            for tile in grid.tiles
        )
        return cls(tiles, (), grid.voxel_size)

    @property
    def scanned(self) -> tuple[PlacedTile, ...]:
        """The tiles that were imaged."""
        return tuple(tile for tile in self.tiles if tile.scanned)

    @property
    def positions(self) -> dict[str, Vector3]:
        """Position of every cell by name."""
        return {tile.name: tile.position for tile in self.tiles}

    def positions_of(self, channel: str) -> dict[str, Vector3]:
        """Position of every cell by name in one channel: with that channel's shift."""
        dx, dy, dz = self.channel_shift.get(channel, (0.0, 0.0, 0.0))
        return {name: (x + dx, y + dy, z + dz) for name, (x, y, z) in self.positions.items()}

    def tile(self, name: str) -> PlacedTile:
        """Return the tile of that name.

        Raises
        ------
        NotFoundError
            When the placement has no such tile.
        """
        for tile in self.tiles:
            if tile.name == name:
                return tile
        raise NotFoundError(
            f"no tile {name!r} in this placement",
            why="the placement belongs to another acquisition",
            fix="cloudreg inspect ACQ lists the tiles",
        )

    def size(self, tile_size: Sequence[int]) -> Vector3i:
        """Size x, y, z of the volume that holds every scanned tile, for tiles of `tile_size` voxels.

        A tile at p reaches as far as the voxel nearest to its last one: no plane is lost to jitter.
        """
        if not self.scanned:
            raise InputError("no tile of this placement is scanned")
        return vector3i(
            math.floor(max(tile.position[axis] for tile in self.scanned) + 0.5) + int(tile_size[axis])
            for axis in range(3)
        )

    def to_json(self) -> dict[str, Any]:
        """Return the content of `placement.json`."""
        return {
            "version": VERSION,
            "units": "voxels",
            "voxel_size_um": list(self.voxel_size),
            "alignment_channel": self.alignment_channel,
            "channel_shift": {name: list(shift) for name, shift in sorted(self.channel_shift.items())},
            "tiles": [_tile_json(tile) for tile in self.tiles],
            "pairs": [_pair_json(pair) for pair in self.pairs],
        }

    def save(self, path: Path) -> None:
        """Write `placement.json`, one line a tile and one a pair; the same placement gives the same bytes."""
        write_bytes(Path(path), _dump(self.to_json()).encode())

    @classmethod
    def load(cls, path: Path) -> Placement:
        """Read a `placement.json`.

        Raises
        ------
        NotFoundError, InputError
            Naming the file, and the key that is missing or wrong.
        """
        return _read(CheckedObject.read(Path(path)))


def _tile_json(tile: PlacedTile) -> dict[str, Any]:
    return {
        "name": tile.name,
        "row": tile.row,
        "column": tile.column,
        "position": list(tile.position),
        "nominal": list(tile.nominal),
        "confidence": tile.confidence,
        "flags": list(tile.flags),
    }


def _pair_json(pair: Displacement) -> dict[str, Any]:
    return {
        "a": pair.a,
        "b": pair.b,
        "axis": pair.axis,
        "displacement": list(pair.displacement),
        "confidence": pair.confidence,
        "used": pair.used,
    }


def _dump(content: Mapping[str, Any]) -> str:
    """JSON with one line for each key, and for each item of the long lists."""
    lines = []
    for key, value in content.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            items = ",\n".join(f"    {json.dumps(item, ensure_ascii=False)}" for item in value)
            text = f"[\n{items}\n  ]"
        else:
            text = json.dumps(value, ensure_ascii=False)
        lines.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _read(root: CheckedObject) -> Placement:
    version = root.integer("version")
    if version != VERSION:
        root.fail("version", f"is {version}; this cloudreg-stitch reads {VERSION}", "update cloudreg-stitch")
    if root.text("units") != "voxels":
        root.fail("units", f'is {root.content["units"]!r}; it must be "voxels"')
    tiles = tuple(_tile(node) for node in root.items("tiles"))
    _check_unique(root, tiles)
    names = {tile.name for tile in tiles}
    return Placement(
        tiles=tiles,
        pairs=tuple(_pair(node, names) for node in root.items("pairs")),
        voxel_size=_voxel_size(root),
        alignment_channel=root.text("alignment_channel"),
        channel_shift=_channel_shift(root),
    )


def _tile(node: CheckedObject) -> PlacedTile:
    flags = node.get("flags")
    if not isinstance(flags, list):
        node.fail("flags", "must be a list of texts")
    for flag in flags:
        if flag not in FLAGS:
            node.fail("flags", f"has {flag!r}; known flags: {', '.join(FLAGS)}")
    return PlacedTile(
        name=node.text("name"),
        row=node.integer("row"),
        column=node.integer("column"),
        position=node.vector("position"),
        nominal=node.vector("nominal"),
        confidence=node.fraction("confidence"),
        flags=tuple(flags),
    )


def _pair(node: CheckedObject, names: set[str]) -> Displacement:
    for key in ("a", "b"):
        if node.text(key) not in names:
            node.fail(key, f"is {node.content[key]!r}, which is not the name of a tile of this file")
    if node.text("axis") not in ("x", "y"):
        node.fail("axis", f'is {node.content["axis"]!r}; it must be "x" or "y"')
    return Displacement(
        a=node.text("a"),
        b=node.text("b"),
        axis=node.text("axis"),
        displacement=node.vector("displacement"),
        confidence=node.fraction("confidence"),
        used=node.flag("used"),
    )


def _check_unique(root: CheckedObject, tiles: tuple[PlacedTile, ...]) -> None:
    if not tiles:
        root.fail("tiles", "is empty")
    seen: dict[str, int] = {}
    for index, tile in enumerate(tiles):
        if tile.name in seen:
            root.fail(f"tiles[{index}].name", f"is {tile.name!r}, as tiles[{seen[tile.name]}].name is")
        seen[tile.name] = index


def _voxel_size(root: CheckedObject) -> VoxelSize:
    try:
        return VoxelSize.of(root.vector("voxel_size_um"))
    except CloudRegError as error:
        if str(root.path) in error.what:
            raise
        raise InputError(f"{root.path}: voxel_size_um: {error.what}", why=error.why, fix=error.fix) from error


def _channel_shift(root: CheckedObject) -> dict[str, Vector3]:
    value = root.get("channel_shift")
    if not isinstance(value, dict):
        root.fail("channel_shift", 'must be an object such as {"CHN01": [0.5, 0, 0]}')
    node = CheckedObject(root.path, "channel_shift", value)
    return {channel: node.vector(channel) for channel in value}
