"""Bad input of `register`, `transform` and `accuracy`: refused with a clear message, and no result is written."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from cloudreg_io.errors import CloudRegError
from cloudreg_io.files.image import write_image
from cloudreg_io.space import Orientation, VoxelSize
from cloudreg_io.synthetic import make_phantom
from cloudreg_register import cli_analysis, cli_transform
from cloudreg_register.cli import register
from cloudreg_register.images.frame import Frame
from cloudreg_register.start.initial import initial_affine
from cloudreg_register.transforms.transform import Transform
from support.small_volumes import write_volume

EDGE = 500.0
CUBE = VoxelSize.of((EDGE,) * 3)
PHANTOM = make_phantom((20, 26, 16), CUBE, seed=4)
ATLAS, LABELS = PHANTOM.atlas(), PHANTOM.labels()


@dataclass(frozen=True)
class Case:
    """Files that are replaced (array, voxel size), the words that are added, what must be said and advised."""

    says: str
    fix: str = ""
    files: dict = None
    words: tuple = ()
    without: tuple = ()


def nan(array):
    spoilt = array.copy()
    spoilt[3, 4, 5] = np.nan
    return spoilt


def sized(edge):
    return VoxelSize.of((edge,) * 3)


CASES = {
    "target that is not there": Case("absent.nrrd", files={"target": None}),
    "atlas that is not there": Case("absent", words=("--atlas", "absent.nrrd")),
    "labels that are not there": Case("absent", words=("--labels", "absent.nrrd")),
    "structures that are not there": Case("absent", words=("--structures", "absent.json")),
    "orientation of two letters": Case("LP", "", words=("--orientation", "LP")),
    "orientation with one axis twice": Case("LRS", "", words=("--orientation", "LRS")),
    "orientation with an unknown letter": Case("LPX", "", words=("--atlas-orientation", "LPX")),
    "no orientation of the atlas": Case("which way", "--atlas-orientation", without=("--atlas-orientation",)),
    "axes exchanged": Case("your brain", "--any-extent", words=("--orientation", "PLS")),
    "labels of another extent": Case("the labels", "one release", files={"labels": (LABELS[:, :-4], CUBE)}),
    "labels of another voxel size": Case("the labels", "one release", files={"labels": (LABELS, sized(250))}),
    "NaN in the target": Case("1 of 8320 voxels are not a number", "by 0", files={"target": (nan(ATLAS), CUBE)}),
    "NaN in the atlas": Case("not a number", "by 0", files={"atlas": (nan(ATLAS), CUBE)}),
    "empty target": Case("is empty", files={"target": (np.zeros_like(ATLAS), CUBE)}),
    "constant target": Case("is constant", files={"target": (np.full_like(ATLAS, 7), CUBE)}),
    "constant atlas": Case("is constant", files={"atlas": (np.full_like(ATLAS, 7), CUBE)}),
    "fractions as labels": Case("fractions", files={"labels": (LABELS + 0.5, CUBE)}),
    "negative labels": Case("not negative", "uint32", files={"labels": (-LABELS.astype(np.int64), CUBE)}),
    "voxel size of another brain": Case(
        "your brain would be", "did you mean", files={"target": (ATLAS, sized(1500))}
    ),
    "voxel size in mm": Case("your brain would be", "did you mean", files={"target": (ATLAS, sized(0.5))}),
    "voxel size in nm": Case("larger than 4 mm", "did you mean", words=("--voxel-size", 5e5, 5e5, 5e5)),
    "voxel size of 0": Case("not a positive number", "--voxel-size", words=("--voxel-size", 0, 1, 1)),
    "a few planes": Case("too few", files={"target": (ATLAS[:2], CUBE)}),
    "smaller than the kernel": Case(
        "smaller than the smoothing kernel",
        "--voxel-size",
        files={"target": (ATLAS[:, :, 8:12], VoxelSize(100, 500, 500))},
        words=("--any-extent", "--resolution", 100),
    ),
    "too little memory": Case("--memory", "--memory", words=("--memory", "150MB")),
    "resolution of 0": Case("--resolution 0", words=("--resolution", 0)),
    "no iteration": Case("--iterations", words=("--iterations", 0, 1, 1)),
    "regularization below 0": Case("--regularization", words=("--regularization", -1)),
    "negative scale": Case("scale is positive", "orientation codes", words=("--scale", -1, 1, 1)),
    "region without structures": Case("table of structures", "--structures", words=("--region", "TH")),
    "landmarks that are no CSV": Case("has no column x", words=("--landmarks", "bad.csv", "bad.csv")),
    "landmarks that are too few": Case("landmarks", words=("--landmarks", "two.csv", "two.csv")),
    "no graphics card": Case("graphics card", "--device cpu", words=("--device", "cuda")),
    "OUT in the target": Case("is the target", "another OUT", files={"target": "volume"}),
}


def typed(app, *words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def register_app():
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(register)
    return app


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_registered_is_refused(name, register_app, tmp_path, monkeypatch):
    if name == "no graphics card":
        import torch

        if torch.cuda.is_available():
            pytest.skip("needs a machine without a graphics card")
    case = CASES[name]
    monkeypatch.chdir(tmp_path)
    files = {"target": (ATLAS, CUBE), "atlas": (ATLAS, CUBE), "labels": (LABELS, CUBE)} | (case.files or {})
    target, out = "target.nrrd", "out"
    for which, content in files.items():
        if content is None:
            target = "absent.nrrd"
        elif content == "volume":
            write_volume(tmp_path / "w", ATLAS, (EDGE,) * 3, url=tmp_path / "brain")
            target = out = "brain"
        else:
            write_image(tmp_path / f"{which}.nrrd", *content)
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    (tmp_path / "two.csv").write_text("x,y,z,name\n1000,1000,1000,a\n2000,2500,1500,b\n")
    options = {"--orientation": ["LPS"], "--atlas-orientation": ["LPS"], "--atlas": ["atlas.nrrd"]}
    options |= {"--labels": ["labels.nrrd"], "--resolution": [EDGE], "--iterations": [1, 1, 1]}
    words = [word for key, values in options.items() if key not in case.without for word in (key, *values)]
    done = typed(register_app, target, out, *words, *case.words)
    assert isinstance(done.exception, CloudRegError), (done.output, done.exception)
    assert case.says in str(done.exception)
    assert case.fix in (done.exception.fix or "")
    assert not (tmp_path / "out/registration/transform").exists()


def test_a_tiff_without_voxel_size(register_app, tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "target.tif", ATLAS)
    write_image(tmp_path / "atlas.nrrd", ATLAS, CUBE)
    words = ("--atlas", tmp_path / "atlas.nrrd", "--orientation", "LPS", "--atlas-orientation", "LPS")
    done = typed(register_app, tmp_path / "target.tif", tmp_path / "out", *words)
    assert isinstance(done.exception, CloudRegError)
    assert "--voxel-size X Y Z" in done.exception.fix
    assert not (tmp_path / "out").exists()


def saved(folder):
    """A transform that is whole."""
    frame = Frame((20, 26, 16), CUBE, Orientation("LPS"), "x")
    Transform.of_affine(initial_affine(frame.orientation, frame.orientation), frame, frame).save(folder)
    return folder


def truncate(folder):
    path = folder / "velocity.npy"
    path.write_bytes(path.read_bytes()[:-8])


def edit(name, change):
    def apply(folder):
        value = json.loads((folder / name).read_text())
        change(value)
        (folder / name).write_text(json.dumps(value))

    return apply


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (truncate, "velocity.npy"),
        (lambda folder: (folder / "velocity.npy").unlink(), "velocity.npy"),
        (lambda folder: (folder / "meta.json").unlink(), "meta.json"),
        (lambda folder: (folder / "meta.json").write_text("{"), "damaged"),
        (edit("affine.json", lambda v: v["matrix"][0].__setitem__(0, 7)), "affine.json"),
        (edit("meta.json", lambda v: v.update(version=99)), "version 99"),
        (edit("meta.json", lambda v: v.pop("atlas")), "atlas"),
    ],
    ids=["truncated", "no velocity", "no meta", "half a meta", "edited", "of the future", "without atlas"],
)
def test_a_corrupt_transform(damage, says, tmp_path):
    folder = saved(tmp_path / "transform")
    damage(folder)
    (tmp_path / "in.csv").write_text("x,y,z\n1,2,3\n")
    words = ("points", tmp_path / "in.csv", tmp_path / "out.csv", "--transform", folder, "--to", "atlas")
    done = typed(cli_transform.app, *words)
    assert isinstance(done.exception, CloudRegError)
    assert says in str(done.exception)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b,c\n1,2,3\n", "x"),
        ("x,y\n1,2\n", "z"),
        ("x,y,z\n1,2,here\n", "here"),
        ("x,y,z\n1,2\n", "2"),
        ("", "empty"),
    ],
    ids=["bad header", "no z", "no number", "short row", "empty"],
)
def test_points_that_are_no_points(text, says, tmp_path):
    folder = saved(tmp_path / "transform")
    (tmp_path / "in.csv").write_text(text)
    words = ("points", tmp_path / "in.csv", tmp_path / "out.csv", "--transform", folder, "--to", "atlas")
    done = typed(cli_transform.app, *words)
    assert isinstance(done.exception, CloudRegError)
    assert says in str(done.exception)
    assert not (tmp_path / "out.csv").exists()


def test_landmarks_without_names(tmp_path):
    folder = saved(tmp_path / "transform")
    (tmp_path / "in.csv").write_text("x,y,z\n1,2,3\n")
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(cli_analysis.accuracy)
    place = tmp_path / "in.csv"
    done = typed(app, "--transform", folder, "--atlas-landmarks", place, "--target-landmarks", place)
    assert isinstance(done.exception, CloudRegError)
    assert "name" in str(done.exception)
