"""A placement that the user gives: checked, made that of OUT, never at odds with the volumes there."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

from cloudreg_io.errors import InputError
from cloudreg_io.run import Run, digest
from cloudreg_io.tiles import TileGrid
from cloudreg_stitch.placement import Placement

PLACEMENT = "placement.json"
_ADOPTION = "given placement"


def given_placement(path: Path, grid: TileGrid) -> Placement:
    """Load a placement file and check that it is one of these tiles, before anything is made.

    Raises
    ------
    NotFoundError, InputError
        There is no such file, it is damaged, a scanned tile is not in it or lies far from all others, or it counts
        in voxels of another size.
    """
    placement = Placement.load(path)
    if absent := [tile.name for tile in grid.scanned if tile.name not in placement.positions]:
        raise InputError(
            f"{path} does not place {', '.join(absent[:5])}{' …' if len(absent) > 5 else ''}",
            why="it belongs to another acquisition",
            fix="run the alignment of this acquisition, or give its own placement: --placement FILE",
        )
    _require_same_voxels(path, placement, grid)
    _require_together(path, placement, grid)
    return placement


def _require_same_voxels(path: Path, placement: Placement, grid: TileGrid) -> None:
    same = zip(placement.voxel_size, grid.voxel_size, strict=True)
    if not all(math.isclose(a, b, rel_tol=1e-3) for a, b in same):
        raise InputError(
            f"{path}: voxel_size_um is {placement.voxel_size}, the acquisition has {grid.voxel_size}",
            why="it belongs to another acquisition, or one of the two is wrong",
            fix="correct voxel_size_um in that file, or give the acquisition's: --voxel-size X Y Z",
        )


def _require_together(path: Path, placement: Placement, grid: TileGrid) -> None:
    """A digit too many in an edited position would ask for a volume that no machine can hold."""
    stage = Placement.by_stage(grid)
    for axis, name in enumerate("xyz"):
        wide = stage.size(grid.tile_size)[axis]
        moved = {
            tile.name: tile.position[axis] - stage.tile(tile.name).position[axis] for tile in placement.scanned
        }
        middle = statistics.median(moved.values())
        farthest = max(moved, key=lambda tile: abs(moved[tile] - middle))
        shifts = {f"channel_shift of {channel}": shift[axis] for channel, shift in placement.channel_shift.items()}
        far = {f"tile {farthest}": moved[farthest] - middle, **shifts}
        if wrong := next((what for what, voxels in far.items() if abs(voxels) > wide), None):
            raise InputError(
                f"{path}: {wrong} is {far[wrong]:+g} voxels in {name} from where the stage has it",
                why=f"all tiles together are {wide} voxels wide: a digit too many, or micrometres?",
                fix="correct the value",
            )


def adopt(run: Run, placement: Placement, given: Path) -> Placement:
    """Make a given placement that of OUT, unless OUT has another: volumes and placement.json must agree."""
    path = run.out / PLACEMENT
    if path.exists() and not run.finished(_ADOPTION):
        if Placement.load(path) != placement:
            raise InputError(
                f"{path} is another placement than {given}",
                why="an alignment was made in this folder",
                fix=f"choose another OUT, or edit {path} and give that",
            )
        return placement
    run.stage(_ADOPTION, _no_work, [], options={"placement": digest(placement.to_json())}, outputs=[PLACEMENT])
    placement.save(path)
    return placement


def require_unedited(run: Run, placement: Placement) -> None:
    """Check that OUT's placement.json is still what alignment found, lest an edit be passed over in silence.

    Raises
    ------
    InputError
        It is not.
    """
    path = run.out / PLACEMENT
    if path.exists() and Placement.load(path) != placement:
        raise InputError(
            f"{path} was edited since it was made",
            why="this command fuses where alignment puts the tiles, not where they were moved to",
            fix=f"to fuse as edited add --fuse-only (stitch) or --placement {path} (run), with --overwrite; "
            "or undo the edit",
        )


def _no_work(_: object) -> None:
    """Nothing: adopting a placement has no units."""
