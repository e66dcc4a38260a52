"""Whole files or none: written beside under a temporary name, synced, renamed.

A crash leaves the old file, or none, and at most a temporary one whose name begins with `.tmp-`.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cloudreg_io.errors import ToolError

TEMPORARY = ".tmp-"


@contextmanager
def atomic_path(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path`; what is written there takes the name `path` on leaving.

    The temporary name ends like `path`, for writers that choose a format by suffix.

    Parameters
    ----------
    path : Path
        Its folder is made when absent; a symbolic link is replaced, not followed.
    durable : bool
        Sync the file and its folder to the disk before returning.

    Raises
    ------
    ToolError
        The disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    try:
        yield temporary
        if durable:
            sync(temporary)
        temporary.replace(path)
        if durable:
            sync(path.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(path.parent).free
            raise ToolError(
                f"no space left for {path} ({free / 1e6:.0f} MB free)",
                fix="free some space and give the same command again: it goes on where it stopped",
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a whole file, atomically."""
    with atomic_path(path, durable=durable) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value, atomically, with sorted keys, so that equal values give equal bytes."""
    write_bytes(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
