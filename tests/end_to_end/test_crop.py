"""`--bounds`: a corner reads only what it needs, lies where the whole run has it, and is said to be a crop."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest

from cloudreg_io.errors import ToolError
from cloudreg_io.run.disk import Room
from cloudreg_io.space import Bounds
from cloudreg_io.synthetic import AcquisitionSpec
from cloudreg_io.tiles import open_acquisition
from cloudreg_io.volumes import open_volume
from cloudreg_stitch.crop import Crop
from cloudreg_stitch.placement import Placement
from support.imaged import image_brain
from support.inside import cloudreg_inside

SPEC = AcquisitionSpec(
    rows=1, columns=5, tile_size=(128, 128), planes=80, overlap=(25.0, 25.0), jitter=(3.0, 3.0, 1.0), seed=7
)
PLAIN = ("--no-shading", "--no-bias")
BOX = (10, 20, 10, 60, 100, 30)
SEAM = (10, 20, 10, 140, 100, 30)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A row of five tiles, and the volume of all of it."""
    folder = tmp_path_factory.mktemp("crop")
    image_brain(folder / "raw", SPEC, seed=5)
    cloudreg_inside("run", folder / "raw", folder / "out", *PLAIN)
    return folder / "raw", folder / "out"


def voxels(out, bounds=None):
    volume = open_volume(str(out / "CHN00"))
    return volume.read(bounds or Bounds.of_size(volume.spec.size))


def decoded(out):
    (entry,) = json.loads((out / "provenance.json").read_text())["commands"]
    return {stage["name"]: stage["planes_decoded"] for stage in entry["stages"]}, entry


@pytest.mark.parametrize("command", [("run", *PLAIN), ("stitch", "--fuse-only")])
def test_at_a_given_placement_it_has_the_bytes_of_the_whole(whole, tmp_path, command):
    raw, out = whole
    name, *options = command
    corner = tmp_path / "corner"
    cloudreg_inside(name, raw, corner, *options, "--placement", out / "placement.json", "--bounds", *SEAM)
    assert np.array_equal(voxels(corner), voxels(out, Bounds(SEAM[:3], SEAM[3:])))
    planes, _ = decoded(corner)
    assert planes["fuse"] <= 2 * 25


def test_it_reads_little_and_lies_where_the_whole_run_has_it(whole, tmp_path):
    raw, out = whole
    corner = tmp_path / "corner"
    done = cloudreg_inside("run", raw, corner, "--no-shading", "--bounds", *BOX)
    assert "a crop: 2 of 5 tiles and 48 of 80 planes are read" in done.stderr
    planes, entry = decoded(corner)
    assert planes["survey"] == 2 * 48
    assert entry["options"]["bounds"] == list(BOX)
    assert any("a crop" in warning for warning in entry["warnings"])
    ours, theirs = Placement.load(corner / "placement.json"), Placement.load(out / "placement.json")
    a, b = (np.subtract(p.tile("LOC001").position, p.tile("LOC000").position) for p in (ours, theirs))
    assert np.abs(a - b).max() < 0.3
    # the frame of a crop is the stage's, which is off by as much as its tiles are
    assert np.abs(np.subtract(ours.tile("LOC000").position, theirs.tile("LOC000").position)).max() < 6
    assert [tile.flags for tile in ours.tiles[3:]] == [("stage_position",)] * 2
    again = cloudreg_inside("run", raw, corner, *PLAIN, check=False)
    assert again.returncode == 1
    assert "crop was" in again.stderr or "crop differs" in again.stderr


def test_the_plan_counts_what_the_run_reads_and_writes_nothing(whole, tmp_path):
    raw, out = whole
    told = json.loads(
        cloudreg_inside("plan", raw, tmp_path / "none", "--no-shading", "--no-bias", "--json").stdout
    )
    assert not any(tmp_path.iterdir())
    planes, _ = decoded(out)
    assert told["planes_decoded"] == pytest.approx(planes["survey"] + planes["fuse"], rel=0.15)
    size = sum(path.stat().st_size for path in (out / "CHN00").rglob("*") if path.is_file())
    assert told["steps"][-1]["bytes_written"] == pytest.approx(size, rel=0.3)
    assert told["disk_needed"] > size
    corner = json.loads(cloudreg_inside("plan", raw, tmp_path / "none", *PLAIN, "--json", "--bounds", *BOX).stdout)
    assert corner["planes_decoded"] < 0.5 * told["planes_decoded"]
    assert "minutes with 1 job(s)" in cloudreg_inside("plan", raw, tmp_path / "none").stdout


def test_a_disk_that_will_be_too_small_is_told_with_the_figures(tmp_path):
    room = Room(free=2_000_000_000, mount=tmp_path)
    room.require(2_000_000_000, tmp_path / "out")
    with pytest.raises(ToolError, match=r"out will need about 2.1GB; 2GB are free on"):
        room.require(2_100_000_000, tmp_path / "out")
    assert Room.at(tmp_path / "not" / "there").free > 0


@pytest.mark.needs("root")
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_small_disk_is_refused_before_anything_is_made(whole, tmp_path, command):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    try:
        done = cloudreg_inside(command, whole[0], disk / "out", *PLAIN, check=False)
        assert done.returncode == 1
        assert f"are free on {disk}" in done.stderr
        assert not any(disk.iterdir())
    finally:
        subprocess.run(["umount", disk], check=True)


def test_what_lies_outside_may_be_missing(whole, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(whole[0], raw)
    for path in (raw / "VW0" / "LOC004").glob("*.tif"):
        path.unlink()
    refused = cloudreg_inside("run", raw, tmp_path / "all", *PLAIN, check=False)
    assert refused.returncode == 1
    cloudreg_inside("run", raw, tmp_path / "corner", *PLAIN, "--bounds", *BOX)


def test_bounds_beyond_the_mosaic_are_cut_and_it_is_said(whole, tmp_path):
    raw, out = whole
    placement = out / "placement.json"
    box = (400, 0, 0, 9000, 64, 16)
    done = cloudreg_inside("run", raw, tmp_path / "out", *PLAIN, "--placement", placement, "--bounds", *box)
    assert "reach beyond the mosaic" in done.stderr
    assert voxels(tmp_path / "out").shape[2] == open_volume(str(out / "CHN00")).spec.size[0] - 400


def test_tiles_and_planes_that_a_box_needs(whole):
    grid = open_acquisition(whole[0]).grid
    crop = Crop.of(grid, Bounds((100, 0, 0), (140, 9, 4)), (10, 10, 3))
    assert crop.tiles == {"LOC000", "LOC001", "LOC002"}
    assert crop.planes == (0, 48)
    at_the_end = Crop.of(grid, Bounds((100, 0, 78), (110, 9, 80)), (10, 10, 3))
    assert at_the_end.planes == (32, 80)
    placed = Crop.at(grid, Bounds((100, 0, 10), (110, 9, 12)), Placement.by_stage(grid))
    assert (placed.tiles, placed.planes) == ({"LOC000", "LOC001"}, (9, 13))
    assert Crop.of(grid, Bounds((9000, 0, 0), (9001, 1, 1)), (10, 10, 3)) is None
