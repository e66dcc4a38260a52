from __future__ import annotations

import numpy as np
import pytest

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.space import Affine, Grid
from cloudreg_io.synthetic import DamageSpec, RegistrationCase, make_phantom, make_registration_case
from cloudreg_io.synthetic.registration_case import ARTIFACT, MISSING, VALID

VOXEL = (250.0, 250.0, 250.0)
SEED = 3


@pytest.fixture(scope="module")
def brain():
    phantom = make_phantom((37, 48, 29), VOXEL, seed=1, cells=0, beacons=0)
    return phantom.atlas(), phantom.labels()


@pytest.fixture(scope="module")
def plain(brain):
    return make_registration_case(*brain, VOXEL, SEED, orientation="LPS")


@pytest.fixture(scope="module")
def damaged(brain):
    return make_registration_case(*brain, VOXEL, SEED, orientation="LPS", damage=DamageSpec())


def values_at(image, grid, points):
    x, y, z = np.clip(np.rint(grid.index_of(points)).astype(int), 0, np.array(grid.size) - 1).T
    return image[z, y, x]


def test_landmarks_lie_in_tissue_and_are_the_truth(plain):
    assert plain.landmarks_atlas.shape == plain.landmarks_target.shape == (200, 3)
    assert (values_at(plain.labels, plain.atlas_grid, plain.landmarks_atlas) > 0).all()
    np.testing.assert_allclose(plain.to_target(plain.landmarks_atlas), plain.landmarks_target, atol=1e-6)
    np.testing.assert_allclose(plain.to_atlas(plain.landmarks_target), plain.landmarks_atlas, atol=0.02)
    assert plain.valid.all()


def test_the_target_shows_at_each_point_what_the_atlas_shows_where_it_comes_from(plain):
    """Read without interpolation on both sides, so only where the atlas is flat, and to its slope."""
    here = values_at(plain.target, plain.target_grid, plain.landmarks_target)
    there = values_at(plain.atlas, plain.atlas_grid, plain.landmarks_atlas)
    assert np.median(np.abs(here - there)) < 0.02 * plain.atlas.max()
    same = values_at(plain.target_labels, plain.target_grid, plain.landmarks_target) == values_at(
        plain.labels, plain.atlas_grid, plain.landmarks_atlas
    )
    assert same.mean() > 0.8
    unmoved = plain.landmarks_target - plain.target_grid.centre + plain.atlas_grid.centre
    identity = values_at(plain.labels, plain.atlas_grid, unmoved) == values_at(
        plain.labels, plain.atlas_grid, plain.landmarks_atlas
    )
    assert identity.mean() < same.mean() - 0.2


def test_noise_of_the_plain_case(plain):
    empty = plain.target[np.ix_(*[[0, 1, 2, 3, -4, -3, -2, -1]] * 3)]  # the corners are background
    white = np.percentile(plain.atlas[plain.labels > 0], 99.5)
    assert empty.std() == pytest.approx(0.01 * white, rel=0.15)


def test_plain_and_damaged_share_deformation_and_landmarks(plain, damaged):
    np.testing.assert_array_equal(plain.landmarks_target, damaged.landmarks_target)
    np.testing.assert_array_equal(plain.target_labels, damaged.target_labels)
    assert 100 < damaged.valid.sum() < 200


def test_missing_tissue_is_zero_or_background(damaged):
    slab = damaged.target == 0
    assert (damaged.condition[slab] == MISSING).all()
    assert 0.02 < slab.mean() < 0.2
    end = (damaged.condition == MISSING) & ~slab
    assert np.median(damaged.target[end]) < 0.25
    tissue = (damaged.target_labels > 0) & (damaged.condition == VALID)
    assert np.median(damaged.target[tissue]) > 0.5
    # anterior in LPS is where y is low
    lost = np.argwhere(end & (damaged.target_labels > 0))[:, 1]
    assert lost.max() < np.argwhere(tissue)[:, 1].mean()
    assert (lost.max() - lost.min() + 1) * 250 == pytest.approx(1500, abs=300)


def test_condition_of_landmarks_is_that_of_their_place(damaged):
    there = values_at(damaged.condition, damaged.target_grid, damaged.landmarks_target)
    assert (there == damaged.landmarks_condition).mean() > 0.9  # but for those near a border of a damage


