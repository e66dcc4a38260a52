"""The roll call of an MPI job: starting MPI waits for all ranks, so one that never comes would hold up the others.

A rank that is killed, ends or hangs before it has started MPI is no failure to the launcher yet, and those that
wait for it are deep inside the MPI library, where no thread or signal handler of Python runs. So each rank has a
small process beside it for that time, which ends it when it waits in vain.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from cloudreg_io.errors import ToolError
from cloudreg_io.run.parent import parent_is_hydra

PATIENCE = 60.0  # seconds; a cold network file system serves a hundred ranks their libraries slowly
_LOST_AFTER = 5.0  # seconds that a rank of this host must be missing: the launcher may still be starting it


@contextmanager
def roll_call(rank: int, size: int, *, patience: float = PATIENCE) -> Iterator[None]:
    """End this process, with a reason from rank 0, when not all ranks come while the block starts MPI.

    Parameters
    ----------
    rank, size : int
        Of this process, and of the job.
    patience : float
        Seconds to wait for ranks of which nothing can be known.
    """
    waiting, host = os.getpid(), _Host.mine()
    over, done = os.pipe()
    watcher = os.fork()
    if watcher == 0:
        os.close(done)
        _watch(over, host, patience, rank, size, waiting)
    os.close(over)
    try:
        yield
    finally:
        os.close(done)
        os.waitpid(watcher, 0)


def _watch(over: int, host: _Host, patience: float, rank: int, size: int, waiting: int) -> NoReturn:
    """The small process: ends `waiting` when it waits in vain. Nothing may lead out of here into its program."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM):  # not for this process to say anything about
            signal.signal(number, signal.SIG_IGN)
        # rank 0 first, which speaks for all
        if lost := _lost(over, host, patience, later=1.0 if rank else 0.0):
            if rank == 0:
                # the process that should raise this is out of reach, deep inside the MPI library
                os.write(2, f"error: {_explained(size, lost)}\n".encode())
            os.kill(waiting, signal.SIGKILL)
    finally:
        os._exit(0)


@dataclass(frozen=True, slots=True)
class _Host:
    """The ranks of this host: children of the launcher's process here, where it is known to be their parent."""

    launcher: Path
    expected: int

    @classmethod
    def mine(cls) -> _Host:
        count = os.environ.get("MPI_LOCALNRANKS", "")
        return cls(Path(f"/proc/{os.getppid()}"), int(count) if count.isdigit() and parent_is_hydra() else 0)

    @property
    def missing(self) -> int:
        """How many have ended, or have not been started."""
        if not self.expected:
            return 0
        try:
            threads = [(task / "children").read_text().split() for task in (self.launcher / "task").iterdir()]
        except OSError:
            return 0
        return self.expected - sum(_lives(child) for children in threads for child in children)


def _lives(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _lost(over: int, host: _Host, patience: float, later: float) -> str:
    """Wait until the pipe closes, because the block ended or the process did; what is lost, if that is first."""
    began = complete = time.monotonic()
    while not select.select([over], [], [], 0.2)[0]:
        now = time.monotonic()
        missing = host.missing
        if missing <= 0:
            complete = now
        if now - complete > _LOST_AFTER + later:
            return f"{missing} of this host's {host.expected} ended before it had started"
        if now - began > patience + later:
            return f"some had not started after {patience:g} seconds"
    return ""


def _explained(size: int, lost: str) -> ToolError:
    return ToolError(
        f"not all {size} ranks of the MPI job are there: {lost}",
        why="it was killed, failed, or hangs; what it said stands above",
        fix="try a small command on the same hosts (mpirun … cloudreg --version), then give this one again",
    )
