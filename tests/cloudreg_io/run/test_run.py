import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from cloudreg_io.errors import InputError, ToolError
from cloudreg_io.launcher import mpi_size
from cloudreg_io.run import Unit, executor, open_run
from cloudreg_io.run.counters import Cost
from cloudreg_io.run.journal import Journal
from cloudreg_io.run.lock import lock


def double(task):
    folder, number = task
    (Path(folder) / f"{number}.txt").write_text(str(2 * number))
    return 2 * number


def log_and_fail_at(task):
    folder, number, bad = task
    with (Path(folder) / "calls.log").open("a") as file:
        file.write(f"{number}\n")
    if number == bad:
        raise InputError(f"unit {number} is bad")
    return number


def units(folder, n=5):
    return [Unit(str(i), (str(folder), i)) for i in range(n)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_stage_gives_results_in_unit_order(tmp_path, jobs):
    with executor(jobs) as pool, open_run(tmp_path / "out", command="t", pool=pool, jobs=jobs) as run:
        results = run.stage("double", double, units(tmp_path))
    assert list(results.items()) == [(str(i), 2 * i) for i in range(5)]


def test_a_folder_beside_this_one_may_be_named_by_its_relative_path(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with open_run("../out", command="t") as run:
        # absolute and without "..": workers may stand elsewhere, and volumes refuse such names
        assert run.out == tmp_path / "out"
        assert run.scratch.is_dir()


def test_second_run_performs_nothing(tmp_path):
    for _ in range(2):
        with open_run(tmp_path / "out", command="t") as run:
            run.stage("s", log_and_fail_at, [Unit(str(i), (str(tmp_path), i, -1)) for i in range(3)])
    assert (tmp_path / "calls.log").read_text().split() == ["0", "1", "2"]
    (command,) = json.loads((tmp_path / "out/provenance.json").read_text())["commands"]
    assert command["stages"][0]["units"] == 3


def test_failed_unit_is_retried_and_finished_units_are_kept(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match="unit 2 is bad"), open_run(out, command="t") as run:
        run.stage("s", log_and_fail_at, [Unit(str(i), (str(tmp_path), i, 2)) for i in range(4)])
    with open_run(out, command="t") as run:
        assert run.stage("s", log_and_fail_at, [Unit(str(i), (str(tmp_path), i, -1)) for i in range(4)]) == {
            str(i): i for i in range(4)
        }
    calls = (tmp_path / "calls.log").read_text().split()
    assert sorted(calls) == ["0", "1", "2", "2", "3"]


def test_changed_option_is_named_and_overwrite_deletes_only_what_is_listed(tmp_path):
    out = tmp_path / "out"
    with open_run(out, command="t") as run:
        (out / "made").mkdir()
    (out / "made").rmdir()
    with open_run(out, command="t") as run:
        run.stage("s", double, units(out, 1), options={"size": 3}, outputs=["0.txt"])
    (out / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match=r"size was 3, now 4"), open_run(out, command="t") as run:
        run.stage("s", double, units(out, 1), options={"size": 4}, outputs=["0.txt"])
    with open_run(out, command="t", overwrite=True) as run:
        assert run.stage("s", double, units(out, 2), options={"size": 4}, outputs=["0.txt"]) == {"0": 0, "1": 2}
    assert (out / "precious.txt").read_text() == "mine"


def test_output_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/0.txt").write_text("not ours")
    with pytest.raises(InputError, match="no earlier command"), open_run(tmp_path / "out", command="t") as run:
        run.stage("s", double, units(tmp_path / "out", 1), outputs=["0.txt"])
    assert (tmp_path / "out/0.txt").read_text() == "not ours"


def test_out_is_locked(tmp_path):
    path = tmp_path / "out/.cloudreg/lock"
    with lock(path), pytest.raises(ToolError, match=f"process {os.getpid()}"), lock(path, patience=0.1):
        pass


def no_locks(*_):
    raise OSError(errno.ENOTSUP, "Operation not supported")


def test_without_locks_a_file_names_the_owner(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", no_locks)
    path = tmp_path / "out/.cloudreg/lock"
    held = path.with_name("lock.held")
    with lock(path):
        with (
            pytest.raises(ToolError, match=rf"process {os.getpid()} on (.|\n)*delete {held}"),
            lock(path, patience=0.1),
        ):
            pass
        assert held.exists()
    assert not held.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_without_locks_a_killed_owner_holds_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", no_locks)
    path = tmp_path / "lock"
    # of a process that is gone, whose number this one has now; and of one on another host, which may live
    dead = {"pid": os.getpid(), "host": socket.gethostname(), "began": "1"}
    path.with_name("lock.held").write_text(json.dumps(dead))
    with lock(path, patience=0.5):
        pass
    path.with_name("lock.held").write_text(json.dumps(dead | {"host": "elsewhere"}))
    with pytest.raises(ToolError, match="on elsewhere"), lock(path, patience=0.1):
        pass


def test_other_errors_of_the_lock_are_not_taken_for_absent_locks(tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="Input/output"), lock(tmp_path / "lock"):
        pass


def test_the_second_command_waits_for_the_first(tmp_path):
    job = start(tmp_path, 1, 0.1)
    wait_for_calls(tmp_path, 1)
    with open_run(tmp_path / "out", command="t") as run:
        assert run.stage("work", len, [Unit(str(i), "none left") for i in range(8)]) == {
            str(i): i for i in range(8)
        }
    assert job.wait(timeout=60) == 0


def test_torn_journal_line_is_cut_off(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.begin(("s", ""), {"a": 1}, [])
    journal.done(("s", ""), "u", 1, Cost())
    journal.close()
    whole = path.read_bytes()
    for cut in range(1, len(whole.splitlines(keepends=True)[-1])):
        path.write_bytes(whole[:-cut])
        again = Journal(path)
        assert again.record(("s", "")).results == {}
        assert again.record(("s", "")).options == {"a": 1}
        again.close()


def test_edited_journal_is_named(tmp_path):
    (tmp_path / "journal.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="line 1"):
        Journal(tmp_path / "journal.jsonl")


def test_no_jobs_is_an_input_error():
    with pytest.raises(InputError, match="--jobs 0"), executor(0):
        pass


def test_mpi_size_reads_the_launchers_variables():
    assert mpi_size({}) == 1
    assert mpi_size({"PMI_SIZE": "3"}) == 3
    assert mpi_size({"OMPI_COMM_WORLD_SIZE": "4", "PMI_SIZE": "x"}) == 4


SCRIPT = textwrap.dedent(
    """
    import os, sys, time
    from pathlib import Path
    from cloudreg_io.run import Unit, executor, open_run

    def work(task):
        folder, number, seconds = task
        with open(f"{folder}/calls.log", "a") as log:
            log.write(f"{number}\\n")
        time.sleep(seconds)
        Path(f"{folder}/pid.{os.getpid()}").touch()
        return number

    if __name__ == "__main__":
        folder, jobs, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
        with executor(jobs) as pool:
            if pool is not None:
                with open_run(folder + "/out", command="t", pool=pool, jobs=jobs) as run:
                    units = [Unit(str(i), (folder, i, seconds)) for i in range(8)]
                    print(sum(run.stage("work", work, units).values()), flush=True)
    """
)


def start(tmp_path, *args, launcher=()):
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    command = [*map(str, launcher), sys.executable, str(script), str(tmp_path), *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_calls(tmp_path, n):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        log = tmp_path / "calls.log"
        if log.exists() and len(log.read_text().split()) >= n:
            return
        time.sleep(0.02)
    raise AssertionError("the job did not begin")


def children(pid):
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_killed_parent_takes_its_workers_along_and_the_job_goes_on(tmp_path):
    job = start(tmp_path, 2, 0.3)
    wait_for_calls(tmp_path, 4)
    workers = children(job.pid)
    assert len(workers) >= 2
    job.send_signal(signal.SIGKILL)
    job.communicate()
    deadline = time.monotonic() + 1
    while any(_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(_alive(pid) for pid in workers if "resource_tracker" not in _command(pid))
    again = start(tmp_path, 2, 0)
    out, err = again.communicate(timeout=60)
    assert (again.returncode, out.strip()) == (0, "28"), err
    # at most one unit a worker was done twice, and the provenance says how many
    calls = (tmp_path / "calls.log").read_text().split()
    (command,) = json.loads((tmp_path / "out/provenance.json").read_text())["commands"]
    repeated = command["stages"][0]["units_repeated"]
    # a unit killed before its first line is repeated too, but has not logged its call
    assert len(calls) - 8 <= repeated <= 2


def test_result_left_by_a_crash_is_taken_over(tmp_path):
    from cloudreg_io.run.units import _perform_one, left_result, marker

    out = tmp_path / "out"
    with open_run(out, command="t") as run:
        run.stage("s", log_and_fail_at, [Unit("0", (str(tmp_path), 0, -1))], options={"a": 1})
    # a worker finished unit 1, and the parent died before it wrote the journal
    path = marker(out / ".cloudreg/running", "s", "", "1")
    _perform_one(log_and_fail_at, (str(tmp_path), 1, -1), path, ("s", ""))
    units = [Unit(str(i), (str(tmp_path), i, -1)) for i in range(3)]
    with open_run(out, command="t") as run:
        assert run.stage("s", log_and_fail_at, units, options={"a": 1}) == {"0": 0, "1": 1, "2": 2}
    assert (tmp_path / "calls.log").read_text().split() == ["0", "1", "2"]
    # one that a power cut emptied is no result
    path.with_name(f"{path.name}.json").write_bytes(b"")
    assert left_result(path) is None
    # and it is not taken over by a stage with other options
    _perform_one(log_and_fail_at, (str(tmp_path), 1, -1), path, ("s", ""))
    with open_run(out, command="t", overwrite=True) as run:
        run.stage("s", log_and_fail_at, units, options={"a": 2})
    assert (tmp_path / "calls.log").read_text().split()[4:] == ["0", "1", "2"]
    assert list((out / ".cloudreg/running").iterdir()) == []


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except FileNotFoundError:
        return ""
