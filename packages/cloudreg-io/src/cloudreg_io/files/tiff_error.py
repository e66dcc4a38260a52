"""The error of a TIFF that cannot be used, with its kind for those who collect problems."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cloudreg_io.errors import InputError

TiffFault = Literal["empty", "not_tiff", "truncated", "damaged", "oversized", "multi_page", "shape", "dtype"]


class TiffError(InputError):
    """A TIFF that cannot be used; `fault` says in one word why."""

    def __init__(self, what: str, *, why: str = "", fix: str = "", fault: TiffFault = "damaged") -> None:
        super().__init__(what, why=why, fix=fix)
        self.fault: TiffFault = fault

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.what, self.why, self.fix, self.fault))


def _rebuild(what: str, why: str, fix: str, fault: TiffFault) -> TiffError:
    return TiffError(what, why=why, fix=fix, fault=fault)


def damaged(path: Path, detail: str, fault: TiffFault = "damaged") -> TiffError:
    """The error for bytes that are missing or wrong."""
    word = "cut off" if fault == "truncated" else "damaged"
    return TiffError(
        f"{path} is {word}: {detail}",
        why="the copy or the recording was interrupted, or the disk has an error",
        fix="copy the file again",
        fault=fault,
    )


def pixels(shape: tuple[int, ...]) -> str:
    """A shape (y, x) as people write it: width × height."""
    return " × ".join(str(n) for n in reversed(shape))


def size(number: int) -> str:
    """Bytes in the unit that reads well."""
    value, unit = float(number), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"
