"""`cloudreg verify` and `cloudreg clean` after `cloudreg run`: every kind of damage is found, named and mended."""

import json
import shutil
import signal

import pytest
from typer.testing import CliRunner

from cloudreg_cli.main import app
from cloudreg_io.errors import CloudRegError
from cloudreg_stitch import fusion, verification
from support.command import cloudreg
from support.forked import killed_in
from support.inside import cloudreg_inside
from support.trees import difference, tree

# all in one test process: the undisturbed run is made once
pytestmark = pytest.mark.xdist_group("verify")

FINEST = "CHN00/6240_6240_5000"


def arguments(acquisition, out):
    return ("run", acquisition, out, "--channels", "0", "--no-shading", "--no-bias")


def invoke(*words):
    """A command inside this process, which is much quicker than one of its own; a refusal is raised."""
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def perform(*words):
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="session")
def whole(acquisition, tmp_path_factory):
    """One channel, fused without corrections; nobody changes it."""
    out = tmp_path_factory.mktemp("whole") / "out"
    cloudreg_inside(*arguments(acquisition, out))
    return out


@pytest.fixture
def out(whole, tmp_path):
    """A copy to damage."""
    shutil.copytree(whole, tmp_path / "out")
    return tmp_path / "out"


def verified(out, *options):
    """The findings that count, by file."""
    done = invoke("verify", out, "--json", *options)
    report = json.loads(done.stdout)
    assert done.exit_code == (0 if report["whole"] else 1)
    return {finding["path"]: finding for finding in report["findings"] if not finding["harmless"]}


def chunk(out, number=0):
    return sorted((out / FINEST).iterdir())[number]


def test_a_whole_folder(whole):
    done = cloudreg_inside("verify", whole)
    assert done.stdout.strip().endswith("all is as it was written")
    assert "Traceback" not in done.stderr
    assert verified(whole, "--quick") == {}


def test_two_processes_and_three_ranks_look_at_the_same(out):
    chunk(out).write_bytes(b"")
    alone = verified(out)
    plain = cloudreg_inside("verify", out, check=False)
    assert plain.returncode == 1
    assert "Traceback" not in plain.stderr
    assert len(alone) == 1
    assert verified(out, "--jobs", 2) == alone
    done = cloudreg("verify", out, "--json", ranks=3, check=False)
    assert done.returncode == 1
    assert [finding["path"] for finding in json.loads(done.stdout)["findings"]] == list(alone)


def flipped(out, acquisition):
    data = bytearray(chunk(out).read_bytes())
    data[len(data) // 2] ^= 1
    chunk(out).write_bytes(data)


def truncated(out, acquisition):
    chunk(out).write_bytes(chunk(out).read_bytes()[:-100])


def missing(out, acquisition):
    chunk(out).unlink()


def of_another_run(out, acquisition):
    other = out.parent / "other"
    shutil.copytree(out, other)
    # the first tile is fused two voxels further: most of its chunks differ, all decode
    edit_placement(other)
    perform(
        *arguments(acquisition, out.parent / "fused"),
        "--placement",
        other / "placement.json",
        "--interpolation",
        "nearest",
    )
    shutil.copy(out.parent / "fused" / chunk(out, 2).relative_to(out), chunk(out, 2))


def without_info(out, acquisition):
    (out / "CHN00" / "info").unlink()


def edit_placement(out, acquisition=None):
    path = out / "placement.json"
    content = json.loads(path.read_text())
    content["tiles"][-1]["position"][1] += 2
    path.write_text(json.dumps(content))


def miscounted(out, acquisition):
    path = out / "qc" / "fusion.CHN00.json"
    content = json.loads(path.read_text())
    content["tiles"][0]["blended"] -= 1
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "path", "told"),
    [
        (flipped, FINEST, "holds other bytes than were written"),
        (truncated, FINEST, "cut off"),
        (missing, FINEST, "is missing"),
        (of_another_run, FINEST, "of another run"),
        (edit_placement, "placement.json", "is not the placement that CHN00 was fused with"),
        (without_info, "CHN00/info", "is missing"),
        (miscounted, "qc/fusion.CHN00.json", "voxels went in"),
    ],
)
def test_damage_is_found(out, acquisition, damage, path, told):
    damage(out, acquisition)
    done = invoke("verify", out)
    assert done.exit_code == 1
    wrong = [line for line in done.stdout.splitlines() if line.startswith("WRONG ")]
    assert wrong
    assert all(line.startswith(f"WRONG {path}") for line in wrong)
    assert told in done.stdout
    assert "  fix: " in done.stdout


def test_an_edited_placement_that_fusion_used_is_right(whole, out, acquisition):
    fused = out.parent / "fused"
    perform("stitch", acquisition, fused, "--align-only", "--channels", "0")
    assert verified(fused) == {}
    edit_placement(fused)
    assert set(verified(fused)) == {"placement.json"}
    perform("stitch", acquisition, fused, "--fuse-only", "--channels", "0")
    assert verified(fused) == {}


def test_the_stage_is_called_what_fusion_calls_it():
    assert verification.STAGE == fusion.STAGE


def test_repaired_by_the_same_command_and_only_what_was_lost(whole, out, acquisition):
    flipped(out, acquisition)
    missing_later = sorted((out / FINEST).glob("*_32-42.gz"))
    stamps = {path: path.stat().st_mtime_ns for path in missing_later}
    done = invoke("verify", out, "--repair")
    assert done.exit_code == 1
    assert "1 unit of work will be done again by: cloudreg run" in done.stdout
    perform(*arguments(acquisition, out))
    assert verified(out) == {}
    assert difference(tree(whole), tree(out)) == []
    assert {path: path.stat().st_mtime_ns for path in missing_later} == stamps


def test_killed_while_it_fused_then_finished(whole, acquisition, tmp_path):
    out = tmp_path / "out"
    status = killed_in(("fuse", "CHN00"), lambda: cloudreg_inside(*arguments(acquisition, out)))
    assert status == -signal.SIGKILL
    unfinished = verified(out)
    assert "is not finished" in unfinished[".cloudreg/journal.jsonl"]["what"]
    assert f"cloudreg run {acquisition} {out}" in unfinished[".cloudreg/journal.jsonl"]["fix"]
    perform(*arguments(acquisition, out))
    assert verified(out) == {}
    assert difference(tree(whole), tree(out)) == []


def test_clean_frees_scratch_and_the_results_are_whole(whole, out, acquisition):
    (out / "mine.txt").write_text("notes")
    told = json.loads(perform("clean", out, "--dry-run", "--json"))
    done = json.loads(perform("clean", out, "--json"))
    assert done["bytes"] == told["bytes"] > 0
    assert not (out / ".cloudreg" / "scratch").exists()
    assert verified(out) == {}
    with pytest.raises(CloudRegError, match="was cleaned"):
        perform(*arguments(acquisition, out))
    assert verified(out) == {}
    with pytest.raises(CloudRegError, match="--yes"):
        perform("clean", out, "--all")
    perform("clean", out, "--all", "--yes")
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_a_folder_that_no_command_made(tmp_path):
    for name in ("verify", "clean"):
        with pytest.raises(CloudRegError, match="no journal"):
            perform(name, tmp_path)
    assert list(tmp_path.iterdir()) == []
