import json
import logging
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.io import savemat
from typer.testing import CliRunner

from cloudreg_io.errors import CloudRegError, InputError
from cloudreg_io.files.image import read_image, write_image
from cloudreg_io.space import Grid, Orientation, VoxelSize
from cloudreg_io.volumes import open_volume
from cloudreg_register.cli_transform import app
from cloudreg_register.images.frame import Frame
from cloudreg_register.transforms.apply import looks_like_voxels
from cloudreg_register.transforms.jacobian import jacobian_map
from cloudreg_register.transforms.points import read_points
from cloudreg_register.transforms.transform import Transform
from cloudreg_register.transforms.warp import warp
from support.small_volumes import write_volume
from support.velocities import transform_of

ATLAS = Frame((20, 15, 18), VoxelSize(100, 100, 100), Orientation("PIR"), "atlas")
TARGET = Frame((60, 45, 40), VoxelSize(40, 40, 50), Orientation("LPS"), "target")
TRANSFORM = transform_of(ATLAS, TARGET, fastest=300.0, spacing=400.0)


@pytest.fixture
def folder(tmp_path):
    TRANSFORM.save(tmp_path / "transform")
    return tmp_path / "transform"


def run(*args):
    """Run a command in this process; what it raises, raises."""
    result = CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def table(path, positions, names=None):
    names = names or [f"cell, {k}" for k in range(len(positions))]
    rows = [f'{x},{y},{z},"{name}"' for (x, y, z), name in zip(positions, names, strict=True)]
    path.write_text("\n".join(["x,y,z,name", *rows]) + "\n")
    return path


def test_points_there_and_back(tmp_path, folder):
    points = np.random.default_rng(0).uniform(600, 1400, (50, 3)).round(4)
    points[7] = -5000
    source = table(tmp_path / "in.csv", points)
    printed = run("points", source, tmp_path / "there.csv", "--transform", folder, "--to", "target")
    there = read_points(tmp_path / "there.csv")
    positions, inside = TRANSFORM.to_target(points)
    np.testing.assert_allclose(there.positions, positions, atol=1e-4)
    assert there.header == ("x", "y", "z", "name", "inside")
    assert there.column("inside") == tuple("1" if one else "0" for one in inside)
    assert there.column("name")[3] == "cell, 3"
    assert "50 points moved to the target, 1 of them outside" in printed
    printed = run(
        "points", tmp_path / "there.csv", tmp_path / "b.csv", "--transform", folder, "--to", "atlas", "--json"
    )
    assert json.loads(printed) == {"points": 50, "outside": 1}
    back = read_points(tmp_path / "b.csv")
    np.testing.assert_allclose(np.delete(back.positions, 7, 0), np.delete(points, 7, 0), atol=0.5)
    assert back.header == there.header


def test_points_given_as_voxels_are_noticed_and_can_be_said_to_be(tmp_path, folder, caplog):
    voxels = np.random.default_rng(0).integers(0, TARGET.size, (40, 3))
    source = table(tmp_path / "in.csv", voxels)
    arguments = ("points", source, tmp_path / "out.csv", "--transform", folder, "--to", "atlas")
    with caplog.at_level(logging.WARNING):
        run(*arguments)
    assert "look like voxels" in caplog.text
    assert "--voxels" in caplog.text
    run(*arguments, "--voxels", "--overwrite")
    expected = TRANSFORM.to_atlas(voxels * np.array([40, 40, 50]))[0]
    np.testing.assert_allclose(read_points(tmp_path / "out.csv").positions, expected, atol=1e-4)
    assert not looks_like_voxels(voxels * np.array([40.0, 40, 50]), TARGET)
    assert not looks_like_voxels(voxels + 0.25, TARGET)
    assert looks_like_voxels(voxels.astype(float), TARGET)


