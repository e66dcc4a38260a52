"""The executor over the ranks of an MPI job: rank 0 hands out, the others work, all end together."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import cast

from cloudreg_io.errors import ToolError
from cloudreg_io.launcher import mpi_rank, mpi_size
from cloudreg_io.run.parent import die_with_parent, parent_is_hydra
from cloudreg_io.run.roll_call import roll_call


@contextmanager
def ranks_executor() -> Iterator[Executor | None]:
    """Give rank 0 an executor over the other ranks, and those None when the work is over.

    Raises
    ------
    ToolError
        mpi4py is absent, or belongs to another MPI than the launcher.
    """
    # a launcher that is killed would leave ranks behind that go on writing
    die_with_parent(os.getppid(), by_kernel=parent_is_hydra())
    with roll_call(mpi_rank(), mpi_size()):
        _start_mpi()
    from mpi4py import MPI
    from mpi4py.futures import MPICommExecutor

    # mpi4py's stub says that the context gives the context manager itself
    with MPICommExecutor(MPI.COMM_WORLD, root=0) as pool:
        executor_or_none = cast("Executor | None", pool)
        try:
            yield executor_or_none
        except BaseException:
            if executor_or_none is not None:
                executor_or_none.shutdown(wait=True, cancel_futures=True)
            raise


def _start_mpi() -> None:
    try:
        import mpi4py

        # not on import: a foreign launcher would make MPI abort the process before anything can be said
        mpi4py.rc(initialize=False, finalize=True)
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise ToolError(
            f"started by an MPI launcher, but mpi4py cannot be used: {error}",
            why="the package or its MPI library is not installed in this environment",
            fix="pip install 'cloudreg-io[mpi]'",
        ) from error
    library = MPI.get_vendor()[0]
    if (
        os.environ.keys() & {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"} == {"OMPI_COMM_WORLD_SIZE"}
        and library != "Open MPI"
    ):
        raise _foreign(f"mpirun is that of Open MPI, mpi4py uses {library}")
    if not MPI.Is_initialized():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of a foreign launcher, by every rank; see below
            MPI.Init_thread()
    if MPI.COMM_WORLD.Get_size() != mpi_size():
        raise _foreign(f"the launcher announces {mpi_size()} ranks, mpi4py sees {MPI.COMM_WORLD.Get_size()}")


def _foreign(what: str) -> ToolError:
    return ToolError(
        what,
        why="mpirun belongs to another MPI than mpi4py; the one that comes first in PATH was taken",
        fix=f"use the mpirun beside {sys.executable}, or `hatch run mpirun`",
    )
