"""What a registration does on a phantom brain: mostly at the coarsest level alone, which takes seconds."""

import os
import random
import shutil
import signal
import time

import numpy as np
import pytest

from cloudreg_io.files.image import write_image
from cloudreg_io.space import Affine, VoxelSize
from cloudreg_io.synthetic.damage import DamageSpec
from cloudreg_register.images.image import Image, load_image
from cloudreg_register.lddmm import descent, registration
from cloudreg_register.lddmm.affine import AffineMode
from cloudreg_register.lddmm.options import RegisterOptions
from cloudreg_register.lddmm.registration import register
from cloudreg_register.transforms.jacobian import jacobian_map
from cloudreg_register.transforms.transform import Transform
from cloudreg_register.transforms.warp import warp
from support.forked import begun, ended
from support.small_registration import EDGE, case_of, coarsest, images_of, phantom, short


@pytest.fixture(scope="module")
def brain():
    return phantom()


@pytest.fixture(scope="module")
def case(brain):
    return case_of(brain)


@pytest.fixture(scope="module")
def atlas(case):
    return images_of(case)[1]


@pytest.fixture
def coarse(monkeypatch):
    """Registration at the coarsest level."""
    monkeypatch.setattr(registration, "default_levels", coarsest)

    def run(target, atlas, **chosen):
        start = chosen.pop("start", None)
        return register(target, atlas, RegisterOptions(threads=1, **chosen), start=start)

    return run


def errors(case, transform, scale=1.0):
    """Of landmarks, in voxels."""
    found, _ = transform.to_target(scale * case.landmarks_atlas)
    return np.linalg.norm(found / scale - case.landmarks_target, axis=1) / EDGE


def initial_errors(case):
    shift = np.array(case.target_grid.centre) - case.atlas_grid.centre
    return np.linalg.norm(case.landmarks_atlas + shift - case.landmarks_target, axis=1) / EDGE


def moved(atlas, affine):
    """A target that is the atlas after an affine map of the centred frames."""
    transform = Transform.of_affine(affine, atlas.frame, atlas.frame)
    array = warp(transform, atlas.array, atlas.grid, atlas.grid, to="target")
    return Image.of_array(array, atlas.voxel_size, atlas.orientation)


def angle(linear):
    """Of the rotation nearest to a matrix, in degrees."""
    u, _, v = np.linalg.svd(linear)
    return np.degrees(np.arccos(np.clip((np.trace(u @ v) - 1) / 2, -1, 1)))


def rotation_of(case, transform):
    """The rotation that is nearest to what a transform does to the landmarks."""
    points = case.landmarks_atlas
    found, _ = transform.to_target(points)
    u, _, v = np.linalg.svd((found - found.mean(axis=0)).T @ (points - points.mean(axis=0)))
    return u @ v


def same(a, b):
    return (
        a.velocity.tobytes() == b.velocity.tobytes()
        and a.affine.matrix.tobytes() == b.affine.matrix.tobytes()
        and a.confidence.tobytes() == b.confidence.tobytes()
    )


@pytest.fixture(scope="module")
def large(brain):
    """Displacements of 1500 µm in a brain of 12 mm, at all levels."""
    case = case_of(brain, largest=1500.0)
    return case, register(*images_of(case), RegisterOptions(threads=1, iterations=(20, 12, 4)))


def test_landmarks_are_found_through_large_displacements(large):
    case, found = large
    assert initial_errors(case).mean() > 3
    assert errors(case, found.transform).mean() < 0.5 * initial_errors(case).mean()


def test_nothing_folds(large):
    case, found = large
    assert jacobian_map(found.transform, case.atlas_grid).min() > 0


def test_points_come_back(large):
    case, found = large
    there, inside = found.transform.to_target(case.landmarks_atlas)
    back, _ = found.transform.to_atlas(there)
    away = np.linalg.norm(back - case.landmarks_atlas, axis=1) / EDGE
    assert inside.mean() > 0.9
    assert away.max() < 0.1


