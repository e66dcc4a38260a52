"""The memory of a command: what `--memory` allows, what its processes take before any data, what is left.

`--memory` is the proportional set size of all processes of a command on one machine together; under MPI that of
each rank. Before it has read anything, a command holds the interpreter and its libraries: `Programs`. The rest is
divided among the workers. A stage states what one of its units takes at most; where that cannot be made smaller,
too little memory is refused before any work, with the smallest amount that will do.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from cloudreg_io.errors import ToolError
from cloudreg_io.launcher import mpi_size


@dataclass(frozen=True, slots=True)
class Programs:
    """What the processes of a command take without any data, in bytes.

    Attributes
    ----------
    first : int
        What they share, and what only one of them loads: code, compilers, a library of one stage.
    each : int
        What every process has for itself.
    """

    first: int
    each: int


# Measured (benchmarks/memory.py), with a margin; also when compiled code is not yet kept on the disk.
VOLUMES = Programs(60_000_000, 80_000_000)


@dataclass(frozen=True, slots=True)
class Need:
    """What a stage takes at most, where that cannot be made smaller.

    Attributes
    ----------
    doing : str
        What takes it, for a message.
    unit : int
        Bytes of data that a worker holds.
    command : int
        Bytes of data that the command itself holds at the same time.
    other : tuple of str
        What would help beside more memory.
    """

    doing: str
    unit: int
    command: int = 0
    other: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """How the memory of a command is divided.

    Attributes
    ----------
    memory : int or None
        Bytes; None for no limit.
    workers : int
        Processes that work at the same time and share `memory`.
    inline : bool
        Whether the process of the command is the only worker.
    programs : Programs
    """

    memory: int | None
    workers: int
    inline: bool
    programs: Programs

    @classmethod
    def of(cls, memory: int | None, jobs: int, programs: Programs) -> Budget:
        """For `--memory` and `--jobs`; under MPI every rank has the memory to itself."""
        alone = mpi_size() > 1 or jobs == 1
        return cls(memory, 1 if alone else jobs, alone, programs)

    @property
    def fixed(self) -> int:
        """What all processes take before there is any data."""
        return self.programs.first + self.programs.each * (self.workers + (0 if self.inline else 1))

    def share(self, command: int = 0) -> float:
        """Bytes of data that each worker may hold while the command holds `command`; infinity without a limit."""
        return math.inf if self.memory is None else (self.memory - self.fixed - command) / self.workers

    def least(self, need: Need) -> int:
        """The smallest `--memory` that covers a need."""
        return self.fixed + need.command + self.workers * need.unit

    def require(self, *needs: Need) -> None:
        """Refuse less memory than the largest of some needs.

        Raises
        ------
        ToolError
            Naming the smallest amount that will do.
        """
        if self.memory is None or not needs:
            return
        largest = max(needs, key=self.least)
        least = readable(self.least(largest))
        if self.least(largest) <= self.memory:
            return
        workers = f"{self.workers} workers" if self.workers > 1 else "one process"
        ways = [f"--memory {least}", *largest.other, *(["fewer --jobs"] if self.workers > 1 else [])]
        raise ToolError(
            f"--memory {readable(self.memory)} is too little: {largest.doing} takes {least} with {workers}",
            why=f"{readable(self.fixed)} of it are the programs themselves, before any data",
            fix=", or ".join(ways),
        )


def readable(size: float) -> str:
    """A number of bytes for a person, as --memory takes it; rounded up."""
    unit, name = (1e9, "GB") if size >= 1e9 else (1e6, "MB")
    return f"{math.ceil(size / unit * 100) / 100 if unit == 1e9 else math.ceil(size / unit):g}{name}"


def machine_memory() -> int:
    """Installed memory in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
