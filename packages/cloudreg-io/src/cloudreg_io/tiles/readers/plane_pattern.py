"""Patterns of plane files: `*_488_{z}.tif`, where {z} is the plane's number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from cloudreg_io.errors import InputError
from cloudreg_io.files.natural_order import natural_key
from cloudreg_io.tiles.listing import file_names, is_there

# Names of the files of each plane number of one tile; more than one name is a duplicate.
Numbers = dict[int, list[str]]

_FOLDER = "{folder}"


@dataclass(frozen=True, slots=True)
class PlanePattern:
    """Where the planes of a channel are.

    Attributes
    ----------
    place : str
        The folder of a tile's planes, relative to the root; `{folder}` stands for the tile's own folder.
    name : re.Pattern
        Of whole file names; group 1 is the plane's number when `numbered`.
    numbered : bool
    """

    place: str
    name: re.Pattern[str]
    numbered: bool

    @classmethod
    def of(cls, text: str, where: str = "") -> PlanePattern:
        """Parse a pattern; `where` is told with errors.

        Raises
        ------
        InputError
            Two {z}, {z} in the folder part, or a path that leaves the root.
        """
        place, _, name = text.rpartition("/")
        if _FOLDER not in place:
            place = f"{_FOLDER}/{place}" if place else _FOLDER
        if not name or name.count("{z}") > 1 or "{z}" in place or _FOLDER in name or ".." in place.split("/"):
            raise InputError(
                f"{where}pattern {text!r} is not [folders/]name with at most one {{z}}, in the name",
                fix="for example '*_488_{z}.tif' or 'Ex_488/{folder}/{z}.tif'",
            )
        parts = re.split(r"(\{z\}|\*|\?)", name)
        # A number is a whole run of digits, so that a * in front cannot take its first ones.
        special = {"{z}": r"(?<![0-9])([0-9]+)(?![0-9])", "*": ".*", "?": "."}
        pattern = re.compile("".join(special.get(part) or re.escape(part) for part in parts), re.DOTALL)
        return cls(place, pattern, "{z}" in name)

    def folder(self, root: Path, tile: str) -> Path:
        """Where the planes of a tile are."""
        return root / self.place.replace(_FOLDER, tile)

    def find(self, root: Path, tile: str) -> Numbers:
        """The plane files of a tile by number, or by natural order where the pattern has no {z}.

        A folder that does not exist has no planes: the completeness check reports it.
        """
        folder = self.folder(root, tile)
        names = sorted(file_names(folder), key=natural_key) if is_there(folder) else []
        matches = [match for match in map(self.name.fullmatch, names) if match]
        if not self.numbered:
            return {index: [match[0]] for index, match in enumerate(matches)}
        numbers: Numbers = {}
        for match in matches:
            numbers.setdefault(int(match[1]), []).append(match[0])
        return numbers
