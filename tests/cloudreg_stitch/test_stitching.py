"""Corrections on the way, and what is asked for but not there."""

import sys

import numpy as np
import pytest

from cloudreg_correct import CorrectedTiles
from cloudreg_io.errors import InputError, NotFoundError, ToolError
from cloudreg_io.fields import Shading
from cloudreg_io.run import open_run
from cloudreg_io.synthetic import AcquisitionSpec, make_index_acquisition
from cloudreg_io.tiles import open_acquisition
from cloudreg_io.volumes.volume import open_volume
from cloudreg_stitch.cli import corrector
from cloudreg_stitch.fusion import fuse
from cloudreg_stitch.placement import Placement
from cloudreg_stitch.stitching import StitchOptions, stitch
from support.trees import tree


@pytest.fixture(scope="module")
def acquisition(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stitching")
    spec = AcquisitionSpec(rows=1, columns=2, tile_size=(80, 64), planes=8, whole_voxels=True, jitter=(2, 2, 1))
    truth, _ = make_index_acquisition(folder / "acq", spec)
    truth.save_placement(folder / "placement.json")
    ramp = np.linspace(0.5, 1.5, 80, dtype=np.float32) * np.ones((64, 1), np.float32)
    (folder / "shading").mkdir()
    Shading(ramp, np.full((64, 80), 3, np.float32)).save(folder / "shading" / "CHN00.tif")
    return folder


def options(folder, **chosen):
    return StitchOptions(steps="fuse", placement=folder / "placement.json", **chosen)


def test_shading_is_applied_to_every_plane(acquisition, tmp_path):
    chosen = options(acquisition, shading=acquisition / "shading")
    stitch(acquisition / "acq", str(tmp_path / "out"), chosen, corrector=corrector())
    shading = Shading.load(acquisition / "shading" / "CHN00.tif")
    source = CorrectedTiles(open_acquisition(acquisition / "acq").source(0), shading)
    with open_run(tmp_path / "by_hand", command="test") as run:
        fuse(run, source, Placement.load(acquisition / "placement.json"))
    corrected = open_volume(tmp_path / "out" / "CHN00").read()
    assert (corrected == open_volume(tmp_path / "by_hand" / "CHN00").read()).all()
    stitch(acquisition / "acq", str(tmp_path / "raw"), options(acquisition))
    assert (corrected != open_volume(tmp_path / "raw" / "CHN00").read()).any()


def test_other_shading_on_the_same_folder_is_refused(acquisition, tmp_path):
    stitch(acquisition / "acq", str(tmp_path), options(acquisition))
    with pytest.raises(InputError, match="shading was None"):
        stitch(
            acquisition / "acq",
            str(tmp_path),
            options(acquisition, shading=acquisition / "shading"),
            corrector=corrector(),
        )


def test_corrections_that_cannot_be_had(acquisition, tmp_path, monkeypatch):
    before = tree(acquisition)
    with pytest.raises(NotFoundError, match=r"CHN00\.tif"):
        stitch(acquisition / "acq", str(tmp_path / "out"), options(acquisition, shading=tmp_path))
    with pytest.raises(ToolError, match="CorrectedTiles"):
        stitch(acquisition / "acq", str(tmp_path / "out"), options(acquisition, shading=acquisition / "shading"))
    monkeypatch.setitem(sys.modules, "cloudreg_correct", None)
    with pytest.raises(ToolError, match="cloudreg-correct") as caught:
        corrector()
    assert "cloudreg-stitch[shading]" in caught.value.fix
    assert not (tmp_path / "out").exists()
    assert tree(acquisition) == before


def test_an_alignment_that_is_not_there(acquisition, tmp_path):
    with pytest.raises(NotFoundError, match=r"placement\.json"):
        stitch(acquisition / "acq", str(tmp_path / "out"), StitchOptions(steps="fuse"))


def test_s3_needs_a_local_folder(acquisition):
    with pytest.raises(InputError, match="not a local folder"):
        stitch(acquisition / "acq", "s3://bucket/run", options(acquisition))
