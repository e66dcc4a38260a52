"""Patterns of plane files: `*_488_{z}.tif`, where {z} is the plane's number."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from pathlib import Path

from cloudreg_io.errors import InputError
from cloudreg_io.files.natural_order import natural_key
from cloudreg_io.tiles.listing import file_names, is_there

# Names of the files of each plane number of one tile; more than one name is a duplicate.
Numbers = dict[int, list[str]]

_FOLDER = "{folder}"
_DIGITS = re.compile("[0-9]+")


@dataclass(frozen=True, slots=True)
class PlanePattern:
    """Where the planes of a channel are.

    Attributes
    ----------
    place : str
        The folder of a tile's planes, relative to the root; `{folder}` stands for the tile's own folder.
    before : re.Pattern
        Of what stands before the plane's number in a file's name; of the whole name where there is none.
    after : re.Pattern or None
        Of what stands after the number.
    """

    place: str
    before: re.Pattern[str]
    after: re.Pattern[str] | None

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
        before, numbered, after = name.partition("{z}")
        return cls(place, _glob(before), _glob(after) if numbered else None)

    @property
    def numbered(self) -> bool:
        """Whether names hold the plane's number."""
        return self.after is not None

    def folder(self, root: Path, tile: str) -> Path:
        """Where the planes of a tile are."""
        return root / self.place.replace(_FOLDER, tile)

    def find(self, root: Path, tile: str) -> Numbers:
        """The plane files of a tile by number, or by natural order where the pattern has no {z}.

        A folder that does not exist has no planes: the completeness check reports it.
        """
        folder = self.folder(root, tile)
        names = sorted(file_names(folder), key=natural_key) if is_there(folder) else []
        if not self.numbered:
            return {index: [name] for index, name in enumerate(filter(self.before.match, names))}
        numbers: Numbers = {}
        for name in names:
            if (number := self.number(name)) is not None:
                numbers.setdefault(number, []).append(name)
        return numbers

    def number(self, name: str) -> int | None:
        """The plane's number in a file's name: the last that fits; None for a name that does not match.

        A number is a whole run of digits, so that a * in front cannot take its first ones.
        """
        if self.after is None:
            return None
        for run in reversed(list(_DIGITS.finditer(name))):
            if self.before.match(name[: run.start()]) and self.after.match(name[run.end() :]):
                return int(run[0])
        return None


def _glob(text: str) -> re.Pattern[str]:
    """What matches a text with * and ? as a whole; by fnmatch, which fails at once, however many * there are."""
    return re.compile(fnmatch.translate(text.replace("[", "[[]")))