def test_identity_stays_identity(coarse, atlas, case):
    found = coarse(atlas, atlas).transform
    error = np.linalg.norm(found.to_target(case.landmarks_atlas)[0] - case.landmarks_atlas, axis=1) / EDGE
    assert error.max() < 2 * 0.05  # of its voxels: they are twice as large at this level
    assert error.mean() < 0.05


def test_a_rotation_is_found(atlas, case):
    turn = Affine.from_parameters(rotation=[15.0, 0, 0])
    options = RegisterOptions(threads=1, iterations=(20, 12, 4), mode=AffineMode.RIGID)
    found = register(moved(atlas, turn), atlas, options).transform
    assert angle(turn.inverse().linear @ rotation_of(case, found)) < 0.2
    # the velocity takes up some of it: both together are the map
    assert angle(turn.inverse().linear @ found.affine.linear) < 1


@pytest.mark.parametrize("mode", list(AffineMode))
def test_modes(coarse, atlas, mode):
    stretch = Affine.from_parameters(scale=[1.14, 1.0, 1.1])
    start = Affine.from_parameters(scale=[1.03, 1.03, 1.03])
    found = coarse(moved(atlas, stretch), atlas, mode=mode, iterations=(10, 1, 1), start=start).transform
    lengths = np.linalg.svd(found.affine.linear)[1]
    if mode in {AffineMode.RIGID, AffineMode.FIXED_SCALE}:
        assert lengths == pytest.approx([1.03] * 3, rel=1e-6)
    elif mode is AffineMode.SIMILARITY:
        assert lengths == pytest.approx([lengths.mean()] * 3, rel=1e-6)
        assert lengths[0] != pytest.approx(1.03, rel=1e-3)
    else:
        assert lengths[0] / lengths[2] > 1.05


def test_higher_regularization_bends_more_and_fits_better(coarse, case):
    stiff, soft = (coarse(*images_of(case), regularization=r, iterations=(10, 1, 1)) for r in (0.5, 8.0))
    bent = [np.sqrt((found.transform.velocity**2).mean()) for found in (stiff, soft)]
    misfit = [found.history[-1].energy - found.history[-1].regularisation for found in (stiff, soft)]
    assert bent[1] > 1.5 * bent[0]
    assert misfit[1] < misfit[0]


def test_the_voxel_size_does_not_matter(coarse, case):

    def run(scale):
        # off the grid: where voxels fall on voxels, rounding decides from which side a slope is taken
        start = Affine.from_parameters(translation=[40 * scale, -30 * scale, 20 * scale])
        return coarse(*images_of(case, scale=scale), iterations=(6, 1, 1), start=start).transform

    expected = errors(case, run(1.0))
    assert expected.mean() < 0.6 * initial_errors(case).mean()
    for scale in (0.25, 2.0, 5.0, 15.0):
        assert errors(case, run(scale), scale).mean() == pytest.approx(expected.mean(), rel=0.02)


def test_floats_negative_values_and_millimetres(coarse, case, tmp_path):
    target, atlas = images_of(case)
    expected = coarse(target, atlas, iterations=(8, 1, 1)).transform
    written = {"target": 3.0 * target.array - 1000.0, "atlas": 0.1 * atlas.array - 5.0}
    for name, array in written.items():
        write_image(tmp_path / f"{name}.nii.gz", array.astype(np.float64), VoxelSize(EDGE, EDGE, EDGE))
    read = [load_image(tmp_path / f"{name}.nii.gz", resolution_um=None, orientation="LPS") for name in written]
    assert tuple(read[0].voxel_size) == pytest.approx((EDGE,) * 3)
    found = coarse(*read, iterations=(8, 1, 1)).transform
    assert errors(case, found).mean() == pytest.approx(errors(case, expected).mean(), rel=0.02)