def test_many_blocks_are_one_table(tmp_path, folder, monkeypatch):
    points = np.random.default_rng(0).uniform(0, 1500, (500, 3)).round(4)
    source = table(tmp_path / "in.csv", points)
    run("points", source, tmp_path / "one.csv", "--transform", folder, "--to", "target")
    blocks = read_points.__globals__["read_blocks"]
    monkeypatch.setattr("cloudreg_register.transforms.apply.read_blocks", lambda path: blocks(path, 64))
    run("points", source, tmp_path / "many.csv", "--transform", folder, "--to", "target")
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "many.csv").read_bytes()


def test_a_file_of_labels_onto_the_target(tmp_path, folder):
    labels = np.zeros(ATLAS.grid().shape, np.uint32)
    labels[4:14, 3:12, 5:15] = 614454277
    write_image(tmp_path / "labels.nrrd", labels, ATLAS.voxel_size)
    printed = run(
        "volume", tmp_path / "labels.nrrd", tmp_path / "out", "--transform", folder, "--to", "target", "--labels",
        "--json",
    )  # fmt: skip
    made = open_volume(tmp_path / "out")
    assert json.loads(printed)["volumes"][0]["size"] == list(TARGET.size)
    expected = warp(TRANSFORM, labels, ATLAS.grid(), TARGET.grid(), to="target", labels=True)
    np.testing.assert_array_equal(made.read(), expected)
    assert 614454277 in expected
    again = run(
        "volume", tmp_path / "labels.nrrd", tmp_path / "out", "--transform", folder, "--to", "target", "--labels"
    )
    assert "60 × 45 × 40 voxels on the target" in again


def test_ids_that_are_not_said_to_be_labels_are_noticed(tmp_path, folder, caplog):
    for dtype in (np.uint16, np.uint32):
        write_image(tmp_path / f"{dtype.__name__}.nrrd", np.ones(ATLAS.grid().shape, dtype), ATLAS.voxel_size)
    run("volume", tmp_path / "uint16.nrrd", tmp_path / "image", "--transform", folder, "--to", "target")
    assert "--labels" not in caplog.text
    run("volume", tmp_path / "uint32.nrrd", tmp_path / "ids", "--transform", folder, "--to", "target")
    assert "if its voxels are ids, give --labels" in caplog.text


@pytest.mark.parametrize("kind", ["file", "volume"])
def test_a_volume_of_the_wrong_side_is_recognised(tmp_path, folder, kind):
    image = np.ones(ATLAS.grid().shape, np.uint8)
    write_image(tmp_path / "atlas.nrrd", image, ATLAS.voxel_size)
    place = tmp_path / "atlas.nrrd" if kind == "file" else write_volume(tmp_path, image, ATLAS.voxel_size).url
    with pytest.raises(InputError, match=r"has the extent of the atlas[^|]*fix: --to target"):
        run("volume", place, tmp_path / "made", "--transform", folder, "--to", "atlas")
    assert not (tmp_path / "made").exists()


def test_a_target_onto_the_atlas_at_a_voxel_size(tmp_path, folder):
    image = np.random.default_rng(0).integers(100, 200, TARGET.grid().shape, np.uint16)
    volume = write_volume(tmp_path, image, TARGET.voxel_size)
    run("volume", volume.url, tmp_path / "out", "--transform", folder, "--to", "atlas", "--voxel-size", 50, 50, 50)
    made = open_volume(tmp_path / "out")
    assert (made.size(), made.voxel_size()) == ((40, 30, 36), VoxelSize(50, 50, 50))
    found = made.read()
    assert (found > 0).mean() > 0.5
    assert found[found > 99].mean() == pytest.approx(150, abs=3)


