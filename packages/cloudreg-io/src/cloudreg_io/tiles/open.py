"""Opening an acquisition: the reader is chosen by what is there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.space import VoxelSize
from cloudreg_io.tiles.acquisition import Acquisition
from cloudreg_io.tiles.layout import check_overlaps
from cloudreg_io.tiles.readers import colm, grid_list, terastitcher_xml
from cloudreg_io.tiles.readers.colm_names import INI_NAME
from cloudreg_io.tiles.readers.signs import Signs
from cloudreg_io.tiles.stage import AS_TOLD, StageAxes

# pathlib folds the second slash of what was typed
_URL = re.compile(r"(s3|https?|gs):/+")


@dataclass(frozen=True, slots=True)
class _Reader:
    title: str
    signs: Callable[[Path], Signs]
    open: Callable[[Path, VoxelSize | None], Acquisition]


# A folder may hold several kinds of description; the first that fits is taken.
READERS: dict[str, _Reader] = {
    colm.NAME: _Reader("COLM", colm.signs, colm.open_colm),
    grid_list.NAME: _Reader("grid list", grid_list.signs, grid_list.open_grid_list),
    terastitcher_xml.NAME: _Reader(
        "TeraStitcher import", terastitcher_xml.signs, terastitcher_xml.open_terastitcher
    ),
}


def open_acquisition(
    path: Path | str,
    *,
    voxel_size: VoxelSize | Sequence[float] | None = None,
    reader: str | None = None,
    axes: StageAxes = AS_TOLD,
) -> Acquisition:
    """Open raw tiles, whatever describes them.

    Parameters
    ----------
    path : Path
        COLM: the folder that holds `VW0`, or `VW0`. Grid list: the TOML or CSV file or its folder. TeraStitcher:
        the import XML or its folder.
    voxel_size : VoxelSize or three numbers x, y, z in µm, optional
        Instead of what the metadata say.
    reader : {"colm", "grid", "terastitcher"}, optional
        Instead of choosing by what is there.
    axes : StageAxes
        How the stage's axes lie to the image's, where the metadata has it wrong.

    Raises
    ------
    NotFoundError
        Nothing is there, or nothing that a reader knows: names the signs looked for and what each format lacks.
    InputError
        What is there contradicts itself.
    """
    if match := _URL.match(str(path)):
        raise InputError(
            f"{match[1]}://{str(path)[match.end() :]} is not a folder on this machine",
            why="raw tiles are read from local folders only",
            fix="copy the tiles to this machine, or mount the bucket, and give that folder",
        )
    place = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - links must stay as the user wrote them
    if not os.path.lexists(place):
        raise NotFoundError(f"{place} not found", fix="check the path")
    if not place.exists():
        raise InputError(f"{place} is a link that leads nowhere, or in a loop", fix="make the link anew")
    if place.is_dir() and not os.access(place, os.R_OK | os.X_OK):
        raise InputError(f"{place} may not be read by this user", fix="ask its owner for read permission")
    size = None if voxel_size is None else VoxelSize.of_microscope(voxel_size)
    if reader is not None:
        if reader not in READERS:
            raise InputError(f"no reader {reader!r}", fix=f"readers are {', '.join(READERS)}")
        return _placed(READERS[reader].open(place, size), axes)
    looks = {name: candidate.signs(place) for name, candidate in READERS.items()}
    for name, look in looks.items():
        if look.fit:
            return _placed(READERS[name].open(place, size), axes)
    raise _unknown(place, looks)


def _placed(found: Acquisition, axes: StageAxes) -> Acquisition:
    """The acquisition with its tiles where these axes put them, once they are seen to overlap there."""
    grid = axes.of(found.grid) if axes else found.grid
    told_by = found.root.name if found.root.is_file() else INI_NAME
    warnings = check_overlaps(grid, " ".join(filter(None, (told_by, str(axes)))))
    return replace(found, grid=grid, warnings=(*found.warnings, *warnings))


def _unknown(place: Path, looks: dict[str, Signs]) -> NotFoundError:
    if place.is_dir() and not any(place.iterdir()):
        why = "the folder is empty"
    else:
        lines = []
        for name, look in looks.items():
            found = f"found {', '.join(look.found)}; " if look.found else ""
            lines.append(f"{READERS[name].title}: {found}lacks {'; '.join(look.lacking)}")
        why = "\n       ".join(lines)
    return NotFoundError(
        f"no tiles found at {place}: it is no acquisition that CloudReg can read",
        why=why,
        fix="give the folder that holds VW0; or describe the tiles in a tiles.toml (README of cloudreg-io)",
    )
