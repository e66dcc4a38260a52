"""`ingest` and `download` as a user types them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from cloudreg_io.cli import app
from cloudreg_io.errors import InputError
from cloudreg_io.files.image import read_image
from cloudreg_io.volumes import open_volume

RUNNER = CliRunner()
VOXEL = ["--voxel-size", "2", "2", "5"]
SMALL = ["--chunk", "16", "16", "8", "--smallest", "16"]


@pytest.fixture
def stack(tmp_path):
    array = np.random.default_rng(0).integers(0, 60000, (19, 40, 50), dtype=np.uint16)
    for z, plane in enumerate(array):
        (tmp_path / "stack").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "stack" / f"p{z}.tif", plane)
    return tmp_path / "stack", array


def invoke(*arguments):
    return RUNNER.invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_in_and_out_again(tmp_path, stack):
    folder, array = stack
    result = invoke("ingest", folder, tmp_path / "volume", *VOXEL, *SMALL, "--json")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert answer["size"] == [50, 40, 19]
    assert answer["voxel_size_um"] == [2, 2, 5]
    assert answer["filled"] == []
    result = invoke("download", tmp_path / "volume", tmp_path / "whole.nrrd", "--voxel-size", "5", "--json")
    answer = json.loads(result.stdout)
    assert answer["voxel_size_um"] == list(open_volume(tmp_path / "volume").voxel_size(answer["mip"]))
    result = invoke(
        "download", tmp_path / "volume", tmp_path / "box.tif", "--voxel-size", "2", "--bounds", 1, 2, 3, 9, 8, 7
    )
    assert "from mip 0" in result.stdout
    np.testing.assert_array_equal(read_image(tmp_path / "box.tif")[0], array[3:7, 2:8, 1:9])


def test_the_order_of_planes_is_stated(tmp_path, stack):
    result = invoke("ingest", stack[0], tmp_path / "volume", *VOXEL, *SMALL)
    assert "19 planes in the order of their numbers, p0.tif to p18.tif" in result.stdout


def test_a_wrong_stack_leaves_nothing_behind(tmp_path, stack):
    (stack[0] / "p7.tif").unlink()
    with pytest.raises(InputError, match="numbers 7"):
        invoke("ingest", stack[0], tmp_path / "volume", *VOXEL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stack"]
    assert invoke("ingest", stack[0], tmp_path / "volume", *VOXEL, "--missing", "fill").exit_code == 0


def test_s3_needs_a_place_for_the_journal(stack):
    with pytest.raises(InputError, match="--work DIR"):
        invoke("ingest", stack[0], "s3://bucket/volume", *VOXEL)


@pytest.mark.parametrize(
    "arguments", [["ingest"], ["download", "a", "b.tif"], ["ingest", "a", "b", "--missing", "no"]]
)
def test_a_wrong_command_line_exits_with_2(arguments):
    assert RUNNER.invoke(app, arguments).exit_code == 2


def test_the_commands_load_nothing_heavy_until_they_work():
    heavy = "('numpy', 'cloudvolume', 'boto3', 'tifffile', 'nibabel', 'SimpleITK')"
    script = f"import sys, cloudreg_io.cli; sys.exit(', '.join(n for n in {heavy} if n in sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False).stderr == "\n"
    )


@pytest.mark.skipif(
    not (Path(sys.executable).parent / "mpirun").exists(), reason="cloudreg-io[mpi] is not installed"
)
def test_the_same_bytes_under_mpirun(tmp_path, stack):
    script = "from cloudreg_io.cli import app; from cloudreg_io.console import run_app; run_app(app)"
    arguments = [sys.executable, "-c", script, "ingest", stack[0], tmp_path / "mpi", *VOXEL, *SMALL, "--json"]
    mpirun = [Path(sys.executable).parent / "mpirun", "-np", "3"]
    done = subprocess.run(
        [str(a) for a in (*mpirun, *arguments)], capture_output=True, text=True, timeout=120, check=True
    )
    assert json.loads(done.stdout)["size"] == [50, 40, 19]
    invoke("ingest", stack[0], tmp_path / "inline", *VOXEL, *SMALL)
    for folder in ("mpi", "inline"):
        shutil.rmtree(tmp_path / folder / ".cloudreg")
        (tmp_path / folder / "provenance.json").unlink()
    files = [sorted(p.relative_to(tmp_path / f) for p in (tmp_path / f).rglob("*")) for f in ("mpi", "inline")]
    assert files[0] == files[1]
    for name in files[0]:
        path = tmp_path / "mpi" / name
        assert path.is_dir() or path.read_bytes() == (tmp_path / "inline" / name).read_bytes()
