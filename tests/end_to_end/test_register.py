"""`cloudreg register` with its rarer options, from file to file, and over MPI ranks."""

import json
import shutil

import numpy as np
import pytest

from cloudreg_io.files.image import write_image
from cloudreg_io.space import VoxelSize
from cloudreg_register.transforms.transform import Transform
from support.brains import EDGE, make_brain
from support.command import cloudreg
from support.inside import cloudreg_inside
from support.trees import difference, tree

pytestmark = pytest.mark.xdist_group("register")


@pytest.fixture(scope="module")
def brain(tmp_path_factory):
    return make_brain(tmp_path_factory.mktemp("brain"))


@pytest.fixture(scope="module")
def plain(brain, tmp_path_factory):
    """OUT without any of these options but one, as one process makes it."""
    out = tmp_path_factory.mktemp("plain") / "out"
    cloudreg_inside("register", brain.place("target"), out, *brain.words(), "--to-atlas", 1200)
    return out


def written(folder, array, name="target"):
    """A target that is another array."""
    path = folder / f"{name}.nrrd"
    write_image(path, np.ascontiguousarray(array, np.float32), VoxelSize.of((EDGE,) * 3))
    return path


def error(out, atlas, target):
    """Mean distance in µm of landmarks of the atlas from where they are in the target."""
    found, _ = Transform.load(out / "registration/transform").to_target(atlas)
    return np.linalg.norm(found - target, axis=1).mean()


def record(out):
    return json.loads((out / "qc/register.json").read_text())


def options(out):
    return json.loads((out / "provenance.json").read_text())["commands"][-1]["options"]


def test_a_brain_that_lies_otherwise_than_told_ends_right_with_a_search(brain, tmp_path):
    case = brain.case
    turned = written(tmp_path, np.rot90(case.target, axes=(1, 2)))
    x, y, z = case.landmarks_target.T
    there = np.stack([y, (case.target.shape[2] - 1) * EDGE - x, z], axis=1)
    words = [*brain.words(), "--iterations", 6, 6, 6]
    doubted = cloudreg_inside("register", turned, tmp_path / "told", *words, "--any-extent")
    said = cloudreg_inside("register", turned, tmp_path / "searched", *words, "--search")
    start = json.loads((tmp_path / "searched/registration/start.json").read_text())
    assert start["by"] == "search"
    code = start["candidates"][0]["orientation"]
    assert f"another way round, as {code} rather than {case.orientation}" in doubted.stderr
    assert "another way round" not in said.stderr
    assert len(start["candidates"]) > 1
    assert f"by search: {code} (" in said.stdout
    assert error(tmp_path / "searched", case.landmarks_atlas, there) < 0.5 * EDGE
    assert error(tmp_path / "told", case.landmarks_atlas, there) > 3 * EDGE


def test_little_overlap_is_warned_of(brain, plain, tmp_path):
    case = brain.case
    few = np.full(case.target.shape, case.target.min())
    few[:, :, : case.target.shape[2] // 4] = case.target[:, :, : case.target.shape[2] // 4]
    words = [*brain.words(), "--any-extent", "--mode", "fixed-scale"]
    done = cloudreg_inside("register", written(tmp_path, few), tmp_path / "out", *words)
    assert record(tmp_path / "out")["tissue_overlap"]["after"] < 0.7
    assert "overlap little" in done.stderr
    assert "tissue      Dice 0." in done.stdout
    overlaps = record(plain)["tissue_overlap"]
    assert overlaps["after"] > 0.9
    assert overlaps["after"] > overlaps["before"]


def test_other_options_are_named_and_a_folder_that_was_moved_is_gone_on_with(brain, plain, tmp_path):
    words = ["register", brain.place("target"), tmp_path / "moved", *brain.words(), "--to-atlas", 1200]
    shutil.copytree(plain, tmp_path / "moved")
    before = tree(tmp_path / "moved")
    cloudreg_inside(*words)
    cloudreg_inside("regions", tmp_path / "moved")
    assert difference(before, tree(tmp_path / "moved")) == []
    refused = cloudreg_inside(*words, "--regularization", 2, check=False)
    assert refused.returncode == 1
    assert "other options: options.regularization was None, now 2.0\n" in refused.stderr


def test_the_original_schedule_makes_as_many_steps_as_it_is_told(brain, plain, tmp_path):
    words = [word for word in brain.words() if word not in ("--iterations", 2)]
    cloudreg_inside("register", brain.place("target"), tmp_path / "out", *words, "--classic", 5)
    assert options(tmp_path / "out")["classic"] == 5
    steps = record(tmp_path / "out")["steps"]
    assert len(steps) == 5
    assert steps[-1]["energy"] < steps[0]["energy"]
    found, ours = (Transform.load(out / "registration/transform") for out in (tmp_path / "out", plain))
    assert len(found.velocity) > len(ours.velocity) == 1  # the original's flow has time steps
    assert (tmp_path / "out/registration/labels/info").exists()


@pytest.mark.parametrize("option", ["--grid-correction", "--bias-correction"])
def test_a_correction_before_makes_another_map_that_is_no_worse(brain, tmp_path, option):
    """Of a brain that is lit unevenly, in the one way or the other; what is corrected: test_corrections.py."""
    case = brain.case
    _, height, width = case.target.shape
    x, y = np.arange(width), np.arange(height)
    if option == "--grid-correction":
        gain = np.where((x % 6 == 0) | (y[:, None] % 6 == 0), 0.6, 1.0)
    else:
        gain = np.exp(1.2 * np.cos(np.pi * x / width))[None]
    target = written(tmp_path, (case.target - case.target.min() + 0.1) * gain)
    outs = [tmp_path / name for name in ("without", "with")]
    for out, more in zip(outs, ((), (option,)), strict=True):
        cloudreg_inside("register", target, out, *brain.words(), *more)
        assert options(out)[option[2:].replace("-", "_")] == bool(more)
    before, after = (record(out)["steps"][0]["energy"] for out in outs)
    assert before != after
    before, after = (error(out, case.landmarks_atlas, case.landmarks_target) for out in outs)
    assert after < 1.02 * before


def test_all_ranks_together_make_the_bytes_of_one_process(brain, plain, tmp_path):
    words = (*brain.words(), "--to-atlas", 1200)
    done = cloudreg("register", brain.place("target"), tmp_path / "out", *words, ranks=3)
    assert done.stdout.count("viz serve") == 1
    assert "registration/on_atlas/target/info" in tree(tmp_path / "out")
    assert difference(tree(plain), tree(tmp_path / "out")) == []
