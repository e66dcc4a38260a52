"""A lock on an OUT folder: one command at a time. The kernel lets go of it when the owner dies, however.

A file system without locks (some network and FUSE mounts) gets a file that names the owner instead. That file
outlives a killed owner, so one of this host is asked for: a process that is gone holds nothing.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from cloudreg_io.errors import ToolError

_NO_LOCKS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL}


@contextmanager
def lock(path: Path, *, patience: float = 5.0) -> Iterator[None]:
    """Hold the lock file `path`, waiting up to `patience` seconds for another owner to end.

    Raises
    ------
    ToolError
        Naming the owner.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file, ExitStack() as after:
        try:
            _acquire(lambda: _flock(file), path, patience)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            held = path.with_name(f"{path.name}.held")
            _acquire(lambda: _hold(held), held, patience)
            after.callback(held.unlink, missing_ok=True)
        file.truncate(0)
        file.write(json.dumps(_me()))
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
        try:
            _acquire(lambda: _flock(file, fcntl.LOCK_SH), path, patience=0.0)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            held = path.with_name(f"{path.name}.held")
            _acquire(lambda: not held.exists(), held, patience=0.0)
        yield


def _acquire(attempt: Callable[[], bool], path: Path, patience: float) -> None:
    deadline = time.monotonic() + patience
    while not attempt():
        if time.monotonic() > deadline:
            stale = f"; if that has ended, delete {path}" if path.suffix == ".held" else ""
            raise ToolError(
                f"{path.parent.parent} is in use by {_named(_owner(path))}",
                why="another command is working on the same OUT folder",
                fix=f"wait for it to end, or choose another OUT{stale}",
            )
        time.sleep(0.1)


def _flock(file: IO[str], kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(file.fileno(), kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _hold(held: Path) -> bool:
    """Make the file, if its owner is not alive: the one whose file comes to stand there has the lock."""
    try:
        with held.open("x") as file:
            file.write(json.dumps(_me()))
        return True
    except FileExistsError:
        owner = _owner(held)
    if owner and owner.get("host") == socket.gethostname() and owner.get("began") != _began(owner.get("pid")):
        _remove(held, owner)
    return False


def _remove(held: Path, owner: dict[str, Any]) -> None:
    """Remove the file of a dead owner, unless another process was quicker and the file is now its own."""
    aside = held.with_name(f"{held.name}.{os.getpid()}")
    try:
        held.rename(aside)
    except FileNotFoundError:
        return
    if _owner(aside) == owner:
        aside.unlink()
    else:
        aside.rename(held)


def _me() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "began": _began(os.getpid())}


def _began(process: Any) -> str:
    """When a process of this host began, which tells it from a later one of the same number; "" if it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _owner(path: Path) -> dict[str, Any]:
    try:
        owner = json.loads(path.read_text())
    except (ValueError, OSError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _named(owner: dict[str, Any]) -> str:
    return f"process {owner['pid']} on {owner['host']}" if {"pid", "host"} <= owner.keys() else "another process"
