import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudreg_io.errors import CloudRegError, InputError, NotFoundError
from cloudreg_io.space import Affine, Grid, Orientation, VoxelSize
from cloudreg_register.images.frame import Frame
from cloudreg_register.transforms import transform as module
from cloudreg_register.transforms.particles import Particles
from cloudreg_register.transforms.transform import Transform
from support.trees import tree
from support.velocities import ATLAS, TARGET, transform_of, velocity_on

VOXEL = 100.0


def points_in(frame, n=400, seed=0):
    grid = frame.grid()
    return np.random.default_rng(seed).uniform(0, 1, (n, 3)) * grid.extent + grid.corner


@given(seed=st.integers(0, 1000), fastest=st.sampled_from([0.0, 300.0, 900.0]))
@settings(max_examples=15, deadline=None)
def test_points_come_back(seed, fastest):
    transform = transform_of(seed=seed, fastest=fastest)
    for frame, there, back in (
        (ATLAS, transform.to_target, transform.to_atlas),
        (TARGET, transform.to_atlas, transform.to_target),
    ):
        points = points_in(frame, seed=seed)
        error = np.linalg.norm(back(there(points)[0])[0] - points, axis=1)
        assert error.max() < 0.01 * VOXEL
        assert error.mean() < 0.0005 * VOXEL


@pytest.mark.parametrize(("fastest", "tolerance"), [(500.0, 0.5), (2000.0, 1.0)])
@pytest.mark.parametrize("inverse", [False, True])
def test_paths_are_those_of_much_shorter_steps(fastest, tolerance, inverse):
    grid = Grid((20, 16, 18), (200, 200, 200)).centred()
    velocity = velocity_on(grid, 3, parts=5, fastest=fastest)
    particles = Particles(velocity, grid)
    points = np.random.default_rng(0).uniform(-1800, 1800, (300, 3))  # some of them outside of the grid
    exact = fine_path(velocity, grid, points, inverse)
    moved = np.linalg.norm(exact - points, axis=1)
    assert moved.max() > 0.3 * fastest
    assert np.linalg.norm(particles.carried(points, inverse=inverse) - exact, axis=1).max() < tolerance


def fine_path(velocity, grid, points, inverse, steps=100):
    """Euler's midpoint with very many steps in float64, with scipy's interpolation."""
    from scipy.ndimage import map_coordinates

    def at(part, positions):
        index = grid.index_of(positions).T[::-1]
        return np.stack([map_coordinates(c, index, order=1, mode="nearest") for c in part], axis=-1)

    h = (-1 if inverse else 1) / (len(velocity) * steps)
    for part in velocity[::-1] if inverse else velocity:
        part64 = part.astype(float)
        for _ in range(steps):
            points = points + h * at(part64, points + h / 2 * at(part64, points))
    return points


def test_it_agrees_with_the_displacement_that_registration_uses():
    import torch

    from cloudreg_register.lddmm.flow import displacement

    grid = Grid((20, 16, 18), (200, 200, 200)).centred()
    velocity = velocity_on(grid, 5, parts=5, fastest=500.0, sigma=3.0)
    particles = Particles(velocity, grid)
    points = grid.points()
    for inverse in (False, True):
        field = displacement(torch.tensor(velocity), grid.spacing, inverse=inverse, substeps=2)
        ours = particles.carried(points.reshape(-1, 3), inverse=inverse).reshape(points.shape) - points
        inner = (slice(3, -3),) * 3  # at the border the displacement, not the velocity, is continued
        error = np.linalg.norm(field.numpy().transpose(1, 2, 3, 0) - ours, axis=-1)[inner]
        assert error.mean() < 0.03 * np.linalg.norm(ours[inner], axis=-1).mean()


def test_an_affine_map_by_hand():
    atlas = Frame((11, 21, 31), VoxelSize(10, 10, 10), Orientation("LPS"))
    target = Frame((10, 10, 10), VoxelSize(50, 50, 50), Orientation("RPS"))
    transform = Transform.of_affine(Affine(np.diag([-2.0, 1, 1, 1])), atlas, target)
    # centres: atlas (50, 100, 150), target (225, 225, 225)
    positions, inside = transform.to_target([[50, 100, 150], [60, 100, 150], [50, 100, 151], [300, 0, 0]])
    np.testing.assert_allclose(positions, [[225, 225, 225], [205, 225, 225], [225, 225, 226], [-275, 125, 75]])
    assert inside.tolist() == [True, True, True, False]
    back, _ = transform.to_atlas(positions)
    np.testing.assert_allclose(back, [[50, 100, 150], [60, 100, 150], [50, 100, 151], [300, 0, 0]])