def test_export_and_import(tmp_path, folder):
    printed = run("export", folder, tmp_path / "f.nrrd", "--itk", "--voxel-size", 200, "--to", "atlas")
    assert "13 × 10 × 11 vectors" in printed
    assert (tmp_path / "f.nrrd").exists()
    savemat(tmp_path / "A.mat", {"A": np.eye(4)})
    still = np.zeros((15, 20, 18, 2))
    savemat(tmp_path / "v.mat", {"vtx": still, "vty": still, "vtz": still})
    run(
        "import-matlab", tmp_path / "A.mat", tmp_path / "v.mat", tmp_path / "old", "--atlas-size", 20, 15, 18,
        "--atlas-voxel-size", 100, 100, 100, "--target-size", 60, 45, 40, "--target-voxel-size", 40, 40, 50,
    )  # fmt: skip
    imported = Transform.load(tmp_path / "old")
    assert (imported.target.size, imported.atlas.orientation.code) == ((60, 45, 40), "PIR")


def test_what_cannot_be_done_is_said(tmp_path, folder):
    source = table(tmp_path / "in.csv", np.ones((3, 3)))
    (tmp_path / "bad.csv").write_text("x,y\n1,2\n")
    image = np.zeros((5, 5, 5), np.uint8)
    write_image(tmp_path / "small.nrrd", image, VoxelSize(10, 10, 10))
    write_image(tmp_path / "plain.tif", image, VoxelSize(10, 10, 10))
    for arguments, message in [
        (("points", source, source, "--to", "atlas"), "would replace the points"),
        (("points", source, tmp_path / "bad.csv", "--to", "atlas"), "exists"),
        (("points", tmp_path / "bad.csv", tmp_path / "o.csv", "--to", "atlas"), "has no column z"),
        (("points", tmp_path / "none.csv", tmp_path / "o.csv", "--to", "atlas"), "no points at"),
        (("volume", tmp_path / "small.nrrd", tmp_path / "o", "--to", "target"), "extends over"),
        (("volume", tmp_path / "none", tmp_path / "o", "--to", "target"), "not a precomputed volume"),
        (("volume", tmp_path / "none.nrrd", tmp_path / "o", "--to", "target"), "not found"),
    ]:
        with pytest.raises(CloudRegError, match=message):
            run(*arguments, "--transform", folder)
    with pytest.raises(CloudRegError, match="no transform at"):
        run("points", source, tmp_path / "o.csv", "--to", "atlas", "--transform", tmp_path / "none")
    assert not (tmp_path / "o.csv").exists()
    assert not (tmp_path / "o").exists()


