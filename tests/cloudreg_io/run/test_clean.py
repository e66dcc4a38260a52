"""Cleaning removes what commands left for themselves, and nothing of anybody else."""

import json

import numpy as np
import pytest

from cloudreg_io.errors import InputError, NotFoundError, ToolError
from cloudreg_io.files.atomic import temporary_beside, write_json
from cloudreg_io.run import Unit, open_run
from cloudreg_io.run.clean import clean
from cloudreg_io.run.lock import lock
from cloudreg_io.verify import verify
from support.trees import contents


def write_pair(task):
    """A result, and something in scratch that a later stage needs."""
    out, number = task
    if number < 0:
        raise InputError("as asked")
    (out / "made").mkdir(exist_ok=True)
    write_json(out / "made" / f"{number}.json", number)
    np.save(out / ".cloudreg" / "scratch" / f"{number}.npy", np.zeros(1000))


def work(out, numbers=(0, 1), kind="a", **options):
    with open_run(out, command="work", **options) as run:
        units = [Unit(str(n), (out, n)) for n in numbers]
        run.stage("s", write_pair, units, options={"kind": kind}, outputs=["made"])
        for number in numbers:
            np.load(run.scratch / f"{number}.npy")


@pytest.fixture
def out(tmp_path):
    """A finished folder, with files of the user's and what a killed command left."""
    folder = tmp_path / "out"
    work(folder)
    (folder / "mine.txt").write_text("notes")
    (folder / "made" / "more").mkdir()
    temporary_beside(folder / "made" / "9.json").write_text("unfinished")
    (folder / ".cloudreg" / "running" / "0123").write_text("")
    return folder


def results(folder):
    return {name: data for name, data in contents(folder).items() if not name.startswith(".cloudreg")}


def test_results_stay_and_can_be_verified(out):
    before = {name: data for name, data in results(out).items() if "/.tmp-" not in name}
    size = sum(len(data) for name, data in contents(out).items() if "scratch" in name or "/.tmp-" in name)
    done = clean(out)
    assert done.bytes == size > 16000
    assert results(out) == before
    assert not (out / ".cloudreg" / "scratch").exists()
    assert (out / "made" / "more").is_dir()
    assert verify(out).whole
    assert clean(out).bytes == 0


def test_a_dry_run_removes_nothing(out):
    before = contents(out)
    told = clean(out, dry_run=True)
    assert contents(out) == before
    done = clean(out)
    assert (told.removed, told.bytes) == (done.removed, done.bytes)


def test_everything_is_what_the_journal_lists_and_no_more(out):
    size = sum(map(len, contents(out).values())) - len("notes")
    told = clean(out, everything=True, dry_run=True)
    assert told.removed == (".cloudreg", "made", "provenance.json")
    assert told.bytes == size
    done = clean(out, everything=True)
    assert done == told
    assert contents(out) == {"mine.txt": b"notes"}
    (out / "mine.txt").unlink()
    work(out)
    clean(out, everything=True)
    assert not out.exists()


def test_files_that_no_output_names_go_too(tmp_path):
    folder = tmp_path / "out"
    with open_run(folder, command="work") as run:
        (folder / "planes").mkdir()
        write_json(folder / "planes" / "0.json", 0)
        (folder / "planes" / "mine").write_text("")
        assert run.out == folder
    clean(folder, everything=True)
    assert contents(folder) == {"planes/mine": b""}


def test_unfinished_work_is_given_up_only_when_that_is_said(tmp_path):
    folder = tmp_path / "out"
    with pytest.raises(InputError, match="as asked"):
        work(folder, (0, -1))
    before = contents(folder)
    with pytest.raises(InputError, match=r"the stage s is not finished; 1 units(?s:.*)--yes"):
        clean(folder)
    assert contents(folder) == before
    assert clean(folder, give_up=True).bytes > 8000
    assert (folder / "made" / "0.json").exists()


def test_a_folder_in_use_or_of_somebody_else_is_left_alone(out, tmp_path):
    before = contents(out)
    with lock(out / ".cloudreg" / "lock"), pytest.raises(ToolError, match="in use"):
        clean(out)
    del before[".cloudreg/lock"]
    assert {name: data for name, data in contents(out).items() if name != ".cloudreg/lock"} == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("")
    with pytest.raises(NotFoundError, match="no journal"):
        clean(tmp_path / "other", everything=True)
    assert (tmp_path / "other" / "file").exists()


def test_a_command_that_misses_its_scratch_says_why_and_overwrite_begins_anew(out):
    clean(out)
    with pytest.raises(NotFoundError, match=r"was cleaned(?s:.*)--overwrite"):
        work(out)
    assert verify(out).whole
    work(out, overwrite=True)
    work(out)
    assert contents(out)["mine.txt"] == b"notes"
    assert verify(out).whole
    (entry,) = json.loads((out / "provenance.json").read_text())["commands"]
    assert entry["complete"]


def test_scratch_that_somebody_deleted_is_named_and_overwrite_begins_anew(out):
    (out / ".cloudreg" / "scratch" / "1.npy").unlink()
    for said in (r"scratch/1.npy is not there any more(?s:.*)--overwrite", "--overwrite"):
        with pytest.raises(NotFoundError, match=said):
            work(out)
    work(out, overwrite=True)
    work(out)
    assert verify(out).whole


def test_a_link_is_removed_and_not_followed(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("kept")
    work(tmp_path / "out")
    made = tmp_path / "out" / "made"
    for path in made.iterdir():
        path.unlink()
    made.rmdir()
    made.symlink_to(tmp_path / "precious")
    clean(tmp_path / "out", everything=True)
    assert contents(tmp_path / "precious") == {"file": b"kept"}
    assert not (tmp_path / "out").exists()
