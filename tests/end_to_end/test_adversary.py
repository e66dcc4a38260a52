"""Commands given wrongly, or in odd places: refused before anything is made, or simply done."""

import os
import shutil
import subprocess

import pytest

from cloudreg_io.synthetic import AcquisitionSpec, make_acquisition, make_phantom
from support.command import command

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


def type_in(folder, *args, **options):
    """A command line typed in a folder."""
    done = subprocess.run(
        command(*args), cwd=folder, capture_output=True, text=True, timeout=120, check=False, **options
    )
    assert "Traceback" not in done.stderr
    return done


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
