import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile

from cloudreg_correct.apply import correct_plane
from cloudreg_correct.sample import ShadingOptions, shading_stage
from cloudreg_correct.steps import correct_acquisition
from cloudreg_correct.tiles import TileOptions
from cloudreg_io.errors import CloudRegError, InputError, NotFoundError, ToolError
from cloudreg_io.fields import Shading
from cloudreg_io.run import open_run
from cloudreg_io.synthetic import AcquisitionSpec, Truth, make_acquisition, make_phantom
from cloudreg_io.tiles import open_acquisition
from support.shaded_planes import error
from support.trees import contents, difference, tree

NAME = "CHN00"


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiles") / "raw"
    spec = AcquisitionSpec(
        rows=2, columns=3, tile_size=(96, 80), planes=20, channels=2, unscanned=frozenset({(1, 2)}), seed=4
    )
    x, y, z = (int(n) + 1 for n in spec.span)
    phantom = make_phantom((x, y, z), spec.voxel_size, 8)
    make_acquisition(folder, [phantom.scene(0), phantom.scene(1)], spec)
    return folder


def test_result_is_an_acquisition_of_corrected_planes(raw, tmp_path):
    before = contents(raw)
    out = tmp_path / "out"
    reports = correct_acquisition(raw, out)
    assert [report.planes for report in reports] == [100, 100]
    old, new = open_acquisition(raw), open_acquisition(out)
    assert new.grid == old.grid
    assert new.channels == old.channels
    low = 0
    for channel in old.channels:
        shading = Shading.load(out / "shading" / f"{channel}.tif")
        for tile in old.grid.scanned:
            pairs = zip(old.files[channel][tile.name], new.files[channel][tile.name], strict=True)
            for source, target in pairs:
                assert target.name == source.name
                expected, clipped = correct_plane(tifffile.imread(source), shading)
                np.testing.assert_array_equal(tifffile.imread(target), expected)
                low += clipped.low if channel == NAME else 0
    counts = json.loads((out / "qc" / f"correct.{NAME}.json").read_text())["tiles"]
    assert sum(count["low"] for count in counts.values()) == low == reports[0].low
    assert contents(raw) == before


def test_estimate_is_near_the_truth(raw, tmp_path):
    with open_run(tmp_path / "out", command="test") as run:
        path = shading_stage(run, open_acquisition(raw).source(0))
    truth = Shading.load(Truth.load(raw).shading_file(NAME)).flat
    # tiles as small as these show much tissue and little of a flat-field
    assert error(Shading.load(path).flat, truth) < 0.8 * error(np.ones_like(truth), truth)
    quality = json.loads((tmp_path / "out" / "qc" / f"shading.{NAME}.json").read_text())
    assert quality["planes"] == len(quality["sample"]) == 20
    assert not list((tmp_path / "out" / ".cloudreg" / "scratch").rglob("*.npz"))


