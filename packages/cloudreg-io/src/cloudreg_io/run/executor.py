"""One way to run tasks: inline, in a pool of processes, or over the ranks of an MPI job.

`executor(jobs)` gives a `concurrent.futures.Executor` in all three cases, so nothing else in CloudReg knows
which it is. Under `mpirun -np N` rank 0 gets an executor over N - 1 workers and every other rank serves it
and gets None when the work is over::

    with executor(jobs) as pool:
        if pool is None:  # a worker rank: its work is done
            return
        ...

The `with` must be the outermost statement of a command: rank 0 failing before it would leave the other ranks
waiting for ever. Tasks carry descriptors of less than 16 kB; arrays travel through files.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import ParamSpec, TypeVar, cast

from cloudreg_io.errors import InputError, ToolError

P = ParamSpec("P")
T = TypeVar("T")

# Ranks of a job, as the launchers announce them: MPICH and Intel MPI, Open MPI, Slurm's srun.
_SIZE_VARIABLES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")

# Parallelism is over tasks; libraries that start threads of their own would only get in each other's way.
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)


class InlineExecutor(Executor):
    """Runs each task at once, in this process, in the order of submission."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn` now; the future that comes back is already done."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def mpi_size(environment: Mapping[str, str] = os.environ) -> int:
    """Number of ranks that a launcher announces; 1 without one. MPI itself is not started."""
    sizes = [environment.get(name, "") for name in _SIZE_VARIABLES]
    return max([int(size) for size in sizes if size.isdigit()], default=1)


def workers(jobs: int) -> int:
    """How many tasks will run at the same time for `--jobs`: the MPI job's size wins."""
    ranks = mpi_size()
    return ranks - 1 if ranks > 1 else jobs


@contextmanager
def executor(jobs: int = 1) -> Iterator[Executor | None]:
    """Give an executor for `jobs` simultaneous tasks; None on the worker ranks of an MPI job.

    Raises
    ------
    InputError
        `jobs` is less than 1.
    ToolError
        Started by an MPI launcher without mpi4py, or by a launcher of another MPI than mpi4py's.
    """
    if mpi_size() > 1:
        with _mpi_executor() as pool:
            yield pool
    elif jobs < 1:
        raise InputError(f"--jobs {jobs}: at least one job is needed", fix="--jobs 1")
    elif jobs == 1:
        yield InlineExecutor()
    else:
        with _process_pool(jobs) as pool:
            yield pool


@contextmanager
def _process_pool(jobs: int) -> Iterator[Executor]:
    saved = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    # spawn: forking beside the threads of numerical libraries can dead-lock
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_start_worker, initargs=(os.getpid(),))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _mpi_executor() -> Iterator[Executor | None]:
    os.environ.update(_ONE_THREAD)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of a foreign launcher, by every rank; see below
            from mpi4py import MPI
            from mpi4py.futures import MPICommExecutor
    except (ImportError, RuntimeError) as error:
        raise ToolError(
            f"started by an MPI launcher, but mpi4py cannot be used: {error}",
            why="the package or its MPI library is not installed in this environment",
            fix="pip install 'cloudreg-io[mpi]'",
        ) from error
    if MPI.COMM_WORLD.Get_size() != mpi_size():
        raise ToolError(
            f"the launcher announces {mpi_size()} ranks, mpi4py sees {MPI.COMM_WORLD.Get_size()}",
            why="mpirun belongs to another MPI than mpi4py",
            fix=f"use the mpirun beside {sys.executable}, or `hatch run mpirun`",
        )
    # mpi4py's stub says that the context gives the context manager itself
    with MPICommExecutor(MPI.COMM_WORLD, root=0) as pool:
        executor_or_none = cast("Executor | None", pool)
        try:
            yield executor_or_none
        except BaseException:
            if executor_or_none is not None:
                executor_or_none.shutdown(wait=True, cancel_futures=True)
            raise


def _start_worker(parent: int) -> None:
    # Ctrl-C goes to the whole group; the parent decides what it means
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(parent)


def die_with_parent(parent: int) -> None:
    """End this process as soon as process `parent` is gone, even when that was killed."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="parent-watch").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.25)
    os._exit(1)