def test_a_missing_slab_is_not_pulled(coarse, atlas, case):
    torn = atlas.array.copy()
    torn[:, :, 20:26] = 0
    target = Image.of_array(torn + 0.0, atlas.voxel_size, atlas.orientation)
    target.array[target.array == 0] = np.where(atlas.array[target.array == 0] > 0, 0, 1e-3)
    points = case.landmarks_atlas
    lost = (points[:, 0] > 20 * EDGE) & (points[:, 0] < 25 * EDGE)
    found = coarse(target, atlas).transform
    error = np.linalg.norm(found.to_target(points)[0] - points, axis=1) / EDGE
    assert lost.sum() > 5
    assert error[~lost].mean() < 0.1
    assert error.max() < 0.75  # of voxels half as large as this level's; the slab is six wide


def test_damage_and_foreign_contrast(coarse, brain):
    case = case_of(brain, damage=DamageSpec(slab_um=800.0, spots=2))
    found = coarse(*images_of(case), iterations=(10, 1, 1))
    assert errors(case, found.transform)[case.valid].mean() < 0.8 * initial_errors(case)[case.valid].mean()
    assert 0.2 < found.history[-1].tissue < 1


def test_a_contrast_of_the_whole_image(coarse, case):
    target, atlas = images_of(case)
    inverted = Image.of_array(2.0 - target.array, target.voxel_size, target.orientation)
    found = coarse(inverted, atlas, local_contrast=False, iterations=(10, 1, 1)).transform
    assert errors(case, found).mean() < 0.6 * initial_errors(case).mean()


@pytest.fixture(scope="module")
def undisturbed(case, tmp_path_factory):
    """A registration of two short levels, and a copy of each of its checkpoints."""
    folder, kept = tmp_path_factory.mktemp("undisturbed"), []

    def keep(state, objective):
        del state, objective
        kept.append(shutil.copy(folder / "checkpoint.npz", folder / f"{len(kept)}.npz"))

    return short(images_of(case), folder / "checkpoint.npz", watch=keep), kept


def test_the_same_input_gives_the_same_bits(case, undisturbed):
    assert same(short(images_of(case)).transform, undisturbed[0].transform)


def test_work_goes_on_from_every_checkpoint_to_the_same_bits(case, undisturbed, tmp_path):
    whole, kept = undisturbed
    assert len(kept) == 6
    for state in kept:
        seen = []
        path = shutil.copy(state, tmp_path / "checkpoint.npz")
        again = short(images_of(case), path, watch=lambda s, o, seen=seen: seen.append((s, o)))
        assert len(seen) == 5 - kept.index(state)
        assert same(whole.transform, again.transform)
        steps = [[(s.level, s.iteration, s.energy, s.moved) for s in each.history] for each in (whole, again)]
        assert steps[0] == steps[1]


def test_a_killed_registration_goes_on_to_the_same_bits(case, undisturbed, tmp_path):
    seed = random.randrange(1000)
    path = tmp_path / "checkpoint.npz"
    child = begun(lambda: short(images_of(case), path))
    for _ in range(random.Random(seed).randint(1, 5)):
        before = _written(path)
        while _written(path) == before:
            assert os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None, seed
            time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    assert ended(child) == -signal.SIGKILL, seed
    again = short(images_of(case), path)
    assert same(again.transform, undisturbed[0].transform), seed


def _written(path):
    return path.stat().st_mtime_ns if path.exists() else 0


def test_a_checkpoint_of_other_options_is_not_gone_on_with(case, undisturbed, tmp_path):
    path, seen = shutil.copy(undisturbed[1][-1], tmp_path / "checkpoint.npz"), []
    short(images_of(case), path, regularization=3.0, watch=lambda state, _: seen.append(state))
    assert len(seen) == 6


def test_where_every_step_is_taken_back_the_map_stays_and_is_told(case, coarse, monkeypatch):
    monkeypatch.setattr(descent, "_SLACK", -10.0)  # no step is good enough
    found = coarse(*images_of(case), iterations=(2, 1, 1))
    assert not found.history
    assert not found.transform.velocity.any()
    assert found.transform.confidence is not None
