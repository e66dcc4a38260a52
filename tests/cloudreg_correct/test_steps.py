"""The steps on their own, and the README's examples as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cloudreg_correct.steps import background_value, correct_planes, correct_tile, sum_planes
from cloudreg_io.errors import InputError
from cloudreg_io.fields import Shading
from cloudreg_io.synthetic import AcquisitionSpec, make_acquisition, make_phantom
from support.small_volumes import write_volume

README = Path(__file__).resolve().parents[2] / "packages" / "cloudreg-correct" / "README.md"


@pytest.fixture
def planes(tmp_path):
    rng = np.random.default_rng(0)
    arrays = [rng.poisson(100 + 400 * (k % 2), (40, 48)).astype(np.uint16) for k in range(6)]
    paths = [tmp_path / f"plane_{k}.tif" for k in range(6)]
    for path, array in zip(paths, arrays, strict=True):
        tifffile.imwrite(path, array)
    return arrays, paths


def test_files_and_arrays_give_the_same(planes):
    arrays, paths = planes
    np.testing.assert_array_equal(sum_planes(paths), np.sum(arrays, axis=0, dtype=np.float64))
    np.testing.assert_array_equal(sum_planes(arrays), sum_planes(map(str, paths)))
    assert background_value(paths) == background_value(arrays) == pytest.approx(100, abs=1)


def test_planes_are_corrected_beside_never_in_place(planes, tmp_path):
    arrays, paths = planes
    shading = Shading.normalised(np.linspace(0.8, 1.2, 48) * np.ones((40, 1)), 90.0)
    shading.save(tmp_path / "shading.tif")
    expected = np.clip(np.rint((arrays[0].astype(np.float32) - 90) / shading.flat), 0, 65535)
    np.testing.assert_array_equal(correct_tile(paths[0], tmp_path / "shading.tif"), expected)
    clipped = correct_planes(paths, shading, tmp_path / "out")
    assert clipped.high == 0
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / "plane_0.tif"), expected)
    np.testing.assert_array_equal(tifffile.imread(paths[0]), arrays[0])
    with pytest.raises(InputError, match="never changed"):
        correct_planes(paths, shading, tmp_path)
    with pytest.raises(InputError, match="never changed"):
        correct_tile(paths[0], shading, out=paths[0])
    with pytest.raises(InputError, match="same name"):
        correct_planes([paths[0], tmp_path / "out" / "plane_0.tif"], shading, tmp_path / "more")


def test_planes_that_do_not_go_together_are_refused(planes):
    arrays, _ = planes
    with pytest.raises(InputError, match="different shapes"):
        sum_planes([arrays[0], arrays[0].T])
    with pytest.raises(InputError, match="no plane"):
        sum_planes([])


def test_examples_of_the_readme_run(tmp_path, monkeypatch):
    spec = AcquisitionSpec(rows=2, columns=2, tile_size=(64, 64), planes=20, seed=1)
    x, y, z = (int(n) + 1 for n in spec.span)
    scene = make_phantom((x, y, z), spec.voxel_size, 1).scene(0)
    make_acquisition(tmp_path / "raw", scene, spec)
    light = 500 * scene.evaluate(0, 0, 0, (20, 80, 90))
    made = write_volume(tmp_path, light.astype(np.uint16), (8, 8, 8), chunk=(32, 32, 8), smallest=32)
    made.location.path.rename(tmp_path / "brain")
    monkeypatch.chdir(tmp_path)
    names = {}
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    for example in examples:
        exec(compile(example, str(README), "exec"), names)
    # every function that the table names is called by an example
    for function in re.findall(
        r"\| `(?:steps\.)?(\w+)\([^`]*` \|$", README.read_text(encoding="utf-8"), re.MULTILINE
    ):
        assert any(f"{function}(" in example for example in examples), function
    assert (tmp_path / "corrected" / "VW0").is_dir()
    assert (tmp_path / "brain_corrected" / "info").is_file()


def test_importing_the_package_or_its_command_line_is_cheap():
    code = "import cloudreg_correct, cloudreg_correct.cli, sys; print([m for m in HEAVY if m in sys.modules])"
    heavy = ["numpy", "numba", "SimpleITK", "cloudvolume", "scipy", "tifffile"]
    done = subprocess.run(
        [sys.executable, "-c", f"HEAVY = {heavy}\n{code}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
