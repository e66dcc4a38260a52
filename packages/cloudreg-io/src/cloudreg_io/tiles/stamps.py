"""Stamps: size and modification time of every plane, as they were when the acquisition was first looked at.

A command takes days, and its stages read the planes again. That they are still those of the beginning is seen from
their stamps: the fingerprint of the acquisition is made of them, and every reading of a plane is compared with its
own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError, NotFoundError

Stamps: TypeAlias = NDArray[np.int64]  # [planes, 2]: bytes, nanoseconds; -1 where there is no file


def stamps_of(paths: Sequence[Path | None]) -> Stamps:
    """The stamps of a tile's planes.

    Raises
    ------
    NotFoundError
        A plane is gone since its folder was listed.
    """
    return np.array([(-1, -1) if path is None else _stamp(path) for path in paths], np.int64).reshape(-1, 2)


def require_unchanged(path: Path, stamp: NDArray[np.int64]) -> None:
    """Refuse a plane that is not any more what it was.

    Raises
    ------
    InputError, NotFoundError
    """
    if _stamp(path) != (int(stamp[0]), int(stamp[1])):
        raise InputError(
            f"{path} was replaced or written to while this command was at work",
            why="somebody copied or processed the raw data meanwhile; old and new planes do not belong together",
            fix="put the earlier file back (cp -p keeps its time) and give the same command: it goes on where it "
            "stopped; or begin anew with the planes as they are now: --overwrite",
        )


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{path} is not there any more",
            why="it was moved or deleted, or the disk or network share that holds it has gone",
            fix="bring it back, then give the same command: it goes on where it stopped",
        ) from error
    return status.st_size, status.st_mtime_ns
