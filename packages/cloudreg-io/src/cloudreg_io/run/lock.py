"""A lock on an OUT folder: one command at a time. The kernel lets go of it when the owner dies, however."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloudreg_io.errors import ToolError


@contextmanager
def lock(path: Path, *, patience: float = 5.0) -> Iterator[None]:
    """Hold the lock file `path`, waiting up to `patience` seconds for another owner to end.

    Raises
    ------
    ToolError
        Naming the owner.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        _acquire(file.fileno(), path, patience)
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        file.flush()
        yield
        # the file stays: removing it would let two owners lock two files of the same name


@contextmanager
def looking(path: Path) -> Iterator[None]:
    """Keep commands out of an OUT folder that is only looked at; several may look, and nothing is written.

    Raises
    ------
    ToolError
        A command is at work there.
    """
    if not path.exists():  # nobody ever worked here
        yield
        return
    with path.open() as file:
        _acquire(file.fileno(), path, patience=0.0, kind=fcntl.LOCK_SH)
        yield


def _acquire(descriptor: int, path: Path, patience: float, kind: int = fcntl.LOCK_EX) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ToolError(
                    f"{path.parent.parent} is in use by {_owner(path)}",
                    why="another command is working on the same OUT folder",
                    fix="wait for it to end, or choose another OUT",
                ) from None
            time.sleep(0.1)
        else:
            return


def _owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_text())
        return f"process {owner['pid']} on {owner['host']}"
    except (ValueError, KeyError, OSError):
        return "another process"
