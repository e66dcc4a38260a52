"""What an MPI launcher announces to the processes that it starts. MPI itself is not started here."""

from __future__ import annotations

import os
from collections.abc import Mapping

# rank and size of an MPI job, as MPICH and Intel MPI, Open MPI, and Slurm's srun announce them
_VARIABLES = {
    "PMI_RANK": "PMI_SIZE",
    "OMPI_COMM_WORLD_RANK": "OMPI_COMM_WORLD_SIZE",
    "SLURM_PROCID": "SLURM_STEP_NUM_TASKS",
}


def mpi_size(environment: Mapping[str, str] = os.environ) -> int:
    """Number of ranks that a launcher announces; 1 without one."""
    sizes = [environment.get(name, "") for name in _VARIABLES.values()]
    return max([int(size) for size in sizes if size.isdigit()], default=1)


def mpi_rank(environment: Mapping[str, str] = os.environ) -> int:
    """Rank of this process in an MPI job; 0 outside of one."""
    for rank, size in ((environment.get(r, ""), environment.get(s, "")) for r, s in _VARIABLES.items()):
        if rank.isdigit() and size.isdigit() and int(size) > 1:
            return int(rank)
    return 0
