"""`--memory`: refused when too little, with the smallest amount that will do; that amount does, and it is held."""

import re

import numpy as np
import pytest

from cloudreg_io.console import memory_bytes
from cloudreg_io.files.tiff import write_plane
from support.command import command
from support.inside import cloudreg_inside
from support.kills import make_raw
from support.memory_curve import watched
from support.trees import difference, tree

# all in one test process: the raw data and the volume are made once
pytestmark = pytest.mark.xdist_group("memory")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return make_raw(tmp_path_factory.mktemp("memory") / "raw")


@pytest.fixture(scope="module")
def plain(raw):
    """A run with all the memory that it may want."""
    out = raw.parent / "plain"
    cloudreg_inside("run", raw, out, "--channels", 0)
    return out


def least(*words):
    """What the command asks for when it has next to nothing."""
    done = cloudreg_inside(*words, "--memory", "1MB", check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "--memory 1MB is too little: " in done.stderr
    return re.search(r"fix: --memory (\S+?)(,|\n|$)", done.stderr)[1]


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_least_memory_of_a_run_is_enough_and_held(raw, plain, tmp_path, jobs):
    out = tmp_path / "out"
    words = ("run", raw, out, "--channels", 0, "--jobs", jobs)
    enough = least(*words)
    assert not out.exists()
    size = memory_bytes(enough)
    # each process alone must not ask the system for more than all may have
    limited = ("bash", "-c", f'ulimit -d {size // 1024} && exec "$@"', "limited")
    curve = watched((*limited, *command(*words, "--memory", enough)), out)
    assert curve.status == 0, curve.errors
    assert curve.peak <= size, curve.stages()
    assert difference(tree(out), tree(plain)) == []


@pytest.fixture
def stack(tmp_path):
    folder = tmp_path / "stack"
    folder.mkdir()
    for z in range(40):
        write_plane(folder / f"p{z:03}.tif", np.full((150, 140), z, np.uint16))
    return folder


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_least_memory_of_an_ingest_is_enough_and_held(stack, tmp_path, jobs):
    words = ("ingest", stack, tmp_path / "volume", "--voxel-size", 5, 5, 5, "--jobs", jobs)
    enough = least(*words)
    assert not (tmp_path / "volume").exists()
    curve = watched(command(*words, "--memory", enough), tmp_path / "volume", pause=0.01)
    assert curve.status == 0, curve.errors
    assert curve.peak <= memory_bytes(enough), curve.stages()


@pytest.mark.parametrize(
    "words",
    [
        ("stitch", "{raw}", "{out}"),
        ("stitch", "{raw}", "{out}", "--align-only"),
        ("correct", "tiles", "{raw}", "{out}"),
        ("correct", "volume", "{plain}/CHN00", "{out}"),
        ("download", "{plain}/CHN00", "{out}.tif", "--voxel-size", "9"),
    ],
    ids=" ".join,
)
def test_the_least_memory_of_every_command_is_enough(raw, plain, tmp_path, words):
    places = {"raw": raw, "plain": plain, "out": tmp_path / "out"}
    words = [word.format(**places) for word in words]
    enough = least(*words)
    assert list(tmp_path.iterdir()) == []
    cloudreg_inside(*words, "--memory", enough)
