"""The stage's axes on the command line: seen by inspect, refused by run, put right by the options named."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from cloudreg_io.synthetic import AcquisitionSpec, Truth
from cloudreg_io.tiles import StageAxes, open_acquisition
from cloudreg_stitch.placement import Placement
from support.imaged import image_brain
from support.inside import cloudreg_inside

SPEC = AcquisitionSpec(
    rows=2,
    columns=2,
    tile_size=(128, 128),
    planes=24,
    overlap=(20.0, 20.0),
    jitter=(3.0, 3.0, 1.0),
    vignetting=("none",),
    seed=4,
)
PLAIN = ("--no-shading", "--no-bias")


def pretend(folder, axes):
    """Number the locations of an acquisition as a stage does that `axes` put right."""
    grid = open_acquisition(folder).grid
    told = {(t.row, t.column): t.name for t in grid.tiles}
    true = {(t.row, t.column): t.name for t in axes.of(grid).tiles}
    tiles = folder / "VW0"
    for name in told.values():
        (tiles / name).rename(tiles / f"{name}-old")
    for cell, name in true.items():
        (tiles / f"{told[cell]}-old").rename(tiles / name)
    return {name: told[cell] for cell, name in true.items()}


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    """An acquisition whose columns are numbered from the wrong end; its truth, and the true name of each tile."""
    folder = tmp_path_factory.mktemp("stage") / "raw"
    image_brain(folder, SPEC)
    return folder, Truth.load(folder), pretend(folder, StageAxes(flip_x=True))


def test_inspect_shows_it_and_fails(mirrored):
    folder, _, _ = mirrored
    done = cloudreg_inside("inspect", folder, check=False)
    assert done.returncode == 1
    assert re.search(r"x correlates 0\.\d\d as told, but 0\.\d\d at opposite edges", done.stdout)
    assert "fix: --flip-x: the overlaps then correlate 0." in done.stderr
    assert cloudreg_inside("inspect", folder, "--no-check-stage").returncode == 0
    facts = json.loads(cloudreg_inside("inspect", folder, "--flip-x", "--json").stdout)
    assert facts["overlaps"]["confirmed"] is True


@pytest.mark.parametrize("command", ["run", "stitch"])
def test_work_is_refused_before_anything_is_made(mirrored, tmp_path, command):
    done = cloudreg_inside(command, mirrored[0], tmp_path / "out", check=False)
    assert done.returncode == 1
    assert "fix: --flip-x" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_named_option_gives_the_true_placement(mirrored, tmp_path):
    folder, truth, true_name = mirrored
    out = tmp_path / "out"
    cloudreg_inside("run", folder, out, "--flip-x", *PLAIN)
    placement = Placement.load(out / "placement.json")
    found = {true_name[tile.name]: tile.position for tile in placement.tiles}
    assert max(truth.placement_errors(found, list(found)).values()) < 0.5
    nominal = {true_name[tile.name]: tile.nominal for tile in placement.tiles}
    assert all(np.allclose(nominal[tile.name], tile.nominal) for tile in truth.tiles)
    (entry,) = json.loads((out / "provenance.json").read_text())["commands"]
    assert entry["options"]["axes"] == "--flip-x"
    (look,) = [stage for stage in entry["stages"] if stage["name"] == "stage check"]
    assert look["planes_decoded"] > 0
    again = cloudreg_inside("run", folder, out, *PLAIN, "--no-check-stage", check=False)
    assert again.returncode == 1
    assert "stage_axes was '--flip-x', now None" in again.stderr
