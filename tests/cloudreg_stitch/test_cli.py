"""The command: what it makes, how it ends, and that it goes on after any kind of end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cloudreg_io.errors import InputError
from cloudreg_io.run import open_run
from cloudreg_io.synthetic import AcquisitionSpec, check_coverage, make_index_acquisition
from cloudreg_io.tiles import open_acquisition
from cloudreg_io.volumes.volume import open_volume
from cloudreg_stitch.fusion import FuseOptions, fuse
from cloudreg_stitch.placement import Placement
from cloudreg_stitch.stitching import StitchOptions, stitch
from support.trees import tree

# all in one test process: what they are compared with is made once
pytestmark = pytest.mark.xdist_group("stitch command")

COMMAND = [sys.executable, "-m", "cloudreg_stitch"]


def call(*arguments, **options):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False, **options
    )


@pytest.fixture(scope="module")
def acquisition(tmp_path_factory):
    """Six tiles, one of them not scanned, whose voxels hold their own index; the true placement beside."""
    folder = tmp_path_factory.mktemp("acquisition") / "acq"
    spec = AcquisitionSpec(
        rows=2,
        columns=3,
        tile_size=(160, 144),
        planes=48,
        jitter=(3, 3, 2),
        whole_voxels=True,
        unscanned=frozenset({(1, 2)}),
        channels=2,
        seed=11,
    )
    truth, code = make_index_acquisition(folder, spec)
    truth.save_placement(folder.parent / "placement.json")
    return folder, folder.parent / "placement.json", truth, code


@pytest.fixture(scope="module")
def reference(acquisition, tmp_path_factory):
    """What is made in this process, with one job."""
    folder, placement, _, _ = acquisition
    out = tmp_path_factory.mktemp("reference") / "out"
    fuse_here(folder, placement, out)
    return out


def fuse_here(folder, placement, out, **options):
    return stitch(folder, str(out), StitchOptions(steps="fuse", placement=placement, **options))


def test_two_jobs_make_the_bytes_of_one_and_tell_what_they_made(acquisition, reference, tmp_path):
    folder, placement, truth, code = acquisition
    out = tmp_path / "out"
    done = call(folder, out, "--fuse-only", "--placement", placement, "--json", "--jobs", 2)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert tree(out) == tree(reference)
    assert [channel["channel"] for channel in answer["channels"]] == ["CHN00", "CHN01"]
    assert answer["tiles"] == 5
    for channel in answer["channels"]:
        assert channel["size"] == list(truth.size)
        found = check_coverage(open_volume(out / channel["channel"]).read, truth, code)
        assert found.complete
        assert found.found + len(found.blended) == code.count
        assert channel["coverage"]["input"] == 5 * 160 * 144 * 48
        assert channel["decodes"] == 1


def _stitch_until(folder, placement, out, renames):
    """In a forked process, fuse and be killed at the n-th rename; gives the number of renames seen."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover -- another process
        seen = 0

        def watch(event, _):
            nonlocal seen
            if event == "os.rename":
                seen += 1
                if seen == renames:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        status = 1
        try:
            fuse_here(folder, placement, out)
            os.write(writer, str(seen).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        seen = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), int(seen or 0)


def test_killed_at_any_instant_the_same_command_ends_with_the_same_bytes(acquisition, reference, tmp_path):
    folder, placement, _, _ = acquisition
    status, renames = _stitch_until(folder, placement, tmp_path / "whole", 0)
    assert status == 0
    assert tree(tmp_path / "whole") == tree(reference)
    out = tmp_path / "killed"
    # every kill is on top of the ones before; the distances shrink as less is left to do
    for instant in (3, renames // 5, renames // 5, renames // 6, renames // 8):
        status, _ = _stitch_until(folder, placement, out, instant)
        assert status == -signal.SIGKILL
    status, _ = _stitch_until(folder, placement, out, 0)
    assert status == 0
    assert tree(out) == tree(reference)


def test_sigterm_ends_with_143_and_can_be_gone_on_with(acquisition, reference, tmp_path):
    folder, placement, _, _ = acquisition
    out = tmp_path / "out"
    arguments = [folder, out, "--fuse-only", "--placement", placement]
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], stderr=subprocess.PIPE, text=True)
    _wait_for(out, process, lambda event: event["event"] == "begin" and event["stage"] == "fuse")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "goes on where it stopped" in said
    fuse_here(folder, placement, out)
    assert tree(out) == tree(reference)


def _wait_for(out, process, wanted):
    journal = out / ".cloudreg" / "journal.jsonl"
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
        if any(wanted(json.loads(line)) for line in lines):
            return
        time.sleep(0.002)
    pytest.fail("the command ended before it could be stopped")


def test_usage_errors_end_with_2(tmp_path):
    for arguments in (
        [],
        ["acq"],
        ["acq", "out", "--blend", "sine"],
        ["acq", "out", "--align-only", "--fuse-only"],
    ):
        done = call(*arguments, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_missing_planes_are_found_before_any_work(acquisition, tmp_path):
    folder, placement, truth, _ = acquisition
    copy = tmp_path / "acq"
    for path in folder.rglob("*"):
        if path.is_file():
            target = copy / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(path)
    gone = Path(open_acquisition(copy).files["CHN01"][truth.scanned[1].name][40])
    gone.unlink()
    with pytest.raises(InputError, match=rf"(?s){truth.scanned[1].name}.*40"):
        fuse_here(copy, placement, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    fuse_here(copy, placement, tmp_path / "out", missing="fill")
    content = json.loads((tmp_path / "out" / "qc" / "fusion.CHN01.json").read_text())
    assert {tile["name"]: tile["missing_planes"] for tile in content["tiles"]}[truth.scanned[1].name] == [40]


def test_a_folder_keeps_the_placement_its_volumes_were_made_with(acquisition, tmp_path):
    folder, placement, _, _ = acquisition
    fuse_here(folder, placement, tmp_path / "out", channels=["0"])
    assert Placement.load(tmp_path / "out" / "placement.json") == Placement.load(placement)
    moved = json.loads(placement.read_text())
    moved["tiles"][0]["position"][0] += 3
    other = tmp_path / "other.json"
    other.write_text(json.dumps(moved))
    with pytest.raises(InputError, match="other options: placement was"):
        fuse_here(folder, other, tmp_path / "out", channels=["0"])
    fuse_here(folder, other, tmp_path / "out", channels=["0"], overwrite=True)
    fuse_here(folder, other, tmp_path / "fresh", channels=["0"])
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_help_and_version_load_nothing_heavy():
    heavy = ("numpy", "numba", "scipy", "cloudvolume", "boto3", "torch")
    code = f"import sys, cloudreg_stitch.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert "mpirun -np N" in call("--help").stdout
    assert call("--version").stdout.startswith("cloudreg-io ")


def test_a_volume_in_shards_is_the_same_volume(acquisition, reference, tmp_path):
    folder, placement, _, _ = acquisition
    with open_run(tmp_path, command="stitch") as run:
        source = open_acquisition(folder).source("CHN00")
        fuse(run, source, Placement.load(placement), FuseOptions(sharded=True))
    assert (open_volume(tmp_path / "CHN00").read() == open_volume(reference / "CHN00").read()).all()