def test_two_jobs_and_a_second_run_change_nothing(raw, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    correct_acquisition(raw, one, [0])
    times = {path: path.stat().st_mtime_ns for path in one.rglob("*.tif")}
    correct_acquisition(raw, one, [0])
    assert {path: path.stat().st_mtime_ns for path in one.rglob("*.tif")} == times
    correct_acquisition(raw, two, [0], jobs=2)
    assert difference(tree(one), tree(two)) == []


KILLED = """
import sys
from pathlib import Path
from cloudreg_correct.steps import correct_acquisition
if __name__ == "__main__":
    correct_acquisition(sys.argv[1], Path(sys.argv[2]), [0])
"""


def test_killed_and_started_again(raw, tmp_path):
    whole, broken, script = tmp_path / "whole", tmp_path / "broken", tmp_path / "killed.py"
    script.write_text(KILLED)
    correct_acquisition(raw, whole, [0])
    process = subprocess.Popen([sys.executable, str(script), str(raw), str(broken)])
    deadline = time.monotonic() + 60
    while not list(broken.glob("VW0/*/*.tif")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 0 < len(list(broken.glob("VW0/*/*.tif"))) <= 100
    correct_acquisition(raw, broken, [0])
    assert difference(tree(whole), tree(broken)) == []


def test_given_shading_is_applied(raw, tmp_path):
    x, y, _ = open_acquisition(raw).grid.tile_size
    Shading.normalised(np.full((y, x), 2.0), 10.0).save(tmp_path / f"{NAME}.tif")
    for given, out in ((tmp_path, "a"), (tmp_path / f"{NAME}.tif", "b")):
        correct_acquisition(raw, tmp_path / out, [0], TileOptions(shading_files=given, compression="none"))
    source = open_acquisition(raw).files[NAME]["LOC000"][3]
    found = tifffile.imread(tmp_path / "a" / "VW0" / "LOC000" / source.name)
    np.testing.assert_array_equal(found, np.maximum(tifffile.imread(source).astype(int) - 10, 0))
    assert difference(tree(tmp_path / "a"), tree(tmp_path / "b")) == []


def test_bright_values_are_told(raw, tmp_path):
    x, y, _ = open_acquisition(raw).grid.tile_size
    copy = shutil.copytree(raw, tmp_path / "copy")
    for path in sorted((copy / "VW0" / "LOC001").glob("*CHN00*")):
        tifffile.imwrite(path, np.full((y, x), 65000, np.uint16))
    flat = np.where(np.arange(x) % 2, 0.9, 1.1) * np.ones((y, 1))
    Shading.normalised(flat).save(tmp_path / "flat.tif")
    (report,) = correct_acquisition(copy, tmp_path / "out", [0], TileOptions(shading_files=tmp_path / "flat.tif"))
    assert report.high == 20 * x * y // 2
    warnings = json.loads((tmp_path / "out" / "provenance.json").read_text())["commands"][0]["warnings"]
    assert any("LOC001 with 50.00%" in warning for warning in warnings)


def test_missing_planes_stay_missing(raw, tmp_path):
    copy = shutil.copytree(raw, tmp_path / "copy")
    lost = sorted((copy / "VW0" / "LOC001").glob("*CHN00*"))[7]
    lost.unlink()
    with pytest.raises(InputError, match="LOC001"):
        correct_acquisition(copy, tmp_path / "out", [0])
    (report,) = correct_acquisition(copy, tmp_path / "out", [0], TileOptions(missing="fill"))
    assert report.planes == 99
    assert not (tmp_path / "out" / "VW0" / "LOC001" / lost.name).exists()


def test_terastitcher_description_leads_to_the_corrected_tiles(raw, tmp_path):
    from cloudreg_correct.layout import Layout

    folder = tmp_path / "tera"
    folder.mkdir()
    shutil.copytree(raw / "VW0", folder / "VW0")
    (folder / "xml_import.xml").write_text(f'<TeraStitcher><stacks_dir value="{folder}/VW0" /></TeraStitcher>')
    acquisition = dataclasses.replace(open_acquisition(raw), root=folder, tile_root=folder / "VW0")
    copied = Layout.of(acquisition, tmp_path / "out").copy_descriptions(acquisition)
    assert copied == ["xml_import.xml"]
    assert f'value="{tmp_path}/out/VW0"' in (tmp_path / "out" / "xml_import.xml").read_text()


def empty(raw, folder, value):
    copy = shutil.copytree(raw, folder / "copy")
    for path in copy.glob("VW0/*/*"):
        noise = np.random.default_rng(0).normal(value, 5, tifffile.imread(path).shape)
        tifffile.imwrite(path, noise.astype(np.uint16))
    return copy


def test_refusals(raw, tmp_path):
    with pytest.raises(InputError, match="lie in one another"):
        correct_acquisition(raw, raw)
    with pytest.raises(InputError, match="lie in one another"):
        correct_acquisition(raw, raw / "corrected")
    assert not (raw / "corrected").exists()
    with pytest.raises(NotFoundError, match="no shading for channel"):
        correct_acquisition(raw, tmp_path / "a", options=TileOptions(shading_files=tmp_path))
    with pytest.raises(ToolError, match="too little"):
        correct_acquisition(raw, tmp_path / "b", memory=10**6)
    Shading.normalised(np.ones((4, 5))).save(tmp_path / "small.tif")
    with pytest.raises(InputError, match=r"\[4, 5\]"):
        correct_acquisition(raw, tmp_path / "c", [0], TileOptions(shading_files=tmp_path / "small.tif"))
    with pytest.raises(InputError, match="no signal"):
        correct_acquisition(empty(raw, tmp_path, 100), tmp_path / "d", [0])
    correct_acquisition(raw, tmp_path / "e", [0], TileOptions(ShadingOptions("none")))
    with pytest.raises(InputError, match="background was 'none', now 'auto'"):
        correct_acquisition(raw, tmp_path / "e", [0])
    correct_acquisition(raw, tmp_path / "e", [0], overwrite=True)
    with pytest.raises(InputError, match="corrected tiles already"):
        correct_acquisition(tmp_path / "e", tmp_path / "f")


def test_implausible_gains_are_refused_and_kept_for_a_look(raw, tmp_path):
    copy = shutil.copytree(raw, tmp_path / "copy")
    fall = np.exp(-0.06 * np.arange(96))
    for k, path in enumerate(sorted(copy.glob("VW0/*/*CHN00*"))):
        level = 3000 * (1 + k % 3)
        tifffile.imwrite(path, np.random.default_rng(k).poisson(level * fall * np.ones((80, 1))).astype(np.uint16))
    options = TileOptions(ShadingOptions(0.0))
    with pytest.raises(CloudRegError, match="refused"):
        correct_acquisition(copy, tmp_path / "out", [0], options)
    kept = tifffile.imread(tmp_path / "out" / "qc" / f"shading.{NAME}.refused.tif")
    assert kept.shape == (2, 80, 96)
    assert not (tmp_path / "out" / "shading").exists()
