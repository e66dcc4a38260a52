"""A placement that the user gives: checked, made that of OUT, never at odds with the volumes there."""

from __future__ import annotations

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
        There is no such file, it is damaged, or a scanned tile is not in it.
    """
    placement = Placement.load(path)
    if absent := [tile.name for tile in grid.scanned if tile.name not in placement.positions]:
        raise InputError(
            f"{path} does not place {', '.join(absent[:5])}{' …' if len(absent) > 5 else ''}",
            why="it belongs to another acquisition",
            fix="run the alignment of this acquisition, or give its own placement: --placement FILE",
        )
    return placement


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
