"""What `placement.json` says of each tile, as far as a picture needs it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudreg_io.errors import InputError


@dataclass(frozen=True, slots=True)
class PlacedTile:
    """One tile: position and nominal position x y z in voxels, and its flags."""

    name: str
    position: tuple[float, float, float]
    nominal: tuple[float, float, float]
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TilePair:
    """Two neighbouring tiles and whether the displacement between them was used."""

    a: str
    b: str
    used: bool


def read_placement(path: Path) -> tuple[list[PlacedTile], list[TilePair]]:
    """Read the tiles and pairs of a `placement.json`.

    Raises
    ------
    InputError
        When the file is damaged; names the file and the key.
    """
    try:
        content = json.loads(path.read_bytes())
        tiles = [
            PlacedTile(
                str(tile["name"]),
                _three(tile["position"]),
                _three(tile["nominal"]),
                tuple(map(str, tile["flags"])),
            )
            for tile in content["tiles"]
        ]
        pairs = [TilePair(str(pair["a"]), str(pair["b"]), bool(pair["used"])) for pair in content["pairs"]]
    except KeyError as error:
        raise InputError(f"{path}: the key {error} is missing", why="the file is damaged or edited") from error
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"{path} is not a placement: {error}", why="the file is damaged or edited") from error
    return tiles, pairs


def _three(values: Any) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return (x, y, z)
