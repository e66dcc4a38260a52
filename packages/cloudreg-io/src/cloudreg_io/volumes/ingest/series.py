"""A series: a folder of planes as single TIFFs, one for each z, numbered in their names.

The order is that of the numbers, not of the letters: `img_2` comes before `img_10`. Names must differ in one
number only; its step is the same from plane to plane (1, or whatever a microscope counts in), so that a missing
plane shows as a gap.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from cloudreg_io.errors import InputError, NotFoundError

_LISTED = 10

Missing = Literal["error", "fill"]


@dataclass(frozen=True, slots=True)
class Series:
    """The planes of a folder in order of z.

    Attributes
    ----------
    folder : Path
    files : tuple of Path or None
        None where a number is missing and `missing="fill"` was asked for.
    first, step : int
        The number of z = 0 and the difference from one z to the next.
    """

    folder: Path
    files: tuple[Path | None, ...]
    first: int
    step: int

    @property
    def filled(self) -> tuple[int, ...]:
        """Numbers without a file."""
        return tuple(self.first + z * self.step for z, path in enumerate(self.files) if path is None)

    def __str__(self) -> str:
        names = [path.name for path in self.files if path is not None]
        return (
            f"{len(self.files)} planes in the order of their numbers, {names[0]} to {names[-1]}, step {self.step}"
        )


def find_series(folder: Path, *, missing: Missing = "error") -> Series:
    """Put the TIFFs of a folder in order; no file is opened.

    Parameters
    ----------
    folder : Path
        Hidden files and other suffixes than .tif and .tiff are passed over; so are folders.
    missing : "error" or "fill"
        What to do about gaps in the numbers.

    Raises
    ------
    NotFoundError
        The folder or its planes do not exist.
    InputError
        Names that differ in more than one number, two files of one number, irregular steps, or gaps.
    """
    if not folder.is_dir():
        raise NotFoundError(f"{folder} not found", fix="check the path")
    names = sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() in (".tif", ".tiff") and not path.name.startswith(".") and path.is_file()
    )
    if not names:
        raise NotFoundError(f"no planes found in {folder} (looked for *.tif and *.tiff)", fix="check the path")
    numbers = _numbers(folder, names)
    ordered = sorted(numbers)
    step = _step(folder, ordered)
    wanted = range(ordered[0], ordered[-1] + 1, step)
    gaps = [number for number in wanted if number not in numbers]
    if gaps and missing == "error":
        raise InputError(
            f"{folder}: {len(gaps)} of {len(wanted)} planes are missing: numbers {_some(gaps)}",
            why="files were lost in copying, or the microscope skipped planes",
            fix="copy them again; --missing fill puts zeros in their place",
        )
    files = tuple(folder / numbers[number] if number in numbers else None for number in wanted)
    return Series(folder, files, ordered[0], step)


def _numbers(folder: Path, names: list[str]) -> dict[int, str]:
    """Name of each number: the one part of the names that differs."""
    parts = {name: re.split(r"([0-9]+)", Path(name).stem) for name in names}
    example = parts[names[0]]
    for name, other in parts.items():
        if other[::2] != example[::2]:
            raise InputError(
                f"{folder}: {names[0]} and {name} are not named alike",
                why="the folder holds more than one series, or something that is no plane",
                fix="put the planes of one volume into a folder of their own",
            )
    varying = [i for i in range(1, len(example), 2) if len({int(p[i]) for p in parts.values()}) > 1]
    if len(varying) > 1:
        raise InputError(
            f"{folder}: {names[0]} and {names[-1]} differ in {len(varying)} numbers; which one counts the planes?",
            why="the folder holds several channels or tiles",
            fix="put the planes of one volume into a folder of their own",
        )
    place = varying[0] if varying else len(example) - 2
    numbers: dict[int, str] = {}
    for name in names:
        number = int(parts[name][place]) if place > 0 else 0
        if number in numbers:
            raise InputError(
                f"{folder}: {numbers[number]} and {name} are two planes of number {number}",
                why="the folder holds a copy, or two series",
                fix="move one of them to another folder",
            )
        numbers[number] = name
    return numbers


def _step(folder: Path, ordered: list[int]) -> int:
    differences = Counter(b - a for a, b in pairwise(ordered))
    if not differences:
        return 1
    step = min(differences)
    if odd := [a for a, b in pairwise(ordered) if (b - a) % step]:
        raise InputError(
            f"{folder}: the numbers of the planes are irregular: steps of {step}, but not after {_some(odd)}",
            why="planes of two acquisitions were mixed, or renamed",
            fix="put the planes of one volume into a folder of their own",
        )
    return step


def _some(numbers: list[int]) -> str:
    text = ", ".join(str(number) for number in numbers[:_LISTED])
    return text if len(numbers) <= _LISTED else f"{text}, … {numbers[-1]}"
