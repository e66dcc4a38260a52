"""`cloudreg run` with an atlas: one channel is registered, all are measured; which one is chosen matters."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from cloudreg_cli import pipeline
from cloudreg_cli.pipeline import RunOptions, plan_run, run_acquisition
from cloudreg_io.errors import CloudRegError, InputError
from cloudreg_io.files.image import read_image, write_image
from cloudreg_io.files.structures import StructureTree, structures_csv
from cloudreg_io.space import VoxelSize
from cloudreg_io.synthetic import AcquisitionSpec, make_acquisition, make_phantom
from cloudreg_io.volumes import open_volume
from cloudreg_register.stage.choice import Choice
from cloudreg_register.stage.starting import Person
from cloudreg_register.transforms.transform import Transform
from support.command import cloudreg
from support.inside import cloudreg_inside
from support.small_volumes import write_volume
from support.trees import tree

NO_CARD = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a graphics card")
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
    foretold_is_made(raw, out, options(choice))
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


def foretold_is_made(raw, out, options):
    """What `plan` says of the registration is what was written, about."""
    plain = plan_run(raw, out, replace(options, registration=None))
    told = plan_run(raw, out, options)
    steps = {step.name: step for step in told.steps[len(plain.steps) :]}
    assert list(steps) == ["register", "labels on target", "atlas on target", "regions"]
    for name in ("labels on target", "atlas on target"):
        made = out / "registration" / name.replace(" ", "_").removesuffix("_on_target" if "labels" in name else "")
        size = sum(path.stat().st_size for path in made.rglob("*") if path.is_file())
        assert steps[name].bytes_written == pytest.approx(size, rel=0.4)
    assert told.disk_bytes > plain.disk_bytes + steps["atlas on target"].bytes_written
    assert told.memory > plain.memory
    assert min(step.seconds for step in steps.values()) > 0
    both = plan_run(raw, out, replace(options, registration=replace(options.registration, to_atlas=100.0)))
    extra = [step for step in both.steps if step.name == "on atlas"]
    assert [step.channel for step in extra] == ["CHN00", "CHN01"]
    assert min(step.bytes_written for step in extra) > 0
    long = plan_run(raw, out, replace(options, registration=replace(options.registration, iterations=(2, 2, 200))))
    (finding,) = [step for step in long.steps if step.name == "register"]
    assert finding.seconds > steps["register"].seconds


def test_a_person_is_asked_once_the_channel_is_fused(scene, tmp_path):
    raw, choice = scene
    out, answers = tmp_path / "out", iter(["n", "y"])
    person = Person(lambda _: next(answers), lambda path, text: None)
    chosen = replace(options(choice), channels=("0",))
    with pytest.raises(CloudRegError, match="not confirmed"):
        run_acquisition(raw, out, chosen, person=person)
    fused = (out / "CHN00/info").stat().st_mtime_ns
    turned = replace(chosen, registration=replace(choice, rotation=(0.0, 0.0, 10.0), iterations=(1, 1, 1)))
    run_acquisition(raw, out, turned, person=person)
    assert (out / "CHN00/info").stat().st_mtime_ns == fused
    assert json.loads((out / "registration/start.json").read_text())["matrix"][0][1] != 0


EVERY_OPTION = {
    "hemisphere": ("left", "left"),
    "region": ("A", None),
    "rotation": ((0, 0, 5), (0.0, 0.0, 5.0)),
    "translation": ((1, 2, 3), (1.0, 2.0, 3.0)),
    "fixed_scale": ((1.1, 1, 1), None),
    "regularization": (3, 3.0),
    "iterations": ((1, 2, 3), (1, 2, 3)),
    "no_missing_data": ((), None),
    "landmarks": (("a.csv", "b.csv"), ("a.csv", "b.csv")),
    "landmarks_for": ("start", "start"),
    "landmark_sigma": (50, 50.0),
    "grid_correction": ((), True),
    "bias_correction": ((), True),
    "device": ("cpu", "cpu"),
    "any_extent": ((), True),
    "to_atlas": (100, 100.0),
    "resolution": (40, 40.0),
}


@pytest.mark.parametrize("command", ["run", "plan"])
def test_every_option_of_a_registration_gets_there(command, monkeypatch, tmp_path):
    taken = []
    monkeypatch.setattr(pipeline, "run_acquisition", lambda acquisition, out, given, **how: taken.append(given))

    def planned(acquisition, out, given, jobs):
        taken.append(given)
        raise InputError("enough")

    monkeypatch.setattr(pipeline, "plan_run", planned)
    words = []
    for name, (typed, _) in EVERY_OPTION.items():
        words += ["--" + name.replace("_", "-"), *(typed if isinstance(typed, tuple) else (typed,))]
    words += ["--atlas", "a.nrrd", "--labels", "l.nrrd", "--structures", "s.csv", "--orientation", "LPS"]
    words += ["--atlas-orientation", "PIR", "--atlas-voxel-size", 1, 2, 3, "--search-rotations"]
    cloudreg_inside(command, tmp_path, tmp_path / "out", *words, "--mips", 2, "--channels", "0, 1", check=False)
    (given,) = taken
    expected = {name: value for name, (_, value) in EVERY_OPTION.items() if value is not None}
    assert given.registration == Choice(
        **expected,
        regions=("A",),
        scale=(1.1, 1.0, 1.0),
        mode="fixed-scale",
        missing_data=False,
        atlas="a.nrrd",
        labels="l.nrrd",
        structures="s.csv",
        orientation="LPS",
        atlas_orientation="PIR",
        atlas_voxel_size=(1.0, 2.0, 3.0),
        search=True,
    )
    assert (given.mips, given.channels) == (2, ("0", "1"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--resolution", 50), "--resolution is about a registration"),
        (("--search-rotations",), "--search-rotations is about a registration"),
        (("--register", "--orientation", "LPS", "--confirm"), "--rotation"),
        (("--register", "--orientation", "LPS", "--fixed-scale", 1, 1, 1, "--mode", "rigid"), "give it alone"),
    ],
)
def test_a_wrong_command_line(tmp_path, words, says, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    done = cloudreg_inside("run", tmp_path, tmp_path / "out", *words, check=False)
    assert done.returncode == 2
    assert says in " ".join(done.stderr.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "channels", "channel", "says"),
    [
        ({"atlas": "absent.nrrd"}, (), "", "absent.nrrd"),
        ({"orientation": "LPX"}, (), "", "LPX"),
        ({"labels": "absent.nrrd"}, (), "", "absent.nrrd"),
        ({}, ("0",), "1", "not among the channels"),
        ({"landmarks": ("absent.csv", "absent.csv")}, (), "", "absent.csv"),
        ({"atlas_voxel_size": (1500.0, 1500.0, 1500.0), "resolution": 1500.0}, (), "", "smoothing kernel"),
        ({"atlas_voxel_size": (2500.0, 2500.0, 2500.0), "resolution": None}, (), "", "your brain would be"),
        pytest.param({"device": "cuda"}, (), "", "no graphics card", marks=NO_CARD),
        (None, (), "1", "nothing is registered"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(scene, tmp_path, changes, channels, channel, says):
    raw, choice = scene
    chosen = None if changes is None else replace(choice, **changes)
    with pytest.raises(CloudRegError, match=says):
        run_acquisition(raw, tmp_path / "out", replace(options(chosen, channel), channels=channels))
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_into_the_atlas(scene, tmp_path):
    raw, choice = scene
    atlas = tmp_path / "atlas"
    write_volume(tmp_path / "w", read_image(choice.atlas)[0], read_image(choice.atlas)[1], url=atlas)
    before = tree(atlas)
    with pytest.raises(CloudRegError, match="is the atlas, or lies in it"):
        run_acquisition(raw, atlas / "out", options(replace(choice, atlas=str(atlas), labels=None)))
    assert tree(atlas) == before


def test_an_atlas_without_orientation_of_the_volume_is_a_wrong_command_line(scene, tmp_path):
    raw, choice = scene
    done = cloudreg("run", raw, tmp_path / "out", "--atlas", choice.atlas, check=False)
    assert done.returncode == 2
    assert "--orientation" in " ".join(done.stderr.replace("│", " ").split())
