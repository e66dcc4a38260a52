"""Commands given wrongly, or in odd places: refused before anything is made, or simply done."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from cloudreg_io.errors import NotFoundError
from cloudreg_io.files.tiff import write_plane
from cloudreg_io.run import Unit, open_run
from support.command import cloudreg, command
from support.imaged import image_brain, tiny_spec
from support.inside import cloudreg_inside
from support.trees import tree

PLAIN = ("--no-shading", "--no-bias")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return image_brain(tmp_path_factory.mktemp("tiny") / "raw", tiny_spec())


def everything(folder):
    """Every path below a folder with its size and time."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
    }


def type_in(folder, *args):
    """A command line typed in a folder; in this process, which saves the start of another."""
    with contextlib.chdir(folder):
        done = cloudreg_inside(*args, check=False)
    assert "Traceback" not in done.stderr
    return done


def refused(done):
    """The message of a command that ended with 1 and a fix."""
    assert done.returncode == 1, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.stderr.count("error: ") == 1
    assert "fix: " in done.stderr
    return done.stderr


@pytest.mark.parametrize("out", ["../out", "../a b/ü 'o' \"u\" $(t); #?%41"])
def test_any_local_path_can_be_typed(tiny, tmp_path, out):
    here = tmp_path / "here"
    here.mkdir()
    raw = os.path.relpath(tiny, here)
    done = type_in(here, "run", raw, out, *PLAIN)
    assert done.returncode == 0, done.stderr
    assert (here / out / "CHN00" / "info").exists()
    assert type_in(here, "viz", "link", out, "--viewer", "https://a.b").returncode == 1  # a browser cannot read it
    place = os.path.relpath(here / out / "CHN00", here)
    assert type_in(here, "download", place, "../x y.tif", "--voxel-size", "5").returncode == 0
    assert (tmp_path / "x y.tif").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"here", "x y.tif", out.split("/")[1]}


@pytest.mark.parametrize("out", ["", "VW0/LOC000", "new/out", "../link/out"])
@pytest.mark.parametrize("words", [("run", *PLAIN), ("stitch",), ("correct", "tiles")])
def test_results_never_go_into_the_raw_data(tmp_path, tiny, words, out):
    raw = tmp_path / "raw"
    shutil.copytree(tiny, raw)
    (tmp_path / "link").symlink_to(raw)
    before = everything(raw)
    done = type_in(tmp_path, *words, "raw", os.path.join("raw", out))  # noqa: PTH118 -- as it is typed
    assert "raw" in refused(done)
    assert everything(raw) == before


@pytest.fixture(scope="session")
def finished(tiny, tmp_path_factory):
    """A run without shading and bias."""
    out = tmp_path_factory.mktemp("finished") / "out"
    assert type_in(out.parent, "run", tiny, out, *PLAIN).returncode == 0
    return out


@pytest.fixture
def again(tiny, finished, tmp_path):
    """A copy of that run, and what gives the same command once more."""
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    return out, lambda *more: type_in(tmp_path, "run", tiny, out, *PLAIN, *more)


@pytest.mark.parametrize("lost", ["CHN00", "placement.json", "qc/placement.json"])
def test_what_was_deleted_is_missed_and_made_again(finished, again, lost):
    out, repeat = again
    path = out / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert lost in refused(repeat())
    assert repeat("--overwrite").returncode == 0
    assert tree(out) == tree(finished)


def test_an_edit_of_the_placement_is_not_passed_over(again):
    out, repeat = again
    placement = json.loads((out / "placement.json").read_text())
    placement["tiles"][1]["position"][0] += 3
    (out / "placement.json").write_text(json.dumps(placement))
    assert "placement.json was edited" in refused(repeat())
    edited = repeat("--placement", "out/placement.json", "--overwrite")
    assert edited.returncode == 0, edited.stderr
    assert json.loads((out / "placement.json").read_text()) == placement