def test_outside_is_what_lies_in_neither_volume():
    target = Frame((41, 30, 18), VoxelSize(100, 100, 100), Orientation("PIR"))  # the atlas without its end
    near = Transform.of_affine(Affine.from_parameters(translation=(0, 0, 900)), ATLAS, target)
    points = np.array([[0, 0, -51], [0, 0, 0], [0, 0, 1750], [0, 0, 1751], [-51, 0, 0], [0, 0, 3551]], float)
    assert near.to_target(points)[1].tolist() == [False, True, True, False, False, False]
    far = Transform.of_affine(Affine.from_parameters(translation=(0, 0, -900)), ATLAS, target)
    assert far.to_target(points)[1].tolist() == [False, False, True, True, False, False]
    assert far.to_atlas([[0, 0, -50], [0, 0, 1750], [0, 0, 1751]])[1].tolist() == [True, True, False]


def test_blocks_keep_the_order(monkeypatch):
    transform = transform_of()
    points = points_in(TARGET, 1000)
    positions, inside = transform.to_atlas(points)
    monkeypatch.setattr(module, "_BLOCK", 97)
    again, inside_again = transform.to_atlas(points)
    np.testing.assert_array_equal(positions, again)
    np.testing.assert_array_equal(inside, inside_again)
    order = np.random.default_rng(1).permutation(len(points))
    np.testing.assert_array_equal(transform.to_atlas(points[order])[0], positions[order])
    assert transform.to_atlas(np.empty((0, 3)))[0].shape == (0, 3)


@pytest.mark.parametrize("points", [[1, 2, 3], [[1, 2]], [[1, 2, np.nan]], [[np.inf, 0, 0]]])
def test_points_of_another_shape_or_not_finite_are_refused(points):
    with pytest.raises(InputError, match=r"an array \[n, 3\]|point 0 is not finite"):
        transform_of().to_atlas(points)
    with pytest.raises(InputError, match="neither atlas nor target"):
        transform_of().mapper("brain")


def with_confidence():
    grid = Grid((6, 7, 8), (600, 600, 500)).centred()
    plain = transform_of()
    confidence = np.random.default_rng(0).uniform(0, 1, grid.shape).astype(np.float32)
    return Transform(plain.affine, plain.velocity, plain.velocity_grid, ATLAS, TARGET, confidence, grid)


def test_a_folder_gives_the_transform_back(tmp_path):
    transform = with_confidence()
    transform.save(tmp_path / "a" / "transform")
    found = Transform.load(tmp_path / "a" / "transform")
    assert (found.affine, found.atlas, found.target) == (transform.affine, ATLAS, TARGET)
    assert (found.velocity_grid, found.confidence_grid) == (transform.velocity_grid, transform.confidence_grid)
    np.testing.assert_array_equal(found.velocity, transform.velocity)
    np.testing.assert_array_equal(found.confidence, transform.confidence)
    points = points_in(ATLAS)
    np.testing.assert_array_equal(found.to_target(points)[0], transform.to_target(points)[0])
    first = tree(tmp_path / "a")
    found.save(tmp_path / "a" / "transform")  # over the old one
    assert tree(tmp_path / "a") == first
    transform_of().save(tmp_path / "a" / "transform")  # now without confidence
    assert not (tmp_path / "a" / "transform" / "confidence.npy").exists()
    assert Transform.load(tmp_path / "a" / "transform").confidence is None


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"holds thesis\.txt, which is no part"):
        transform_of().save(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        transform_of().save(tmp_path / "file")


def test_a_save_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    transform_of(seed=1).save(tmp_path / "t")
    before = tree(tmp_path)
    monkeypatch.setattr("cloudreg_register.transforms.folder.canonical_json", broken)
    with pytest.raises(RuntimeError, match="stopped"):
        transform_of(seed=2).save(tmp_path / "t")
    assert tree(tmp_path) == before


def broken(*_):
    raise RuntimeError("stopped")


def edited(**changes):
    def change(folder):
        path = folder / "meta.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def flipped(name):
    def change(folder):
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)

    return change


