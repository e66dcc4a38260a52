"""The completeness check: every plane that the metadata promises is there, whole, and like the others.

By default every plane's directory is read (some 50 µs each) and compared with the size of its file: that finds
what is missing, empty, cut off, of another shape or type, or no TIFF. Damage inside compressed data
shows only when it is decoded, which `full` does; every stage that reads the plane does it too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files.tiff import TiffHeader, check_same, read_header, read_plane
from cloudreg_io.files.tiff_error import TiffError
from cloudreg_io.tiles.acquisition import Acquisition, Tile
from cloudreg_io.tiles.listing import is_there
from cloudreg_io.tiles.problem import FILLABLE, HARMLESS, WORDS, Kind, Problem
from cloudreg_io.tiles.source import check_finite

Missing = Literal["error", "fill"]
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a check.

    Attributes
    ----------
    root : Path
        The acquisition.
    channels : tuple of str
        The channels checked.
    problems : tuple of Problem
        One for each kind, channel and tile, with all planes concerned.
    planes_promised, planes_found : int
        Over the channels checked; found are those that have a file.
    full : bool
        Whether every plane was decoded.
    """

    root: Path
    channels: tuple[str, ...]
    problems: tuple[Problem, ...]
    planes_promised: int
    planes_found: int
    full: bool = False

    @property
    def counts(self) -> dict[Kind, int]:
        """How many planes (whole tiles or folders count as one) each kind concerns."""
        counts: Counter[Kind] = Counter()
        for problem in self.problems:
            counts[problem.kind] += 1 if problem.kind == "missing_tile" else max(1, len(problem.planes))
        return dict(counts)

    def stopping(self, missing: Missing = "error") -> tuple[Problem, ...]:
        """The problems that stop a run: not those that are only told, nor missing planes that shall be filled."""
        accepted = HARMLESS | FILLABLE if missing == "fill" else HARMLESS
        return tuple(problem for problem in self.problems if problem.kind not in accepted)

    def error(self, missing: Missing = "error") -> None:
        """Raise one error for everything that stops a run; do nothing when there is nothing.

        Parameters
        ----------
        missing : {"error", "fill"}
            Whether missing planes stop a run, or are filled with 0.

        Raises
        ------
        InputError
            With the first ten problems, and the number of planes of each kind.
        """
        stopping = self.stopping(missing)
        if not stopping:
            return
        counts = self.counts
        kinds = dict.fromkeys(problem.kind for problem in stopping)
        summary = ", ".join(f"{WORDS[kind]}: {counts[kind]}" for kind in kinds)
        lines = [f"{self.root} is not complete ({summary})", *(f"  {problem}" for problem in stopping[:_SHOWN])]
        if len(stopping) > _SHOWN:
            lines.append(f"  and {len(stopping) - _SHOWN} more; cloudreg inspect lists all")
        raise InputError("\n".join(lines), why=_why(kinds), fix=_fix(kinds))


def _why(kinds: dict[Kind, None]) -> str:
    if set(kinds) <= {"shape", "dtype", "multi_page", "not_finite"}:
        return "files of another acquisition or camera setting are among the planes"
    if set(kinds) == {"duplicate"}:
        return "the tiles were copied or converted twice"
    return "the copy or the recording was interrupted"


def _fix(kinds: dict[Kind, None]) -> str:
    fill = "--missing fill reads missing planes as 0 and records them"
    if set(kinds) <= FILLABLE:
        return f"copy them again; or accept the gaps: {fill}"
    if set(kinds) & FILLABLE:
        return f"copy the files named above again; {fill}, but accepts none of the others"
    return "copy the files named above again, or move those that do not belong here to another folder"


def check(acquisition: Acquisition, channels: Sequence[str | int] | None = None, *, full: bool = False) -> Report:
    """Check the planes of some channels.

    Parameters
    ----------
    acquisition : Acquisition
    channels : sequence of str or int, optional
        All by default.
    full : bool
        Decode every plane, too: as slow as reading everything.

    Returns
    -------
    Report
        Never raises for what it finds: see `Report.error`.
    """
    names = tuple(
        dict.fromkeys(acquisition.channel(c) for c in (acquisition.channels if channels is None else channels))
    )
    problems = [problem for problem in acquisition.problems if problem.channel in ("", *names)]
    promised = found = 0
    for name in names:
        for tile in acquisition.grid.scanned:
            paths = list(acquisition.files[name][tile.name])
            wanted = [z for z in range(len(paths)) if tile.promises(z)]
            promised += len(wanted)
            found += sum(paths[z] is not None for z in wanted)
            problems += _missing(acquisition, name, tile, paths, wanted)
            problems += _unusable(acquisition, name, tile, paths, full=full)
    return Report(acquisition.root, names, tuple(problems), promised, found, full)


def _missing(
    acquisition: Acquisition, channel: str, tile: Tile, paths: Sequence[Path | None], wanted: Sequence[int]
) -> list[Problem]:
    absent = tuple(z for z in wanted if paths[z] is None)
    if not absent:
        return []
    folder = acquisition.tile_root / tile.name
    if len(absent) < len(wanted):
        return [Problem("missing", channel, tile.name, absent, folder)]
    detail = "no plane of this channel" if is_there(folder) else "no folder"
    return [Problem("missing_tile", channel, tile.name, absent, folder, detail)]


def _unusable(
    acquisition: Acquisition, channel: str, tile: Tile, paths: Sequence[Path | None], *, full: bool
) -> Iterator[Problem]:
    """Problems of the files of one tile, gathered by kind."""
    x, y, _ = acquisition.grid.tile_size
    expect = TiffHeader((y, x), acquisition.dtype)
    out = np.empty((y, x), acquisition.dtype) if full else None
    planes: dict[Kind, list[int]] = {}
    first: dict[Kind, tuple[Path, str]] = {}
    for z, path in enumerate(paths):
        if path is None:
            continue
        if fault := _fault(path, expect, out):
            kind, detail = fault
            planes.setdefault(kind, []).append(z)
            first.setdefault(kind, (path, detail))
    for kind, numbers in planes.items():
        yield Problem(kind, channel, tile.name, tuple(numbers), *first[kind])


def _fault(path: Path, expect: TiffHeader, out: np.ndarray | None) -> tuple[Kind, str] | None:
    """What is wrong with one file, and the message about it."""
    try:
        if out is None:
            check_same(read_header(path), expect, path)
        else:
            read_plane(path, out, expect=expect)
    except TiffError as error:
        return error.fault, error.what.replace(str(path), path.name)
    except NotFoundError as error:
        return "missing", error.what.replace(str(path), path.name)  # it was there when the folder was listed
    except InputError as error:
        return "damaged", error.what.replace(str(path), path.name)
    if out is not None:
        try:
            check_finite(out, path)
        except InputError as error:
            return "not_finite", error.what.replace(str(path), path.name)
    return None
