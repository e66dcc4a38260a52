import numpy as np
import pytest

from cloudreg_io.errors import InputError
from cloudreg_io.space import Affine, Grid, Orientation, VoxelSize
from cloudreg_register.images.frame import Frame
from cloudreg_register.transforms import jacobian as module
from cloudreg_register.transforms.jacobian import Regularity, inverse_consistency_map, jacobian_map
from cloudreg_register.transforms.transform import Transform
from support.velocities import transform_of

ATLAS = Frame((16, 14, 12), VoxelSize(200, 200, 200), Orientation("PIR"))


def test_of_an_affine_map_it_is_the_determinant():
    affine = Affine.from_parameters(rotation=(10, 20, 30), scale=(0.9, 1.2, 1.1))
    transform = Transform.of_affine(affine, ATLAS, ATLAS)
    np.testing.assert_allclose(jacobian_map(transform, ATLAS.grid()), 0.9 * 1.2 * 1.1, rtol=1e-5)
    np.testing.assert_allclose(jacobian_map(transform, ATLAS.grid(), "atlas"), 1 / (0.9 * 1.2 * 1.1), rtol=1e-5)
    mirrored = Transform.of_affine(Affine(np.diag([-1.0, 1, 1, 1])), ATLAS, ATLAS)
    np.testing.assert_allclose(jacobian_map(mirrored, ATLAS.grid()), 1, rtol=1e-5)


def test_both_directions_are_each_others_reciprocal_and_slabs_do_not_matter(monkeypatch):
    transform = transform_of(atlas=ATLAS, fastest=600.0, affine=Affine.identity(), target=ATLAS)
    grid = Grid((12, 10, 9), (60, 60, 60), (900, 800, 700))
    there = jacobian_map(transform, grid)
    assert np.ptp(there) > 0.1
    positions = transform.to_target(grid.points().reshape(-1, 3))[0].reshape(*grid.shape, 3)
    # around one sample, the way back has the reciprocal determinant
    middle = positions[4, 5, 6]
    around = Grid((3, 3, 3), (20, 20, 20), tuple(middle - 20))
    assert jacobian_map(transform, around, "atlas")[1, 1, 1] == pytest.approx(1 / there[4, 5, 6], rel=0.05)
    for voxels in (1, 300):
        monkeypatch.setattr(module, "_VOXELS", voxels)
        np.testing.assert_allclose(jacobian_map(transform, grid), there, rtol=1e-5)


def test_a_fold_is_counted():
    # positions that go back and forth along x: more than a flow can do, so the map is given by hand
    grid = Grid((8, 4, 4), (10, 10, 10))
    positions = grid.points()
    positions[..., 0] = np.array([0, 10, 20, 30, 15, 0, 60, 70])
    determinants = module._determinants(positions, grid)
    assert (determinants[0, 0] <= 0).tolist() == [False, False, False, True, True, False, False, False]


def test_figures_of_a_smooth_map():
    transform = transform_of(atlas=ATLAS, target=ATLAS, fastest=1500.0, affine=Affine.identity())
    figures = Regularity.of(transform)
    assert figures.voxels == 16 * 14 * 12
    assert figures.folded == 0
    assert 0 < figures.smallest < 1 < figures.largest
    assert figures.inverse_error_mean_um <= figures.inverse_error_max_um < 2.0
    errors = inverse_consistency_map(transform, ATLAS.grid())
    assert figures.to_json()["inverse_error_max_um"] == errors.max()
    with pytest.raises(InputError, match="two samples"):
        jacobian_map(transform, Grid((1, 4, 4), (1, 1, 1)))
