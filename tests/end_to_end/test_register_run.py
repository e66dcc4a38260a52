"""`cloudreg run` with an atlas: one channel is registered, all are measured; which one is chosen matters."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from cloudreg_cli.pipeline import RunOptions, run_acquisition
from cloudreg_io.errors import CloudRegError
from cloudreg_io.files.image import write_image
from cloudreg_io.files.structures import StructureTree, structures_csv
from cloudreg_io.space import VoxelSize
from cloudreg_io.synthetic import AcquisitionSpec, make_acquisition, make_phantom
from cloudreg_io.volumes import open_volume
from cloudreg_register.stage.choice import Choice
from cloudreg_register.transforms.transform import Transform
from support.command import cloudreg

pytestmark = pytest.mark.xdist_group("register")

SPEC = AcquisitionSpec(
    rows=1,
    columns=2,
    tile_size=(120, 160),
    planes=60,
    overlap=(15.0, 15.0),
    jitter=(2.0, 2.0, 1.0),
    channels=2,
    seed=5,
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Tiles of a phantom, and its atlas, labels and structures as files: what `run` is told of them."""
    folder = tmp_path_factory.mktemp("scene")
    size = tuple(int(n) + 1 for n in SPEC.span)
    phantom = make_phantom(size, SPEC.voxel_size, seed=3)
    raw = folder / "raw"
    make_acquisition(raw, [phantom.scene(channel) for channel in range(2)], SPEC, scene_size=size)
    edge = max(phantom.grid.extent) / 24
    grid = phantom.grid.with_spacing((edge,) * 3)
    for name, array in (("atlas", phantom.atlas(grid)), ("labels", phantom.labels(grid))):
        write_image(folder / f"{name}.nrrd", array, VoxelSize.of((edge,) * 3))
    (folder / "structures.csv").write_text(structures_csv(StructureTree(phantom.structures)))
    choice = Choice(
        orientation="LPS",
        atlas=str(folder / "atlas.nrrd"),
        labels=str(folder / "labels.nrrd"),
        structures=str(folder / "structures.csv"),
        atlas_orientation="LPS",
        resolution=edge,
        iterations=(2, 2, 2),
    )
    return raw, choice


def options(choice, channel=""):
    return RunOptions(
        shading=False,
        bias=False,
        check_stage=False,
        search=(8, 8, 4),
        registration=choice,
        autofluorescence_channel=channel,
    )


def provenance(out):
    return json.loads((out / "provenance.json").read_text())["commands"]


def test_the_chosen_channel_is_registered(scene, tmp_path):
    raw, choice = scene
    out = tmp_path / "out"
    result = run_acquisition(raw, out, options(choice))
    assert result["registration"]["channel"] == "CHN00"
    assert provenance(out)[-1]["options"]["autofluorescence_channel"] == "CHN00"
    first = Transform.load(out / "registration/transform")
    assert first.target.size == open_volume(out / "CHN00").size()
    labels = open_volume(out / "registration/labels")
    assert labels.size() == open_volume(out / "CHN00").size()
    assert labels.spec.mips == open_volume(out / "CHN00").spec.mips
    rows = list(csv.DictReader((out / "registration/regions.csv").open()))
    assert {"total", "total_CHN01"} <= set(rows[0])
    assert sum(int(row["voxels"]) for row in rows) > 0
    fused = (out / "CHN00/info").stat().st_mtime_ns
    with pytest.raises(CloudRegError, match="other options"):
        run_acquisition(raw, out, options(choice, "1"))
    again = run_acquisition(raw, out, options(choice, "1"), overwrite=True)
    assert again["registration"]["channel"] == "CHN01"
    assert provenance(out)[-1]["options"]["autofluorescence_channel"] == "CHN01"
    assert (out / "CHN00/info").stat().st_mtime_ns == fused  # only what depends on the choice is done again
    second = Transform.load(out / "registration/transform")
    assert not np.allclose(first.affine.matrix, second.affine.matrix)


@pytest.mark.parametrize(
    ("changes", "channels", "channel", "says"),
    [
        ({"atlas": "absent.nrrd"}, (), "", "absent.nrrd"),
        ({"orientation": "LPX"}, (), "", "LPX"),
        ({"labels": "absent.nrrd"}, (), "", "absent.nrrd"),
        ({}, ("0",), "1", "not among the channels"),
        (None, (), "1", "nothing is registered"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(scene, tmp_path, changes, channels, channel, says):
    raw, choice = scene
    chosen = None if changes is None else replace(choice, **changes)
    with pytest.raises(CloudRegError, match=says):
        run_acquisition(raw, tmp_path / "out", replace(options(chosen, channel), channels=channels))
    assert not (tmp_path / "out").exists()


def test_an_atlas_without_orientation_of_the_volume_is_a_wrong_command_line(scene, tmp_path):
    raw, choice = scene
    done = cloudreg("run", raw, tmp_path / "out", "--atlas", choice.atlas, check=False)
    assert done.returncode == 2
    assert "--orientation" in " ".join(done.stderr.replace("│", " ").split())
