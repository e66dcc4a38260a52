"""MPI jobs: the same results over any number of ranks, and an end with a reason whatever becomes of one."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from support.command import MPIRUN

# a command of eight units; what befalls it is said by two words: what, and on which rank or in which unit
JOB = textwrap.dedent(
    """
    import os, resource, signal, sys, time
    from functools import partial
    from pathlib import Path

    RANK = int(os.environ.get("PMI_RANK", "0"))
    folder, fate, at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

    def meet(fate):
        if fate == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fate == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif fate == "raises":
            raise InputError("tile LOC003 is upside down", fix="turn it")
        elif fate == "memory":
            resource.setrlimit(resource.RLIMIT_AS, (2**30, resource.RLIM_INFINITY))
            bytearray(2**31)
        elif fate == "hangs":
            time.sleep(600)
        elif fate == "waits":
            Path(folder / "waits").touch()
            time.sleep(600)

    def work(number):
        if number == at and not fate.startswith("before"):
            meet(fate)
        (folder / f"pid.{os.getpid()}").touch()
        time.sleep(0.02)
        return number

    if RANK == at and fate == "before-exit":
        sys.exit("this host has no such library")
    if RANK == at and fate == "before-hang":
        time.sleep(600)

    import typer
    from cloudreg_io.console import run_app
    from cloudreg_io.errors import InputError
    from cloudreg_io.run import Unit, executor, open_run, ranks, roll_call

    if fate == "before-hang":
        ranks.roll_call = partial(roll_call.roll_call, patience=2.0)
    sys.argv[1:] = []
    app = typer.Typer()

    @app.command()
    def job():
        with executor() as pool:
            if pool is None:
                return
            if fate == "rank 0":
                meet("killed")
            with open_run(folder / "out", command="t", pool=pool) as run:
                units = [Unit(str(i), i) for i in range(8)]
                print("sum", sum(run.stage("work", work, units).values()), flush=True)

    if __name__ == "__main__":
        run_app(app)
    """
)


def start(folder, ranks, fate="none", at=-1, **environment):
    script = folder / "job.py"
    script.write_text(JOB)
    launcher = [str(MPIRUN), "-np", str(ranks)] if ranks else []
    return subprocess.Popen(
        [*launcher, sys.executable, str(script), str(folder), fate, str(at)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(job):
    """Exit code and all that was said; a job that hangs fails the test."""
    try:
        stdout, stderr = job.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        job.terminate()
        raise
    assert "Traceback" not in stderr
    return job.returncode, stdout + stderr


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_any_number_of_ranks_gives_the_same(tmp_path, ranks):
    code, said = finish(start(tmp_path, ranks))
    assert code == 0
    assert "sum 28" in said
    workers = len(list(tmp_path.glob("pid.*")))
    assert workers == 1 if ranks < 3 else 1 <= workers <= ranks - 1


@pytest.mark.parametrize(
    ("fate", "at", "code", "reason"),
    [
        ("killed", 3, 9, "Killed (signal 9)"),
        ("segfault", 3, 11, "Segmentation fault (signal 11)"),
        ("rank 0", 0, 9, "Killed (signal 9)"),
        ("raises", 3, 1, "error: tile LOC003 is upside down\n  fix: turn it"),
        ("memory", 3, 1, "error: not enough memory"),
    ],
)
def test_a_rank_that_fails_ends_the_job_with_the_reason_and_it_can_be_gone_on_with(
    tmp_path, fate, at, code, reason
):
    ended, said = finish(start(tmp_path, 3, fate, at))
    assert ended == code
    assert said.count(reason) == 1
    assert "sum" not in said
    ended, said = finish(start(tmp_path, 3))
    assert ended == 0
    assert "sum 28" in said


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize(
    ("fate", "reason"), [("before-exit", "1 of this host's 3 ended"), ("before-hang", "2 sec")]
)
def test_a_rank_that_never_starts_is_not_waited_for(tmp_path, fate, at, reason):
    code, said = finish(start(tmp_path, 3, fate, at))
    assert code != 0
    if fate == "before-exit":
        assert "this host has no such library" in said
    if at != 0:  # rank 0 speaks for all; where it is the one that failed, it has spoken
        assert "error: not all 3 ranks of the MPI job are there" in said
        assert reason in said
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ranks_end_with_a_launcher_that_was_killed(tmp_path):
    job = start(tmp_path, 3, "waits", 0)
    while not (tmp_path / "waits").exists():
        assert job.poll() is None
        time.sleep(0.02)
    (proxy,) = children(job.pid)
    ranks = children(proxy)
    assert len(ranks) == 3
    os.kill(proxy, signal.SIGKILL)  # not mpirun: its proxy would end the ranks
    deadline = time.monotonic() + 5
    while any(map(alive, ranks)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, ranks))
    assert job.wait(timeout=60) != 0
    job.communicate()


def children(pid):
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_without_mpi4py_the_extra_is_named_once(tmp_path):
    (tmp_path / "shadow" / "mpi4py").mkdir(parents=True)
    (tmp_path / "shadow" / "mpi4py" / "__init__.py").write_text("raise ImportError('No module named mpi4py')")
    code, said = finish(start(tmp_path, 3, PYTHONPATH=str(tmp_path / "shadow")))
    assert code == 1
    assert said.count("pip install 'cloudreg-io[mpi]'") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("launcher", "what"),
    [
        # what Open MPI's mpirun puts in the environment; MPICH would abort the process when it was started
        ("OMPI_COMM_WORLD_SIZE OMPI_COMM_WORLD_RANK", "mpirun is that of Open MPI, mpi4py uses MPICH"),
        # a launcher that the MPI library does not see: it believes to be alone
        ("SLURM_STEP_NUM_TASKS SLURM_PROCID", "the launcher announces 3 ranks, mpi4py sees 1"),
    ],
)
def test_a_foreign_launcher_is_refused_once(tmp_path, launcher, what):
    size, rank = launcher.split()
    said = [finish(start(tmp_path, 0, **{size: "3", rank: str(number)})) for number in range(2)]
    assert [code for code, _ in said] == [1, 1]
    assert what in said[0][1]
    assert f"use the mpirun beside {sys.executable}" in said[0][1]
    assert said[1][1] == ""
    assert list(tmp_path.glob("pid.*")) == []
