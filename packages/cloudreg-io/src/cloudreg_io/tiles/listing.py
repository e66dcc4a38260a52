"""Listing the folders of an acquisition: which file is which plane of which channel.

Folders are listed once, with one system call for many names; no file is opened here but the few headers
of `common_header`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files.tiff import TiffHeader, read_header
from cloudreg_io.tiles.acquisition import PlaneFiles
from cloudreg_io.tiles.problem import Problem

# What a camera writes and the stages can work on.
DTYPES = ("uint8", "uint16", "float32")
_SAMPLE = 16


@dataclass(slots=True)
class Listing:
    """Collects the files of tiles as they are found.

    Attributes
    ----------
    planes : int
        Planes of a tile.
    files : channel → tile name → PlaneFiles
    problems : list of Problem
        Duplicates, and planes outside of 0 … planes - 1.
    """

    planes: int
    files: dict[str, dict[str, Sequence[Path | None]]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, channel: str, tile: str, folder: Path, found: Mapping[int, Sequence[str]]) -> None:
        """Take the names found for each plane number of one tile."""
        names: list[str | None] = [None] * self.planes
        for plane, candidates in found.items():
            chosen, *others = candidates
            if others:
                detail = " and ".join([chosen, *others])
                self.problems.append(Problem("duplicate", channel, tile, (plane,), folder / others[0], detail))
            if 0 <= plane < self.planes:
                names[plane] = chosen
        if extra := sorted(plane for plane in found if not 0 <= plane < self.planes):
            first = folder / found[extra[0]][0]
            self.problems.append(
                Problem("extra_plane", channel, tile, tuple(extra), first, f"{self.planes} planes promised")
            )
        self.files.setdefault(channel, {})[tile] = PlaneFiles(folder, tuple(names))


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds, hidden files left out, ordered by name.

    Raises
    ------
    NotFoundError, InputError
        When the folder does not exist or cannot be listed.
    """
    try:
        with os.scandir(folder) as found:
            visible = [entry for entry in found if not entry.name.startswith(".")]
    except FileNotFoundError as error:
        raise NotFoundError(f"folder {folder} not found") from error
    except OSError as error:
        raise InputError(f"folder {folder} cannot be listed: {error.strerror or error}") from error
    return sorted(visible, key=lambda entry: entry.name)


def file_names(folder: Path) -> list[str]:
    """Names of the files in a folder, hidden ones left out, ordered bytewise."""
    return [entry.name for entry in entries(folder) if not is_folder(entry)]


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; a link that leads nowhere or to itself is not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_there(path: Path) -> bool:
    """Whether there is a file or folder of that name; of a name too long for the system there is none."""
    try:
        return path.exists()
    except OSError:
        return False


def find_file(folder: Path, name: str) -> Path | None:
    """The file of that name in a folder, also when its letters have another case (copies by Windows tools)."""
    exact = folder / name
    if exact.is_file():
        return exact
    if not folder.is_dir():
        return None
    alike = [other for other in file_names(folder) if other.casefold() == name.casefold()]
    return folder / alike[0] if len(alike) == 1 else None


def links_outside(root: Path, folders: Sequence[Path]) -> list[str]:
    """Names of those folders that are links to places outside of `root`."""
    linked = [folder for folder in folders if folder.is_symlink()]
    home = root.resolve() if linked else root
    return [folder.name for folder in linked if not folder.resolve().is_relative_to(home)]


def common_header(files: Mapping[str, Mapping[str, Sequence[Path | None]]], root: Path) -> TiffHeader:
    """The shape and dtype that most of a few planes, spread over channels and tiles, have.

    Raises
    ------
    NotFoundError
        When there is no plane at all.
    InputError
        When none can be read (the first one's error), or the dtype is none of `DTYPES`.
    """
    paths = list(_first_planes(files))
    if not paths:
        raise NotFoundError(f"no planes found under {root}", fix="check the path, and that the copy is complete")
    step = max(1, len(paths) // _SAMPLE)
    headers: Counter[tuple[tuple[int, int], str]] = Counter()
    errors: list[InputError] = []
    # every path may be tried, but in the normal case only the spread ones are
    for path in paths[::step] + paths:
        if headers and sum(headers.values()) + len(errors) >= _SAMPLE:
            break
        try:
            header = read_header(path)
            headers[header.shape, header.dtype] += 1
        except InputError as error:
            errors.append(error)
    if not headers:
        raise errors[0]
    shape, dtype = headers.most_common(1)[0][0]
    if dtype not in DTYPES:
        raise InputError(
            f"the planes under {root} hold {dtype}; readable are {', '.join(DTYPES)}",
            why="they were converted by another program",
            fix="use the microscope's own files, or convert them without loss to one of these",
        )
    return TiffHeader(shape, dtype)


def _first_planes(files: Mapping[str, Mapping[str, Sequence[Path | None]]]) -> Iterator[Path]:
    for tiles in files.values():
        for planes in tiles.values():
            first = next((path for path in planes if path is not None), None)
            if first is not None:
                yield first
