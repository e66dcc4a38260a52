"""`cloudreg run` from raw tiles to volumes: results, equal bytes however it is run, nothing written to raw."""

import hashlib
import json
import shutil
import signal

import numpy as np
import pytest

from cloudreg_io.fields import Shading
from cloudreg_io.space import Bounds
from cloudreg_io.synthetic import Truth
from cloudreg_io.volumes import open_volume
from cloudreg_stitch.placement import Placement
from support.command import cloudreg
from support.forked import killed_in
from support.inside import cloudreg_inside
from support.trees import difference, tree

# all in one test process: the undisturbed run is made once
pytestmark = pytest.mark.xdist_group("run")


def raw_state(folder):
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="session")
def plain(acquisition, tmp_path_factory):
    """The run that all others are compared with: one process, never disturbed."""
    out = tmp_path_factory.mktemp("plain") / "out"
    before = raw_state(acquisition)
    done = cloudreg("run", acquisition, out, "--json")
    assert raw_state(acquisition) == before
    return out, json.loads(done.stdout)


def test_one_json_document_names_the_volumes(plain):
    out, result = plain
    assert [volume["channel"] for volume in result["volumes"]] == ["CHN00", "CHN01"]
    assert result["placement"] == str(out / "placement.json")
    assert "viz serve" in result["view"]


def test_placement_and_shading_are_near_the_truth(plain, acquisition):
    out, _ = plain
    truth = Truth.load(acquisition)
    placement = Placement.load(out / "placement.json")
    errors = truth.placement_errors(placement.positions, [t.name for t in truth.tiles if t.textured])
    assert max(errors.values()) < 0.5
    for channel in truth.channels:
        true = Shading.load(truth.shading_file(channel)).flat
        found = Shading.load(out / "shading" / f"{channel}.tif").flat
        ratio = found / true
        assert np.std(ratio / ratio.mean()) < 0.5 * np.std(true)


def test_files_are_those_of_the_contract(plain):
    out, _ = plain
    names = {str(path.relative_to(out)) for path in out.rglob("*") if ".cloudreg" not in path.parts}
    for channel in ("CHN00", "CHN01"):
        wanted = {f"{channel}/info", f"shading/{channel}.tif", f"bias/{channel}.tif", f"bias/{channel}.json"}
        assert wanted <= names
        volume = open_volume(str(out / channel))
        assert volume.read(Bounds.of_size(volume.spec.size)).mean() > 10
    assert {"placement.json", "provenance.json"} <= names
    (entry,) = json.loads((out / "provenance.json").read_text())["commands"]
    assert entry["command"] == "run"
    stages = {(stage["name"], stage["channel"]): stage for stage in entry["stages"]}
    assert stages["fuse", "CHN00"]["planes_decoded"] >= 5 * 40
    assert stages["survey", "CHN00"]["planes_decoded"] == 5 * 40


def test_planes_are_decoded_as_often_as_promised(plain):
    out, _ = plain
    (entry,) = json.loads((out / "provenance.json").read_text())["commands"]
    decoded = {"CHN00": 0, "CHN01": 0}
    for stage in entry["stages"]:
        if stage["channel"]:
            decoded[stage["channel"]] += stage["planes_decoded"]
    planes = 5 * 40
    assert decoded["CHN00"] <= 2.6 * planes
    assert decoded["CHN01"] <= 1.8 * planes


def test_second_run_does_nothing(plain, acquisition):
    out, result = plain
    before = {path: path.stat().st_mtime_ns for path in (out / "CHN00").rglob("*")}
    again = cloudreg_inside("run", acquisition, out, "--json")
    assert json.loads(again.stdout) == result
    assert {path: path.stat().st_mtime_ns for path in (out / "CHN00").rglob("*")} == before


def test_two_processes_give_the_same_bytes(plain, acquisition, tmp_path):
    cloudreg("run", acquisition, tmp_path / "out", "--jobs", 2)
    assert difference(tree(plain[0]), tree(tmp_path / "out")) == []


def test_three_ranks_give_the_same_bytes(plain, acquisition, tmp_path):
    cloudreg("run", acquisition, tmp_path / "out", ranks=3)
    assert difference(tree(plain[0]), tree(tmp_path / "out")) == []


def journal_events(out):
    lines = (out / ".cloudreg" / "journal.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_killed_in_every_stage_gives_the_same_bytes(plain, acquisition, tmp_path):
    events = journal_events(plain[0])
    whole = [(e["stage"], e["channel"]) for e in events if e["event"] == "begin"]
    assert {name for name, _ in whole} >= {"survey", "fuse"}
    out = tmp_path / "out"
    for stage in whole:
        assert killed_in(stage, lambda: cloudreg_inside("run", acquisition, out)) == -signal.SIGKILL, stage
    cloudreg_inside("run", acquisition, out)
    assert difference(tree(plain[0]), tree(out)) == []


def test_other_options_are_refused_and_named(plain, acquisition):
    before = tree(plain[0])
    done = cloudreg_inside("run", acquisition, plain[0], "--interpolation", "nearest", check=False)
    assert done.returncode == 1
    assert "interpolation was 'linear', now 'nearest'" in done.stderr
    assert "--overwrite" in done.stderr
    assert "Traceback" not in done.stderr
    assert tree(plain[0]) == before


def test_missing_plane_is_named_and_can_be_left_out(acquisition, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(acquisition, raw)
    (plane,) = raw.glob("VW0/LOC004/*CHN00*PLN0007.tif*")
    plane.unlink()
    refused = cloudreg_inside("run", raw, tmp_path / "out", check=False)
    assert refused.returncode == 1
    assert "LOC004" in refused.stderr
    assert "7" in refused.stderr
    assert "--missing fill" in refused.stderr
    assert not (tmp_path / "out").exists()
    cloudreg_inside("run", raw, tmp_path / "out", "--channels", "0", "--missing", "fill")
    (entry,) = json.loads((tmp_path / "out/provenance.json").read_text())["commands"]
    assert any("LOC004" in text for text in entry["warnings"])