def replaced(name, make):
    """Another content, with a digest that fits: what a program that writes wrongly would leave."""

    def change(folder):
        from cloudreg_io.run import digest

        make(folder / name)
        meta = json.loads((folder / "meta.json").read_text())
        meta["files"][name] = digest(folder / name)
        (folder / "meta.json").write_text(json.dumps(meta))

    return change


WRONG = [
    (shutil.rmtree, NotFoundError, "no transform at"),
    (lambda folder: (folder / "meta.json").unlink(), NotFoundError, r"it has no meta\.json"),
    (lambda folder: (folder / "meta.json").write_text("{"), InputError, r"meta\.json is damaged"),
    (lambda folder: (folder / "meta.json").write_bytes(b"\xff\xfe"), InputError, r"meta\.json is damaged"),
    (lambda folder: (folder / "meta.json").write_text("[]"), InputError, "holds no JSON object"),
    (lambda folder: (folder / "meta.json").write_text("{}"), InputError, "its format is None"),
    (edited(format="elastix"), InputError, "its format is 'elastix'"),
    (edited(version=2), InputError, "format version 2; this program reads 1"),
    (edited(files=None), InputError, "'files' is None"),
    (edited(files={}), InputError, r"does not list affine\.json, velocity\.npy"),
    (edited(files={"../secret": "0"}), InputError, "no part of a transform"),
    (edited(atlas=None), InputError, "'atlas' is None"),
    (edited(atlas={}), InputError, "needs the key"),
    (edited(target={**TARGET.to_json(), "centre_um": [0, 0, 0]}), InputError, "stored centre"),
    (edited(velocity={}), InputError, "it has no 'grid'"),
    (edited(velocity={"grid": {"size": [1, 2]}}), InputError, "grid"),
    (edited(confidence=None), InputError, "'confidence' is None"),
    (lambda folder: (folder / "velocity.npy").unlink(), NotFoundError, r"velocity\.npy is missing"),
    (lambda folder: (folder / "confidence.npy").unlink(), NotFoundError, r"confidence\.npy is missing"),
    (flipped("velocity.npy"), InputError, r"velocity\.npy is not the file that meta\.json"),
    (flipped("affine.json"), InputError, r"affine\.json is not the file"),
    (flipped("confidence.npy"), InputError, r"confidence\.npy is not the file"),
    (replaced("affine.json", lambda p: p.write_text("{}")), InputError, "it has no 'matrix'"),
    (replaced("affine.json", lambda p: p.write_text('{"matrix": 1}')), InputError, "4×4"),
    (replaced("velocity.npy", lambda p: p.write_bytes(b"no array")), InputError, "not a whole transform"),
    (
        replaced("velocity.npy", lambda p: np.save(p, np.zeros((2, 3, 4, 4, 4)))),
        InputError,
        "float64, not float32",
    ),
    (
        replaced("velocity.npy", lambda p: np.save(p, np.zeros((2, 3, 4, 4, 4), np.float32))),
        InputError,
        r"velocity \[2, 3, 4, 4, 4\] does not fit its grid",
    ),
    (
        replaced("velocity.npy", lambda p: np.save(p, np.full_like(np.load(p), np.nan))),
        InputError,
        "velocity holds numbers that are not finite",
    ),
    (
        replaced("velocity.npy", lambda p: np.save(p, np.full_like(np.load(p), 1e30))),
        InputError,
        r"a velocity of 1e\+30 µm would carry points far through the atlas",
    ),
    (replaced("velocity.npy", lambda p: p.write_bytes(b"")), InputError, "no array of numbers, or cut off"),
]


@pytest.mark.parametrize(("spoil", "kind", "message"), WRONG)
def test_each_damage_is_named(tmp_path, spoil, kind, message):
    folder = tmp_path / "transform"
    with_confidence().save(folder)
    spoil(folder)
    with pytest.raises(kind, match=message) as caught:
        Transform.load(folder)
    assert isinstance(caught.value, CloudRegError)
    assert caught.value.fix


def test_the_folder_above_is_understood(tmp_path):
    transform_of().save(tmp_path / "registration" / "transform")
    with pytest.raises(NotFoundError, match=r"did you mean .*registration/transform"):
        Transform.load(tmp_path)
