"""Points in CSV files: a header x,y,z[,name,…], positions in µm, any other columns carried along as they are.

Physical 0 is the centre of the mip-0 voxel 0 of the volume that the points lie in. Files are read and written
in blocks, so that their length does not matter.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files.atomic import atomic_path

AXES = ("x", "y", "z")
BLOCK_ROWS = 1 << 17
_EXAMPLE = "the first line names the columns: x,y,z, then any others"


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points and what else their rows hold.

    Attributes
    ----------
    positions : [n, 3] float64
        x, y, z in µm.
    header : tuple of str
        Names of all columns in the order of the file, those of x, y, z among them.
    others : tuple of tuple of str
        The texts of the columns that are not x, y, z: one tuple of n a column, in the order of `header`.
    """

    positions: NDArray[np.float64]
    header: tuple[str, ...] = AXES
    others: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        positions = np.asarray(self.positions, np.float64)
        if positions.ndim != 2 or positions.shape[1] != 3:
            raise InputError(f"points are an array [n, 3] of x, y, z, not {list(positions.shape)}")
        if len(self.others) != len(self.other_names) or any(len(column) != len(self) for column in self.others):
            raise InputError(f"the columns {', '.join(self.other_names)} need one text for each of the points")
        object.__setattr__(self, "positions", positions)

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def other_names(self) -> tuple[str, ...]:
        """Names of the columns that are not x, y, z."""
        return tuple(name for name in self.header if name.lower() not in AXES)

    def column(self, name: str) -> tuple[str, ...]:
        """The texts of a column that is not x, y, z.

        Raises
        ------
        InputError
            There is no such column.
        """
        if name not in self.other_names:
            raise InputError(f"the points have no column {name!r}; there are {', '.join(self.header)}")
        return self.others[self.other_names.index(name)]

    def moved(self, positions: ArrayLike) -> Points:
        """The same rows with other positions."""
        return Points(np.asarray(positions, np.float64), self.header, self.others)

    def with_column(self, name: str, texts: Sequence[str]) -> Points:
        """The same rows with one more column, or with another content of the column of that name."""
        texts = tuple(texts)
        if name in self.other_names:
            index = self.other_names.index(name)
            return Points(self.positions, self.header, (*self.others[:index], texts, *self.others[index + 1 :]))
        return Points(self.positions, (*self.header, name), (*self.others, texts))


def read_points(path: Path | str) -> Points:
    """All points of a CSV file.

    Raises
    ------
    NotFoundError, InputError
        As `read_blocks`.
    """
    blocks = list(read_blocks(path))
    columns = zip(*(block.others for block in blocks), strict=True)
    others = tuple(tuple(text for part in column for text in part) for column in columns)
    return Points(np.concatenate([block.positions for block in blocks]), blocks[0].header, others)


def read_blocks(path: Path | str, rows: int = BLOCK_ROWS) -> Iterator[Points]:
    """The points of a CSV file, at most `rows` at a time and in order; at least one block, be it of no points.

    Raises
    ------
    NotFoundError
        There is no such file.
    InputError
        The header lacks x, y or z or names a column twice; a row has another number of fields or a coordinate
        that is no finite number: the message names line and column.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFoundError(f"no points at {path}", fix="check the path")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)  # else an open quote swallows the rows after it
            header = _header(path, next(lines, []))
            yield from _blocks(path, lines, header, rows)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8: {error.reason}", fix="save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise InputError(
            f"{path}, line {lines.line_num}: not CSV: {error}",
            why="a quote was opened and not closed, or stands inside of a quoted text",
            fix="close every quote, and write one inside of a quoted text twice; or save it as CSV in UTF-8 anew",
        ) from error


def write_points(path: Path | str, blocks: Points | Iterable[Points]) -> int:
    """Write points to a CSV file, atomically; coordinates with 0.1 nm. Returns how many.

    Parameters
    ----------
    path : Path
        Its folder is made when absent.
    blocks : Points or iterable of Points
        All with the same columns.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with ExitStack() as stack:
        file: Any = None
        for block in [blocks] if isinstance(blocks, Points) else blocks:
            if file is None:  # the first block is made before a file is begun
                temporary = stack.enter_context(atomic_path(path))
                file = stack.enter_context(temporary.open("w", encoding="utf-8", newline=""))
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(block.header)
            writer.writerows(_rows(block))
            count += len(block)
    return count


def _header(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    header = tuple(name.strip() for name in names)
    lower = [name.lower() for name in header]
    if missing := [axis for axis in AXES if axis not in lower]:
        raise InputError(
            f"{path}, line 1: the header {','.join(header)!r} has no column {' nor '.join(missing)}",
            why=_why(header),
            fix=_EXAMPLE,
        )
    if twice := sorted({name for name in lower if lower.count(name) > 1}):
        raise InputError(f"{path}, line 1: the header names {', '.join(twice)} more than once", fix=_EXAMPLE)
    return header


def _why(header: Sequence[str]) -> str:
    """The likely reason why a header is none."""
    text = ",".join(header)
    if not text:
        return "the file is empty"
    if any(mark in text for mark in ";\t"):
        return "the columns are separated by semicolons or tabs, not commas"
    if all(_is_number(name) for name in header):
        return "the file begins with numbers: it has no header"
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _blocks(path: Path, lines: Any, header: tuple[str, ...], rows: int) -> Iterator[Points]:
    given, pending, numbers = 0, [], []
    for row in lines:
        if not row:
            continue  # an empty line, as editors leave at the end
        if len(row) != len(header):
            raise InputError(
                f"{path}, line {lines.line_num}: {len(row)} fields, where the header has {len(header)}",
                why="a text that holds a comma needs quotes" if len(row) > len(header) else "the line was cut off",
                fix="give each row one field a column, if need be an empty one",
            )
        pending.append(row)
        numbers.append(lines.line_num)
        if len(pending) == rows:
            yield _points(path, pending, numbers, header)
            given, pending, numbers = given + rows, [], []
    if pending or not given:
        yield _points(path, pending, numbers, header)


def _points(path: Path, rows: list[list[str]], numbers: list[int], header: tuple[str, ...]) -> Points:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(header)
    lower = [name.lower() for name in header]
    positions = np.empty((len(rows), 3))
    for k, axis in enumerate(AXES):
        texts = columns[lower.index(axis)]
        try:
            positions[:, k] = [float(text) for text in texts]
        except ValueError:
            positions[:, k] = np.nan
        if not np.isfinite(positions[:, k]).all():
            raise _bad_number(path, texts, numbers, axis)
    return Points(positions, header, tuple(columns[k] for k, name in enumerate(lower) if name not in AXES))


def _bad_number(path: Path, texts: Sequence[str], numbers: Sequence[int], axis: str) -> InputError:
    line, text = next(
        (line, text)
        for line, text in zip(numbers, texts, strict=True)
        if not _is_number(text) or not np.isfinite(float(text))
    )
    return InputError(
        f"{path}, line {line}, column {axis}: {text!r} is not a finite number",
        fix="write a position in µm with a decimal point",
    )


def _rows(block: Points) -> Iterator[tuple[str, ...]]:
    others = iter(block.others)
    columns: list[Sequence[str]] = []
    for name in block.header:
        if name.lower() in AXES:
            axis = AXES.index(name.lower())
            columns.append([f"{value:.4f}" for value in block.positions[:, axis].tolist()])
        else:
            columns.append(next(others))
    return zip(*columns, strict=True)
