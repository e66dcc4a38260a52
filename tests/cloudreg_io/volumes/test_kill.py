"""Killed at any point of writing a volume, the same command ends with the same bytes."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from cloudreg_io.files.atomic import is_temporary
from support.trees import contents

CHILD = """
import os, signal, sys
from pathlib import Path
import numpy as np
from cloudreg_io.run import Unit, open_run
from cloudreg_io.volumes import SlabWriter, VolumeSpec, create_volume, finish_volume

folder, sharded, what, when = Path(sys.argv[1]), sys.argv[2] == "sharded", sys.argv[3], int(sys.argv[4])
calls = 0

def killer(original):
    def call(self, *arguments):
        global calls
        calls += 1
        if calls == when:
            if what == "half":
                original(self, arguments[0][: len(arguments[0]) // 2])
            if what == "after":
                original(self, *arguments)
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *arguments)
    return call

if what == "half":
    Path.write_bytes = killer(Path.write_bytes)
else:
    Path.replace = killer(Path.replace)

array = np.random.default_rng(0).integers(0, 60000, (10, 20, 30), np.uint16)

def write(z):
    with SlabWriter(volume, scratch, z) as writer:
        writer.write(array[z[0] : z[1]])
    return writer.result()

with open_run(folder, command="test") as run:
    plan = VolumeSpec.plan((30, 20, 10), (1, 1, 2), "uint16", chunk=(8, 8, 4), smallest=4, sharded=sharded)
    volume, scratch = create_volume(folder / "v", plan), run.scratch / "v"
    run.stage("slabs", write, [Unit(str(z), z) for z in volume.slabs()])
    finish_volume(run, volume, scratch, channel="")
print(calls)
"""


def run(folder, sharded, what="after", when=0):
    arguments = [sys.executable, "-c", CHILD, str(folder), sharded, what, str(when)]
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


def check_whole(folder):
    """Whatever has its final name is whole."""
    for name, data in contents(folder / "v").items():
        if name.endswith(".gz") and not is_temporary(Path(name)):
            gzip.decompress(data)


@pytest.mark.parametrize("sharded", ["sharded", "plain"])
def test_killed_anywhere(tmp_path, sharded):
    undisturbed = run(tmp_path / "wanted", sharded)
    assert undisturbed.returncode == 0, undisturbed.stderr
    wanted, calls = contents(tmp_path / "wanted" / "v"), int(undisturbed.stdout)
    assert calls > 20
    places = {
        "plain": [("half", 9), ("before", calls // 2), ("after", calls - 3)],
        "sharded": [("after", calls // 3), ("before", calls - 3), ("after", calls - 1)],
    }
    for what, when in places[sharded]:
        folder = tmp_path / f"{what}{when}"
        killed = run(folder, sharded, what, when)
        assert killed.returncode == -9, (what, when, killed.stderr)
        check_whole(folder)
        again = run(folder, sharded)
        assert again.returncode == 0, again.stderr
        assert contents(folder / "v") == wanted, (what, when)
        assert not list((folder / ".cloudreg" / "scratch").iterdir())
