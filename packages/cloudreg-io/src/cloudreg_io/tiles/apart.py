"""Raw data is never written to: results may not go into an acquisition."""

from __future__ import annotations

from pathlib import Path

from cloudreg_io.errors import InputError
from cloudreg_io.files.location import Location
from cloudreg_io.tiles.acquisition import Acquisition


def require_apart(acquisition: Acquisition, out: Path | str) -> None:
    """Check, before anything is made, that results in `out` do not come to lie in an acquisition.

    Parameters
    ----------
    acquisition : Acquisition
    out : Path or str
        Folder of results, or its URL; links are followed. A place in S3 is always apart.

    Raises
    ------
    InputError
        OUT is the acquisition, one of its folders, or below one; or it names no place at all.
    """
    location = Location.parse(out)
    if not location.is_file:
        return
    target = location.path.resolve()
    root = acquisition.root
    for raw in (root if root.is_dir() else root.parent, acquisition.tile_root):
        if target.is_relative_to(raw.resolve()):
            raise InputError(
                f"OUT {location.path} lies in the acquisition {raw}",
                why="raw data is never written to",
                fix="choose a folder elsewhere for OUT",
            )
