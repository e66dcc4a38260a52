"""Commands given wrongly, or in odd places: refused before anything is made, or simply done."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from cloudreg_cli.main import main
from cloudreg_io.synthetic import AcquisitionSpec, make_acquisition, make_phantom
from support.trees import tree

PLAIN = ("--no-shading", "--no-bias")


def make_tiny(folder, channels=1, **changes):
    """Two tiles of 64 × 64 × 12 voxels side by side."""
    spec = AcquisitionSpec(
        **{
            "rows": 1,
            "columns": 2,
            "tile_size": (64, 64),
            "planes": 12,
            "overlap": (20.0, 20.0),
            "jitter": (1.0, 1.0, 0.0),
            "channels": channels,
            "strength": 0.2,
            "seed": 5,
            **changes,
        }
    )
    size = tuple(int(n) + 1 for n in spec.span)
    phantom = make_phantom(size, spec.voxel_size, seed=3)
    make_acquisition(folder, [phantom.scene(c) for c in range(channels)], spec, scene_size=size)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return make_tiny(tmp_path_factory.mktemp("tiny") / "raw")


def everything(folder):
    """Every path below a folder with its size and time."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
    }


def type_in(folder, *args):
    """A command line typed in a folder; in this process, which saves the start of another."""
    stdout, stderr = io.StringIO(), io.StringIO()
    argv, handler = sys.argv, signal.getsignal(signal.SIGTERM)
    with contextlib.chdir(folder), contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        sys.argv = ["cloudreg", *map(str, args)]
        try:
            main()
        except SystemExit as end:
            code = end.code
        finally:
            sys.argv = argv
            signal.signal(signal.SIGTERM, handler)
    assert "Traceback" not in stderr.getvalue()
    return subprocess.CompletedProcess(args, code, stdout.getvalue(), stderr.getvalue())


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
    out, command = again
    path = out / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert lost in refused(command())
    assert command("--overwrite").returncode == 0
    assert tree(out) == tree(finished)


def test_an_edit_of_the_placement_is_not_passed_over(again):
    out, command = again
    placement = json.loads((out / "placement.json").read_text())
    placement["tiles"][1]["position"][0] += 3
    (out / "placement.json").write_text(json.dumps(placement))
    assert "placement.json was edited" in refused(command())
    edited = command("--placement", "out/placement.json", "--overwrite")
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
    out, command = again
    (out.parent / "precious").mkdir()
    journal = out / ".cloudreg" / "journal.jsonl"
    line = json.dumps({"event": "begin", "stage": "other", "channel": "", **begin})
    journal.write_text(journal.read_text() + line + "\n")
    before = tree(out)
    assert "journal" in refused(command("--overwrite"))
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
