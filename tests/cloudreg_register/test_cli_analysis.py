"""The commands `regions` and `accuracy` on a folder as `register` leaves it."""

import csv
import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from cloudreg_io.errors import InputError, NotFoundError, ToolError
from cloudreg_io.files.structures import StructureTree, structures_csv
from cloudreg_io.space import Affine, Orientation
from cloudreg_io.synthetic import make_phantom
from cloudreg_register import cli_analysis
from cloudreg_register.analysis.measurement import MeasurementOptions, gathered, measure
from cloudreg_register.images.frame import Frame
from cloudreg_register.start.initial import initial_affine
from cloudreg_register.transforms.transform import Transform
from support.small_volumes import write_volume

SIZE, EDGE = (32, 28, 24), (20.0, 20.0, 20.0)
PHANTOM = make_phantom(SIZE, EDGE, seed=4)
LABELS = PHANTOM.labels()
IMAGE = np.random.default_rng(0).integers(0, 1000, LABELS.shape).astype(np.uint16)
TARGET = Frame(SIZE, EDGE, Orientation(PHANTOM.orientation), "target")
ATLAS = Frame(SIZE[::-1], EDGE, Orientation(PHANTOM.orientation[::-1]), "atlas")
START = initial_affine(ATLAS.orientation, TARGET.orientation)
TRUTH = Transform.of_affine(Affine.from_parameters(translation=(10, 0, 0)) @ START, ATLAS, TARGET)


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """OUT with labels, one channel, a transform and the table of structures."""
    out = tmp_path_factory.mktemp("registered")
    chunk = (16, 16, 16)
    write_volume(out / "w", LABELS, EDGE, layer="segmentation", chunk=chunk, url=out / "registration/labels")
    write_volume(out / "w2", IMAGE, EDGE, chunk=chunk, url=out / "CHN00")
    TRUTH.save(out / "registration/transform")
    tree = StructureTree(PHANTOM.structures)
    (out / "registration/structures.csv").write_text(structures_csv(tree))
    points = np.random.default_rng(1).uniform(0, 700, (50, 3))
    lines = "\n".join(",".join(map(str, point)) for point in points)
    (out / "cells.csv").write_text(f"x,y,z\n{lines}\n")
    return out


