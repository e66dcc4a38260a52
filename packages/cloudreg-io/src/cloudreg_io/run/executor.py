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

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

from cloudreg_io.errors import InputError
from cloudreg_io.launcher import mpi_size
from cloudreg_io.run.parent import die_with_parent
from cloudreg_io.run.ranks import ranks_executor

P = ParamSpec("P")
T = TypeVar("T")

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
        os.environ.update(_ONE_THREAD)
        with ranks_executor() as pool:
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


def _start_worker(parent: int) -> None:
    # Ctrl-C goes to the whole group; the parent decides what it means
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(parent)
