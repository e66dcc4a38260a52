from __future__ import annotations

import json

import numpy as np
import pytest

from cloudreg_io.errors import InputError
from cloudreg_io.space import Affine, Grid
from cloudreg_io.synthetic import Deformation, random_deformation
from cloudreg_io.synthetic.registration_case import atlas_positions
from cloudreg_io.synthetic.spline import Spline

GRID = Grid((66, 40, 57), (200.0, 200.0, 200.0))


@pytest.fixture
def points():
    return np.random.default_rng(0).uniform(-0.5, 0.5, (300, 3)) * GRID.extent


@pytest.mark.parametrize(("seed", "amplitude"), [(1, 500.0), (2, 500.0), (3, 1500.0), (4, 0.0)])
def test_there_and_back(points, seed, amplitude):
    deformation = random_deformation(GRID, seed, amplitude)
    back = deformation.to_atlas(deformation.to_target(points))
    assert np.abs(back - points).max() < 0.02
    assert np.abs(deformation.to_target(deformation.to_atlas(points)) - points).max() < 0.02


def test_more_steps_change_nothing(points):
    deformation = random_deformation(GRID, 5, 1500.0)
    finer = Deformation(deformation.velocity, deformation.affine, 8 * deformation.steps)
    assert np.abs(finer.to_target(points) - deformation.to_target(points)).max() < 0.05


@pytest.mark.parametrize("amplitude", [500.0, 1500.0])
def test_amplitude_is_reached_and_not_exceeded(amplitude):
    deformation = random_deformation(GRID, 6, amplitude)
    flow = Deformation(deformation.velocity, Affine.identity(), deformation.steps)
    points = GRID.centred().with_spacing((600, 600, 600)).points()
    largest = np.linalg.norm(flow.to_target(points) - points, axis=-1).max()
    assert largest == pytest.approx(amplitude, rel=0.08)


@pytest.mark.parametrize("amplitude", [500.0, 1500.0])
def test_jacobian_is_positive_and_is_that_of_the_map(points, amplitude):
    deformation = random_deformation(GRID, 7, amplitude)
    exact = deformation.jacobian(points)
    assert exact.min() > 0
    columns = [
        (deformation.to_target(points + step) - deformation.to_target(points - step)) / 10
        for step in 5 * np.eye(3)
    ]
    numeric = np.linalg.det(np.stack(columns, axis=-1))
    assert numeric.min() > 0
    np.testing.assert_allclose(exact, numeric, rtol=2e-3)


def test_affine_part_stays_in_its_ranges():
    for seed in range(10):
        affine = random_deformation(GRID, seed, 100.0).affine
        assert np.linalg.norm(affine.translation) <= 300
        stretch = np.linalg.svd(affine.linear, compute_uv=False)
        assert 0.94 * 0.97 <= stretch.min() <= stretch.max() <= 1.06 * 1.03
        turned = np.degrees(np.arccos(np.clip((np.trace(affine.linear / stretch.mean()) - 1) / 2, -1, 1)))
        assert turned <= np.sqrt(3) * 8 + 1


def test_same_seed_same_deformation_another_seed_another(points):
    first, again, other = (random_deformation(GRID, seed).to_target(points) for seed in (8, 8, 9))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 100


def test_json_keeps_it_exactly(points):
    deformation = random_deformation(GRID, 10)
    again = Deformation.from_json(json.loads(json.dumps(deformation.to_json())))
    np.testing.assert_array_equal(again.to_target(points), deformation.to_target(points))


def test_a_larger_brain_has_the_same_deformation(points):
    deformation = random_deformation(GRID, 11)
    larger = deformation.scaled(5.0)
    np.testing.assert_allclose(larger.to_target(5 * points), 5 * deformation.to_target(points), atol=0.1)


def test_moved_is_followed_by_the_motion(points):
    deformation = random_deformation(GRID, 12)
    motion = Affine.from_parameters(translation=(500, -200, 900), rotation=(10, 90, -20))
    expected = motion.apply(deformation.to_target(points))
    np.testing.assert_allclose(deformation.moved(motion).to_target(points), expected, atol=1e-6)


def test_positions_on_a_grid_are_those_of_the_points():
    deformation = random_deformation(GRID, 13)
    grid = Grid((40, 30, 50), (310.0, 270.0, 240.0))
    exact = deformation.to_atlas(grid.centred().points()[::4, ::3, ::3])
    assert np.abs(atlas_positions(deformation, grid)[::4, ::3, ::3] - exact).max() < 0.5


def test_positions_on_a_coarse_grid():
    deformation = random_deformation(GRID, 13)
    grid = Grid((10, 8, 9), (1300.0, 900.0, 1200.0))
    exact = deformation.to_atlas(grid.centred().points())
    assert np.abs(atlas_positions(deformation, grid) - exact).max() < 0.5


@pytest.mark.parametrize(
    "arguments", [{"max_displacement_um": -1}, {"scale_um": 0}, {"max_displacement_um": np.nan}]
)
def test_impossible_arguments(arguments):
    with pytest.raises(InputError, match="no deformation of"):
        random_deformation(GRID, 1, **arguments)


def test_spline_meets_the_samples_and_a_smooth_function_between_them():
    z, y, x = np.meshgrid(*(np.arange(n, dtype=float) for n in (14, 17, 20)), indexing="ij")

    def smooth(x, y, z):
        return np.sin(0.7 * x + 0.2) * np.cos(0.5 * y) + 0.3 * np.sin(0.6 * z)

    spline = Spline.of(smooth(x, y, z))
    samples = np.stack([x, y, z], axis=-1)
    np.testing.assert_allclose(spline.at(samples), smooth(x, y, z), atol=2e-6)
    between = np.random.default_rng(1).uniform(5, 8, (200, 3))
    np.testing.assert_allclose(spline.at(between), smooth(*between.T), atol=6e-3)


def test_spline_outside_takes_the_outside_value():
    spline = Spline.of(np.full((6, 6, 6), 5.0), outside=1.0)
    far = np.array([[-4.0, 2, 2], [2, 30, 2], [2, 2, -1e6]])
    np.testing.assert_allclose(spline.at(far), 1.0, atol=0.02)
