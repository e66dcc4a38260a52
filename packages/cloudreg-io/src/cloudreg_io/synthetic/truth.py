"""What is true about a made acquisition: positions, flags, overlaps; saved as `truth.json` beside the tiles.

`position` is the coordinate of the tile's voxel 0 in the fused volume, as in `placement.json`: the smallest
over the scanned tiles lies in [0, 1) on each axis. The scene lies at `scene_offset` (whole voxels) from there:
scene coordinate = fused coordinate + scene_offset.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files.atomic import write_json
from cloudreg_io.space import Bounds, Vector3, Vector3i, VoxelSize, vector3, vector3i

VERSION = 1
TRUTH_FILE = "truth.json"


@dataclass(frozen=True, slots=True)
class TrueTile:
    """One cell of the grid.

    Attributes
    ----------
    name, row, column
        As in `cloudreg_io.tiles.Tile`.
    position : (x, y, z) float
        Of voxel 0 in the fused volume; for unscanned cells where it would have been.
    nominal : (x, y, z) float
        What the metadata says.
    flags : tuple of str
        "unscanned", "blank" (no tissue), "dark", "duplicate".
    duplicate_of : str
        Name of the tile whose planes this one repeats, or "".
    tissue : float
        Share of its voxels whose light exceeds three times the noise, in channel 0.
    """

    name: str
    row: int
    column: int
    position: Vector3
    nominal: Vector3
    flags: tuple[str, ...] = ()
    duplicate_of: str = ""
    tissue: float = 0.0

    @property
    def scanned(self) -> bool:
        """Whether the microscope imaged this cell."""
        return "unscanned" not in self.flags

    @property
    def textured(self) -> bool:
        """Whether its own place in the brain can be found in it."""
        return not self.flags and self.tissue > 0


@dataclass(frozen=True, slots=True)
class TruePair:
    """Two scanned neighbours: displacement = position(b) - position(a); `tissue` is that of their overlap."""

    a: str
    b: str
    axis: str
    displacement: Vector3
    tissue: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The truth of an acquisition.

    Attributes
    ----------
    folder : Path
        Where the acquisition lies.
    voxel_size : VoxelSize
    tile_size : (x, y, z) int
    channels : tuple of str
    channel_shift : mapping of channel to (x, y, z)
        To be added to every position in that channel.
    scene_offset : (x, y, z) int
        Scene coordinate of fused voxel 0.
    tiles : tuple of TrueTile
    pairs : tuple of TruePair
    """

    folder: Path
    voxel_size: VoxelSize
    tile_size: tuple[int, int, int]
    channels: tuple[str, ...]
    channel_shift: Mapping[str, Vector3] = field(default_factory=dict)
    scene_offset: tuple[int, int, int] = (0, 0, 0)
    tiles: tuple[TrueTile, ...] = ()
    pairs: tuple[TruePair, ...] = ()

    @property
    def scanned(self) -> tuple[TrueTile, ...]:
        """The tiles that were imaged."""
        return tuple(tile for tile in self.tiles if tile.scanned)

    @property
    def positions(self) -> dict[str, Vector3]:
        """Position of every scanned tile by name."""
        return {tile.name: tile.position for tile in self.scanned}

    @property
    def size(self) -> tuple[int, int, int]:
        """Size x, y, z of the fused volume: the union of the tiles, their positions rounded."""
        corners = np.array([np.rint(tile.position) for tile in self.scanned]) + self.tile_size
        return rounded(corners.max(axis=0))

    def shading_file(self, channel: str) -> Path:
        """The true shading of a channel; `Shading.load` reads it."""
        return self.folder / f"truth_shading_{channel}.tif"

    def tile_bounds(self, name: str) -> Bounds:
        """The fused voxels of a tile at its position rounded to whole voxels."""
        return Bounds.of_size(self.tile_size, rounded(np.rint(self.positions[name])))

    def covering(self, bounds: Bounds) -> NDArray[np.uint8]:
        """Number of tiles that cover each fused voxel of `bounds`, [z, y, x], positions rounded."""
        count = np.zeros(bounds.shape, np.uint8)
        for tile in self.scanned:
            count[self.tile_bounds(tile.name).intersection(bounds).slices(bounds.lower)] += 1
        return count

    def placement_errors(
        self, positions: Mapping[str, Sequence[float]], names: Sequence[str] | None = None
    ) -> dict[str, float]:
        """Distance in voxels between given and true position of each tile.

        A placement is free up to one translation: the median difference per axis is taken off first.

        Parameters
        ----------
        positions : mapping of tile name to (x, y, z)
            In voxels; tiles that are not scanned are ignored.
        names : sequence of str, optional
            Only these tiles (both for the median and for the errors); default: all scanned tiles.

        Raises
        ------
        NotFoundError
            When a tile has no position.
        """
        wanted = list(self.positions) if names is None else list(names)
        if lost := [name for name in wanted if name not in positions]:
            raise NotFoundError(f"no position for the tiles {', '.join(lost)}")
        difference = np.array([np.subtract(positions[n], self.positions[n]) for n in wanted])
        errors = np.linalg.norm(difference - np.median(difference, axis=0), axis=1)
        return dict(zip(wanted, errors.tolist(), strict=True))

    def save_placement(self, path: Path) -> None:
        """Write the true positions as a `placement.json`, to fuse without alignment."""
        tiles = [
            {
                "name": tile.name,
                "row": tile.row,
                "column": tile.column,
                "position": tile.position if tile.scanned else tile.nominal,
                "nominal": tile.nominal,
                "confidence": 1.0 if tile.scanned else 0.0,
                "flags": [] if tile.scanned else ["unscanned"],
            }
            for tile in self.tiles
        ]
        value = {
            "version": 1,
            "units": "voxels",
            "voxel_size_um": list(self.voxel_size),
            "alignment_channel": self.channels[0],
            "channel_shift": self.channel_shift,
            "tiles": tiles,
            "pairs": [],
        }
        write_json(path, value)

    def save(self) -> Path:
        """Write `truth.json` into the folder."""
        path = self.folder / TRUTH_FILE
        value = asdict(self) | {"version": VERSION, "voxel_size_um": list(self.voxel_size)}
        del value["folder"], value["voxel_size"]
        write_json(path, value)
        return path

    @classmethod
    def load(cls, folder: Path) -> Truth:
        """Read the truth of the acquisition in `folder`.

        Raises
        ------
        NotFoundError
            When the folder has no `truth.json`.
        InputError
            When the file was not written by `save`.
        """
        path = Path(folder) / TRUTH_FILE
        if not path.is_file():
            raise NotFoundError(f"{path}: no such file", why="this acquisition was not made by cloudreg")
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                folder=Path(folder),
                voxel_size=VoxelSize.of(value["voxel_size_um"]),
                tile_size=vector3i(value["tile_size"]),
                channels=tuple(value["channels"]),
                channel_shift={name: vector3(shift) for name, shift in value["channel_shift"].items()},
                scene_offset=vector3i(value["scene_offset"]),
                tiles=tuple(_tile(tile) for tile in value["tiles"]),
                pairs=tuple(
                    TruePair(p["a"], p["b"], p["axis"], vector3(p["displacement"]), p["tissue"])
                    for p in value["pairs"]
                ),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not a truth file of version {VERSION}", why=str(error)) from error


def _tile(value: Mapping[str, Any]) -> TrueTile:
    vectors = {key: vector3(value[key]) for key in ("position", "nominal")}
    return TrueTile(**{**value, **vectors, "flags": tuple(value["flags"])})


def rounded(values: NDArray[Any]) -> Vector3i:
    """Three whole numbers of an array as integers."""
    return vector3i(values.tolist())
