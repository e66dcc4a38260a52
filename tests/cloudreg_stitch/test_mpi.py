"""The whole command, alignment and fusion, over MPI ranks, and killed once in each of its stages."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cloudreg_io.synthetic import AcquisitionSpec, make_acquisition, make_phantom
from cloudreg_stitch.placement import Placement
from cloudreg_stitch.stitching import StitchOptions, stitch
from support.forked import killed_in
from support.trees import tree

# all in one test process: what they are compared with is made once
pytestmark = pytest.mark.xdist_group("stitch")


@pytest.fixture(scope="module")
def acquisition(tmp_path_factory):
    spec = AcquisitionSpec(
        rows=2, columns=2, tile_size=(128, 112), planes=40, overlap=(25, 25), jitter=(4, 4, 2), channels=2, seed=5
    )
    phantom = make_phantom((230, 200, 44), (7.0, 7.0, 5.0), seed=5)
    return make_acquisition(tmp_path_factory.mktemp("mpi") / "acq", [phantom.scene(0), phantom.scene(1)], spec)


@pytest.fixture(scope="module")
def reference(acquisition, tmp_path_factory):
    out = tmp_path_factory.mktemp("reference") / "out"
    stitch(acquisition.folder, str(out), StitchOptions())
    return out


def test_all_ranks_together_make_the_bytes_of_one_process(acquisition, reference, tmp_path):
    errors = acquisition.placement_errors(Placement.load(reference / "placement.json").positions)
    assert max(errors.values()) < 1
    command = [Path(sys.executable).parent / "mpirun", "-np", "3", sys.executable, "-m", "cloudreg_stitch"]
    arguments = [acquisition.folder, tmp_path / "out"]
    done = subprocess.run(
        [*map(str, command + arguments)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("cloudreg viz serve") == 1
    assert tree(tmp_path / "out") == tree(reference)


def test_killed_once_in_every_stage_the_bytes_are_the_same(acquisition, reference, tmp_path):
    stages = json.loads((reference / "provenance.json").read_text())["commands"][0]["stages"]
    names = [(stage["name"], stage["channel"]) for stage in stages if stage["units"]]
    assert {name for name, _ in names} >= {"survey", "displacement", "placement", "fuse"}

    def work():
        stitch(acquisition.folder, str(tmp_path / "out"), StitchOptions())

    for stage in names:
        assert killed_in(stage, work) == -signal.SIGKILL, stage
    work()
    assert tree(tmp_path / "out") == tree(reference)
    (command,) = json.loads((tmp_path / "out" / "provenance.json").read_text())["commands"]
    assert all(stage["units_repeated"] <= 1 for stage in command["stages"])