def test_a_process_says_what_is_wrong_and_exits_with_1(tmp_path, folder):
    code = "from cloudreg_io.console import run_app; from cloudreg_register.cli_transform import app; run_app(app)"
    source = table(tmp_path / "in.csv", [("a", 1, 2)])
    command = [sys.executable, "-c", code, "points", source, tmp_path / "o.csv", "--transform", folder, "--to"]
    done = subprocess.run([*command, "atlas"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "line 2, column x: 'a' is not a finite number" in done.stderr
    assert "Traceback" not in done.stderr
    words = ["points", source, tmp_path / "o.csv", "--transform", folder, "--to", "brain"]
    assert CliRunner().invoke(app, [str(word) for word in words]).exit_code == 2


@pytest.mark.parametrize(("to", "frame"), [("target", ATLAS), ("atlas", TARGET)])
def test_maps_show_how_good_a_transform_is(tmp_path, to, frame):
    grid = Grid((6, 5, 6), (500.0, 500.0, 500.0)).centred()
    values = np.random.default_rng(1).uniform(0, 1, grid.shape).astype(np.float32)
    transform = replace(TRANSFORM, confidence=values, confidence_grid=grid)
    transform.save(tmp_path / "transform")
    printed = json.loads(
        run("maps", tmp_path / "transform", tmp_path / "maps", "--to", to, "--voxel-size", 100, "--json")
    )
    found = {
        name: read_image(tmp_path / "maps" / f"{name}.nrrd")
        for name in ("jacobian", "inverse_error", "confidence")
    }
    voxels = frame.grid().with_spacing(VoxelSize(100, 100, 100))
    assert {array.shape for array, _ in found.values()} == {voxels.shape}
    assert {tuple(size) for _, size in found.values()} == {(100, 100, 100)}
    np.testing.assert_allclose(found["jacobian"][0], jacobian_map(transform, voxels, to))
    assert printed["folded"] == 0
    assert printed["jacobian_min"] == pytest.approx(found["jacobian"][0].min())
    assert 0 <= printed["inverse_error_max_um"] < 1
    points = voxels.points().reshape(-1, 3)
    in_target = transform.to_target(points)[0] if to == "target" else points
    np.testing.assert_array_equal(found["confidence"][0].ravel(), transform.confidence_at(in_target))
    with pytest.raises(CloudRegError, match="exists"):
        run("maps", tmp_path / "transform", tmp_path / "maps", "--to", to)
    with pytest.raises(CloudRegError, match="is a file"):
        run("maps", tmp_path / "transform", tmp_path / "maps" / "jacobian.nrrd", "--to", to)


def test_a_warped_volume_is_no_file(tmp_path, folder):
    with pytest.raises(CloudRegError, match="would be a folder"):
        run("volume", "atlas.nrrd", tmp_path / "out.nrrd", "--transform", folder, "--to", "target")


def test_confidence_is_that_of_the_block_in_the_target():
    grid = Grid((2, 1, 1), (1200.0, 2000.0, 2000.0)).centred()
    values = np.array([[[0.25, 0.75]]], np.float32)
    transform = replace(TRANSFORM, confidence=values, confidence_grid=grid)
    y, z = TARGET.centre[1:]
    found = transform.confidence_at([[0, y, z], [TARGET.centre[0] + 1, y, z], [-10_000, y, z]])
    assert found.tolist() == [0.25, 0.75, 0]
    with pytest.raises(CloudRegError, match="no confidence"):
        TRANSFORM.confidence_at([[0, 0, 0]])


def test_what_is_made_never_lies_in_the_transform(tmp_path, folder):
    points = table(tmp_path / "in.csv", [(600, 600, 600)])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match="would lie in the transform"):
        run("points", points, folder / "meta.json", "--transform", folder, "--to", "atlas", "--overwrite")
    with pytest.raises(InputError, match="would lie in the transform"):
        run("export", folder, folder / "field.nrrd")
    with pytest.raises(InputError, match="would lie in the transform"):
        run("maps", folder, folder)
    write_image(tmp_path / "target.nrrd", np.ones((40, 45, 60), np.uint8), TARGET.voxel_size)
    with pytest.raises(InputError, match="is the transform, or lies in it"):
        run("volume", tmp_path / "target.nrrd", folder / "new", "--transform", folder, "--to", "atlas")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_pipe_or_device_is_not_replaced_by_a_file(tmp_path, folder):
    points = table(tmp_path / "in.csv", [(600, 600, 600)])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is a device"):
        run("points", points, tmp_path / "pipe", "--transform", folder, "--to", "atlas", "--overwrite")
    assert (tmp_path / "pipe").is_fifo()


def test_voxels_much_finer_than_anything_are_refused_before_work(tmp_path, folder):
    write_image(tmp_path / "target.nrrd", np.ones((40, 45, 60), np.uint8), TARGET.voxel_size)
    words = ("--transform", folder, "--to", "atlas", "--voxel-size", 0.001, 0.001, 0.001)
    with pytest.raises(InputError, match="20 times finer than any of atlas and target, 40 µm"):
        run("volume", tmp_path / "target.nrrd", tmp_path / "new", *words)
    assert not (tmp_path / "new/info").exists()


def test_values_that_32_bits_do_not_hold_are_refused(tmp_path, folder):
    write_image(tmp_path / "target.nrrd", np.full((40, 45, 60), 1e300), TARGET.voxel_size)
    with pytest.raises(InputError, match=r"beyond 3\.4e38"):
        run("volume", tmp_path / "target.nrrd", tmp_path / "new", "--transform", folder, "--to", "atlas")
