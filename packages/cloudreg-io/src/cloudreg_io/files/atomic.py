"""Files that are whole or absent: written beside their place, flushed, then renamed into it.

A temporary file is called `.tmp-PID-N-NAME`, so that what a killed process left can be recognised and removed.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cloudreg_io.errors import ToolError
from cloudreg_io.files.checksums import wrote

_PREFIX = ".tmp-"
_NAME_LIMIT = 200  # bytes, below the 255 of common file systems
_PARTLY = re.compile(r"\d+ requested and \d+ written")
_counter = itertools.count()


@contextmanager
def atomic_path(path: Path | str, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path`; it takes the place of `path` when the block ends well.

    Parameters
    ----------
    path : Path
        What shall exist afterwards; a link there is replaced, not followed. Its folder must exist.
    durable : bool
        Flush to the disk before the rename, so that the file also survives a power cut.

    Raises
    ------
    ToolError
        When the disk is full. Nothing is left behind by any error.
    """
    path = Path(path)
    with _in_place(path, durable=durable) as temporary:
        yield temporary
    wrote(path, path)


@contextmanager
def _in_place(path: Path, *, durable: bool) -> Iterator[Path]:
    temporary = temporary_beside(path)
    try:
        with naming_full_disk(path, temporary):
            yield temporary
            if durable:
                sync_file(temporary)
            temporary.replace(path)
            if durable:
                sync_file(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path | str, data: bytes, *, durable: bool = True) -> None:
    """Write a file atomically. Parameters and errors are those of `atomic_path`."""
    path = Path(path)
    with _in_place(path, durable=durable) as temporary, naming_full_disk(path, temporary, len(data)):
        temporary.write_bytes(data)
    wrote(path, data)  # from memory: not read again


def write_json(path: Path | str, value: Any, *, durable: bool = True) -> None:
    """Write JSON atomically, in one form only: sorted keys, two spaces, a newline at the end, NaN refused."""
    write_bytes(path, canonical_json(value), durable=durable)


def canonical_json(value: Any) -> bytes:
    """The bytes that `write_json` writes."""
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def temporary_beside(path: Path) -> Path:
    """A new name in the folder of `path` that `is_temporary` recognises."""
    stem = path.name.encode()[:_NAME_LIMIT].decode(errors="ignore")
    return path.with_name(f"{_PREFIX}{os.getpid()}-{next(_counter)}-{stem}")


def is_temporary(path: Path) -> bool:
    """Whether a file is an unfinished one of ours."""
    pid = path.name.removeprefix(_PREFIX).partition("-")[0]
    return path.name.startswith(_PREFIX) and pid.isdigit()


def temporaries(folder: Path) -> list[Path]:
    """The unfinished files anywhere below `folder`."""
    return sorted(path for path in folder.rglob(f"{_PREFIX}*") if is_temporary(path))


def remove_temporaries(folder: Path) -> int:
    """Remove unfinished files anywhere below `folder`; only for one who has it to himself. Returns how many."""
    found = [path for path in temporaries(folder) if path.is_file()]
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def sync_file(path: Path) -> None:
    """Flush a file or a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_files(paths: Sequence[Path]) -> None:
    """Flush many files of one folder, and its entries, to the disk.

    Linux does that with one call for the whole file system (syncfs), which costs about as much as one fsync;
    elsewhere the files are flushed one after the other.
    """
    folder = paths[0].parent
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if sys.platform == "linux" else None
    if syncfs is not None:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            if syncfs(descriptor) == 0:
                return
        finally:
            os.close(descriptor)
    for path in paths:
        sync_file(path)
    sync_file(folder)


@contextmanager
def naming_full_disk(path: Path, temporary: Path | None, needed: int | None = None) -> Iterator[None]:
    """Turn "no space left" while `temporary` is written for `path` into an error with figures; remove it."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EFBIG or (_PARTLY.fullmatch(str(error)) and _limited()):
            raise ToolError(
                f"{path}: the file would be larger than this user may write",
                fix="raise the limit (ulimit -f) and give the same command again: it goes on where it stopped",
            ) from error
        # NumPy's tofile tells of a full disk in words alone: "12288 requested and 12256 written"
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) and not _PARTLY.fullmatch(str(error)):
            raise
        written = 0
        if temporary is not None:
            written = temporary.stat().st_size if temporary.exists() else 0
            with suppress(OSError):
                temporary.unlink(missing_ok=True)  # first: what it took is free again
        size = f"needs {_megabytes(needed)}" if needed is not None else f"needs more than {_megabytes(written)}"
        free = _megabytes(shutil.disk_usage(path.parent).free)
        raise ToolError(
            f"{path}: disk full: {size}, {free} free on {mount_of(path.parent)}",
            fix="free some space and give the same command again: it goes on where it stopped",
        ) from error


def _limited() -> bool:
    import resource

    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def mount_of(folder: Path) -> Path:
    """Where the disk that holds a folder is mounted."""
    folder = folder.resolve()
    return next(place for place in (folder, *folder.parents) if place.is_mount())