def cloudreg(*args):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command("regions")(cli_analysis.regions)
    app.command("accuracy")(cli_analysis.accuracy)
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_regions_of_a_registered_folder(registered):
    done = cloudreg("regions", registered, "--points", registered / "cells.csv", "--voxel-size", 20, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["points"] == 50
    assert 0 < report["points_outside"] < 50
    assert report["volume_mm3"] == pytest.approx((LABELS > 0).sum() * 8e-6)
    rows = list(csv.DictReader((registered / "registration/regions.csv").open()))
    assert {row["hemisphere"] for row in rows} == {"left", "right"}
    assert sum(int(row["total"]) for row in rows) == IMAGE.sum()
    # the map exchanges and reverses axes and shifts by half a voxel: the cut runs there in the target
    axis = next(k for k, letter in enumerate(PHANTOM.orientation) if letter in "LR")
    shift = 10 if axis == 0 else 0
    middle = TARGET.centre[axis] + shift
    positions = PHANTOM.grid.points()[..., axis]
    right = positions > middle if PHANTOM.orientation[axis] == "R" else positions < middle
    voxels = sum(int(row["voxels"]) for row in rows if row["hemisphere"] == "right")
    assert voxels == right.sum()
    # the same command again does nothing and says the same
    again = cloudreg("regions", registered, "--points", registered / "cells.csv", "--voxel-size", 20)
    assert again.exit_code == 0
    assert "50 points" in again.stdout


def test_two_jobs_give_the_same_table(registered, tmp_path):
    options = MeasurementOptions(
        labels=str(registered / "registration/labels"),
        transform=registered / "registration/transform",
        structures=str(registered / "registration/structures.csv"),
        channels=(str(registered / "CHN00"),),
        points=registered / "cells.csv",
        voxel_size=20.0,
    )
    for name, jobs in (("one", 1), ("two", 2)):
        measure(tmp_path / name, options, jobs=jobs)
    one, two = ((tmp_path / name / "registration/regions.csv").read_bytes() for name in ("one", "two"))
    assert one == two


def test_what_is_looked_for_in_out(registered):
    inputs = gathered(registered, MeasurementOptions())
    assert list(inputs.channels) == ["CHN00"]
    assert inputs.upstream
    assert gathered(registered, MeasurementOptions(hemispheres=False)).midplane is None


@pytest.mark.parametrize(
    ("remove", "options", "message"),
    [
        ("registration/labels", {}, "--labels"),
        ("registration/structures.csv", {}, "--structures"),
        ("registration/transform", {}, "--no-hemispheres"),
        ("", {"channels": ("CHN07",)}, "no channel CHN07\n  why: its channels: CHN00"),
        ("", {"channels": ("/nowhere/CHN07",)}, "/nowhere/CHN07 is not a precomputed volume"),
        ("", {"channels": ("CHN00", "CHN00")}, "one name"),
        ("", {"points": "absent.csv"}, "absent.csv"),
    ],
)
def test_what_is_missing_is_named(registered, tmp_path, remove, options, message):
    import shutil

    out = tmp_path / "OUT"
    shutil.copytree(registered, out)
    if remove:
        gone = out / remove
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    if "points" in options:
        options = {"points": out / options["points"]}
    with pytest.raises((NotFoundError, InputError), match=message):
        gathered(out, MeasurementOptions(**options))


def test_too_little_memory_is_refused(registered, tmp_path):
    with pytest.raises(ToolError, match="too little"):
        measure(registered, MeasurementOptions(), memory=100_000_000)


def landmark_files(folder):
    rng = np.random.default_rng(2)
    atlas = rng.uniform(100, 400, (8, 3))
    target = TRUTH.to_target(atlas)[0] + [3.0, 0.0, 4.0]
    for name, points in (("atlas", atlas), ("target", target)):
        lines = [f"{x},{y},{z},p{i}" for i, (x, y, z) in enumerate(points)]
        (folder / f"{name}.csv").write_text("x,y,z,name\n" + "\n".join(lines) + "\n")
    return "--atlas-landmarks", folder / "atlas.csv", "--target-landmarks", folder / "target.csv"


def test_accuracy_at_landmarks(registered, tmp_path):
    files = landmark_files(tmp_path)
    transform = registered / "registration/transform"
    done = cloudreg("accuracy", "--transform", transform, *files, "--json", "--table", tmp_path / "t.csv")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["after"]["mean_um"] == pytest.approx(5, abs=1e-3)
    # without the transform's shift of 10 µm along x the difference is (−13, 0, −4)
    assert found["before"]["mean_um"] == pytest.approx(np.hypot(13, 4), abs=1e-3)
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 9
    (tmp_path / "start.json").write_text(json.dumps({"matrix": TRUTH.affine.matrix.tolist()}))
    again = cloudreg("accuracy", "--transform", transform, *files, "--start", tmp_path / "start.json")
    before, after = again.stdout.splitlines()[1:3]
    assert before.split()[1:] == after.split()[1:] == ["8", "5.0", "5.0", "5.0", "5.0"]


def test_accuracy_of_labels(registered):
    place = registered / "registration/labels"
    done = cloudreg("accuracy", "--labels", place, place, "--voxel-size", 20, "--json")
    assert json.loads(done.stdout)["dice"]["weighted"] == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "nothing to measure"),
        (["--transform", "x"], "belong together"),
        (["--atlas-landmarks", "a.csv", "--target-landmarks", "b.csv"], "belong together"),
    ],
)
def test_a_command_line_that_measures_nothing(args, message):
    done = cloudreg("accuracy", *args)
    assert done.exit_code == 2
    assert message in " ".join(done.output.replace("│", " ").split())


def test_a_start_that_is_none(registered, tmp_path):
    (tmp_path / "start.json").write_text('{"matrix": [[1, 2], [3, 4]]}')
    args = ["--transform", registered / "registration/transform", *landmark_files(tmp_path)]
    done = cloudreg("accuracy", *args, "--start", tmp_path / "start.json")
    assert isinstance(done.exception, InputError)
    done = cloudreg("accuracy", *args, "--start", tmp_path / "absent.json")
    assert isinstance(done.exception, NotFoundError)
