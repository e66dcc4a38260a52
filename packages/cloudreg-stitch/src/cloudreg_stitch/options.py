"""What the user decides about alignment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloudreg_io.errors import InputError
from cloudreg_io.run import digest
from cloudreg_io.space import Vector3i
from cloudreg_io.tiles import TileGrid


@dataclass(frozen=True, slots=True)
class AlignOptions:
    """Options of alignment.

    Attributes
    ----------
    search : (x, y, z) int, optional
        How far, in voxels, the displacement of two neighbours may differ from what the stage says. Without
        it, 30 voxels per 1024 of the tile, at least 24 and at most a quarter of the tile; 10 in z.
    placement : Path, optional
        A placement file whose tiles flagged `pinned` stay where they are.
    identity : mapping
        What the planes depend on (fingerprint of the acquisition, digests of corrections), JSON values.
    """

    search: Vector3i | None = None
    placement: Path | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.search is not None and (len(self.search) != 3 or min(self.search) < 0):
            raise InputError(
                f"search range {self.search} is not three numbers of voxels, 0 or more", fix="--search X Y Z"
            )

    def search_of(self, grid: TileGrid) -> Vector3i:
        """Search range x, y, z in voxels for this acquisition."""
        width, height, planes = grid.tile_size
        if self.search is not None:  # farther than a tile there is nothing to compare
            x, y, z = (min(reach, n - 1) for reach, n in zip(self.search, grid.tile_size, strict=True))
            return (x, y, z)
        return (_reach(width), _reach(height), min(10, planes - 1))

    def to_json(self) -> dict[str, Any]:
        """Everything here that determines the result."""
        return {
            "search": list(self.search) if self.search else None,
            "placement": digest(self.placement) if self.placement and self.placement.is_file() else None,
            **self.identity,
        }


def _reach(extent: int) -> int:
    # at least 24 covers a stage that is off by ±10 voxels, which is ±20 between two tiles
    return min(max(24, 30 * extent // 1024), extent // 4)