def test_blobs_outshine_tissue(damaged):
    glare = damaged.condition == ARTIFACT
    tissue = (damaged.condition == VALID) & (damaged.target_labels > 0)
    assert glare.any()
    assert np.percentile(damaged.target[glare], 99) > 1.5 * np.percentile(damaged.target[tissue], 99)


def test_contrast_is_not_monotonic(brain, damaged, plain):
    dim, middle, bright = (
        np.median(
            damaged.target[(plain.target > low * plain.atlas.max()) & (plain.target < high * plain.atlas.max())]
        )
        for low, high in ((-0.05, 0.02), (0.55, 0.75), (0.9, 1.0))
    )
    assert middle > bright > dim


def test_same_seed_same_case_another_seed_another(brain, damaged):
    again = make_registration_case(*brain, VOXEL, SEED, orientation="LPS", damage=DamageSpec())
    other = make_registration_case(*brain, VOXEL, SEED + 1, orientation="LPS")
    np.testing.assert_array_equal(again.target, damaged.target)
    assert np.abs(other.landmarks_target - damaged.landmarks_target).mean() > 100


def test_target_on_a_grid_of_another_voxel_size(brain, plain):
    grid = Grid((52, 64, 40), (200.0, 220.0, 210.0))
    case = make_registration_case(*brain, VOXEL, SEED, orientation="LPS", target_grid=grid)
    assert case.target.shape == grid.shape
    centred = case.landmarks_target - case.target_grid.centre
    np.testing.assert_allclose(centred, plain.landmarks_target - plain.target_grid.centre, atol=1e-6)
    volume = [(c.target_labels > 0).sum() * c.voxel_size.volume_mm3 for c in (case, plain)]
    assert volume[0] == pytest.approx(volume[1], rel=0.02)


def test_saved_and_loaded_is_the_same(damaged, tmp_path):
    damaged.save(tmp_path / "case")
    again = RegistrationCase.load(tmp_path / "case")
    for name in ("atlas", "labels", "target", "target_labels", "condition", "landmarks_atlas", "landmarks_target"):
        np.testing.assert_array_equal(getattr(again, name), getattr(damaged, name))
    assert again.labels.dtype == np.uint32
    assert (again.valid == damaged.valid).all()
    assert (again.atlas_grid, again.target_grid, again.orientation) == (
        damaged.atlas_grid,
        damaged.target_grid,
        damaged.orientation,
    )
    points = damaged.landmarks_target
    np.testing.assert_array_equal(again.to_atlas(points), damaged.to_atlas(points))


def test_a_folder_without_a_case(tmp_path):
    with pytest.raises(NotFoundError, match=r"case\.json"):
        RegistrationCase.load(tmp_path)
    (tmp_path / "case.json").write_text('{"landmarks_atlas": []}')
    with pytest.raises(InputError, match="not a registration case"):
        RegistrationCase.load(tmp_path)


def test_labels_must_fit_and_show_tissue(brain):
    atlas, labels = brain
    with pytest.raises(InputError, match="labels"):
        make_registration_case(atlas, labels[1:], VOXEL, 1)
    with pytest.raises(InputError, match="labels"):
        make_registration_case(atlas, np.zeros_like(labels), VOXEL, 1)


def test_a_target_that_holds_too_little_of_the_brain(brain):
    with pytest.raises(InputError, match="inside of the target"):
        make_registration_case(*brain, VOXEL, 1, target_grid=Grid((8, 8, 8), VOXEL))


def test_damage_moves_with_the_sample(brain, damaged):
    """A sample that is turned by 90° about z, on a grid turned with it, shows the same but for its noise."""
    motion = Affine.from_parameters(rotation=(0, 0, 90))
    x, y, z = damaged.target_grid.size
    turned = make_registration_case(
        *brain,
        VOXEL,
        SEED,
        orientation="LPS",
        damage=DamageSpec(noise=0.0),
        deformation=damaged.deformation.moved(motion),
        target_grid=Grid((y, x, z), VOXEL),
    )
    still = make_registration_case(*brain, VOXEL, SEED, orientation="LPS", damage=DamageSpec(noise=0.0))
    back = np.rot90(turned.target, axes=(1, 2))
    assert np.mean(np.abs(back - still.target) > 0.01) < 0.01
    np.testing.assert_array_equal(turned.landmarks_condition, damaged.landmarks_condition)