@pytest.mark.parametrize(
    "begin",
    [
        {"options": 5, "outputs": []},
        {"options": {}, "outputs": 7},
        {"options": {}, "outputs": ["../precious"]},
        {"options": {}, "outputs": ["/precious"]},
        {"options": {}, "outputs": ["."]},
    ],
)
def test_an_edited_journal_leads_nowhere(again, begin):
    out, repeat = again
    (out.parent / "precious").mkdir()
    journal = out / ".cloudreg" / "journal.jsonl"
    line = json.dumps({"event": "begin", "stage": "other", "channel": "", **begin})
    journal.write_text(journal.read_text() + line + "\n")
    before = tree(out)
    assert "journal" in refused(repeat("--overwrite"))
    assert tree(out) == before
    assert (out.parent / "precious").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--search", "-1", "5", "5"), "search"),
        (("--background", "nan"), "background"),
        (("--background", "-3"), "background"),
        (("--background", "some"), "background"),
        (("--bounds", "5", "0", "0", "4", "9", "9"), "bounds"),
        (("--placement", "{tmp}"), "{tmp}"),
        (("--placement", "{tmp}/none.json"), "none.json"),
        (("--placement", "{tmp}/other.json"), "other.json"),
        (("--memory", "lots"), "--memory"),
        (("--channels", "0,7"), "channel 7"),
    ],
)
def test_what_is_wrong_with_an_option_is_said_before_anything_is_made(tiny, finished, tmp_path, words, named):
    placement = json.loads((finished / "placement.json").read_text())
    placement["tiles"][1]["name"] = "LOC999"
    placement["pairs"] = []
    (tmp_path / "other.json").write_text(json.dumps(placement))
    done = type_in(tmp_path, "run", tiny, "out", *PLAIN, *(word.format(tmp=tmp_path) for word in words))
    refused(done)
    assert named.format(tmp=tmp_path) in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_channel_without_signal_is_named_with_the_way_out(tmp_path):
    raw = image_brain(tmp_path / "raw", tiny_spec(channels=2))
    for plane in raw.glob("VW0/*/*CHN01*"):
        write_plane(plane, np.full((64, 64), 100, np.uint16))
    message = refused(type_in(tmp_path, "run", raw, "out", "--channels", "1"))
    assert "channel CHN01: no signal" in message
    assert "--no-shading" in message
    message = refused(type_in(tmp_path, "run", raw, "other", "--channels", "1", "--no-shading"))
    assert "channel CHN01: no tissue" in message
    assert "--no-bias" in message
    assert type_in(tmp_path, "run", raw, "plain", *PLAIN).returncode == 0


def test_a_file_that_a_later_stage_misses_is_named_as_lost(tmp_path):
    (tmp_path / "earlier").mkdir()
    made = tmp_path / "earlier" / "made.txt"
    with open_run(tmp_path / "earlier", command="t") as run:
        run.stage("making", made.write_text, [Unit("all", "text")], outputs=[made.name])
    made.unlink()

    def read_it():
        with open_run(tmp_path / "earlier", command="t") as run:
            run.stage("making", made.write_text, [Unit("all", "text")], outputs=[made.name])
            raise NotFoundError(f"{made}: no such file")

    with pytest.raises(NotFoundError, match=r"made.txt is not there any more\n.*the stage making made it"):
        read_it()


def test_a_replaced_plane_is_noticed(tiny, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(tiny, raw)
    assert type_in(tmp_path, "run", "raw", "out", *PLAIN).returncode == 0
    first, second = sorted(raw.glob("VW0/LOC000/*.tif"))[:2]
    shutil.copy(first, second)
    assert "acquisition was" in refused(type_in(tmp_path, "run", "raw", "out", *PLAIN))


@pytest.mark.parametrize("words", [("run", "{raw}", "out", "--memory", "lots"), ("run", "none", "out")])
def test_all_ranks_say_it_once(tiny, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    done = cloudreg(*(word.format(raw=tiny) for word in words), ranks=3, check=False, timeout=60)
    refused(done)
    assert not any(tmp_path.iterdir())


def test_a_command_of_one_process_is_done_once(tiny, finished, tmp_path):
    done = cloudreg("download", finished / "CHN00", tmp_path / "a.tif", "--voxel-size", 9, ranks=3, timeout=60)
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("ranks", [0, 3])
def test_ctrl_c_ends_soon_and_can_be_gone_on_with(tiny, finished, tmp_path, ranks):
    out = tmp_path / "out"
    args = command("run", tiny, out, *PLAIN, ranks=ranks)
    job = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    journal = out / ".cloudreg" / "journal.jsonl"
    while job.poll() is None and not (journal.exists() and journal.stat().st_size):
        time.sleep(0.002)
    job.send_signal(signal.SIGINT)
    _, stderr = job.communicate(timeout=60)
    assert job.returncode == 130
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert type_in(tmp_path, "run", tiny, out, *PLAIN).returncode == 0
    assert tree(out) == tree(finished)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--memory", "1MB"), "memory"),
        (("--bounds", 9000, 9000, 9000, 9100, 9100, 9100), "hold nothing of the mosaic"),
    ],
)
def test_what_fusion_would_refuse_is_said_before_any_work(tiny, tmp_path, options, message):
    done = type_in(tmp_path, "run", tiny, tmp_path / "out", *options)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
