"""Landmarks in the energy: exact derivatives, and what they do where images say nothing."""

import numpy as np
import pytest
import torch

from cloudreg_io.errors import InputError
from cloudreg_io.space import Affine, Grid, Orientation, VoxelSize
from cloudreg_io.synthetic import make_registration_case
from cloudreg_register.images.frame import Frame
from cloudreg_register.images.image import Image
from cloudreg_register.lddmm import affine as affine_steps
from cloudreg_register.lddmm.affine import AffineMode
from cloudreg_register.lddmm.coordinates import Coordinates
from cloudreg_register.lddmm.flow import Flow
from cloudreg_register.lddmm.landmark_term import LandmarkTerm
from cloudreg_register.lddmm.registration import RegisterOptions, register
from cloudreg_register.start.landmarks import Pairs

FRAME = Frame((20, 20, 20), VoxelSize(100, 100, 100), Orientation("LPS"))


def pairs(atlas, target):
    return Pairs(tuple(f"p{i}" for i in range(len(atlas))), np.asarray(atlas, float), np.asarray(target, float))


def scene():
    """A term, and a map at which it is asked; all float64."""
    rng = np.random.default_rng(0)
    points = rng.uniform(200, 1700, (5, 3))
    term = LandmarkTerm.of(pairs(points, points + rng.normal(0, 100, (5, 3))), FRAME, FRAME, sigma=50.0)
    on = Coordinates(Grid((9, 8, 7), (300.0, 300.0, 350.0)).centred(), torch.float64)
    velocity = torch.from_numpy(rng.normal(0, 80, (1, 3, 7, 8, 9)))
    affine = torch.from_numpy(
        Affine.from_parameters(rotation=(5, -8, 12), translation=(40, 10, -30), scale=(1.1, 0.9, 1)).matrix.copy()
    )
    return term, on, velocity, affine, affine_steps.generators(AffineMode.AFFINE, 600.0)


def pulled(term, on, velocity, affine, generators):
    flow = Flow(velocity, on.grid.spacing, inverse=True, substeps=3)
    return flow, term.pull(flow.displacement, on, affine, generators)


def test_the_energy_is_what_the_pairs_miss_each_other_by():
    term, on, _, _, generators = scene()
    still = torch.zeros((1, 3, *on.shape), dtype=torch.float64)
    _, pull = pulled(term, on, still, torch.eye(4, dtype=torch.float64), generators)
    miss = ((term.target - term.atlas) ** 2).sum()
    assert pull.energy == pytest.approx(float(miss) / (2 * 50**2))


def test_its_derivative_by_the_velocity():
    term, on, velocity, affine, generators = scene()
    flow, pull = pulled(term, on, velocity, affine, generators)
    derivative = flow.adjoint(pull.by_displacement)
    direction = torch.from_numpy(np.random.default_rng(1).normal(0, 1, velocity.shape))
    ahead, behind = (pulled(term, on, velocity + e * direction, affine, generators)[1] for e in (1e-4, -1e-4))
    assert float((derivative * direction).sum()) == pytest.approx((ahead.energy - behind.energy) / 2e-4, rel=1e-6)


@pytest.mark.parametrize("parameter", range(12))
def test_its_derivative_by_the_affine_map(parameter):
    term, on, velocity, affine, generators = scene()
    _, pull = pulled(term, on, velocity, affine, generators)
    step = torch.zeros(12, dtype=torch.float64)
    step[parameter] = 1e-4
    ahead, behind = (
        pulled(term, on, velocity, affine_steps.stepped(affine, generators, s), generators)[1]
        for s in (step, -step)
    )
    expected = (ahead.energy - behind.energy) / 2e-4
    assert float(pull.by_affine[parameter]) == pytest.approx(expected, rel=1e-5)


def test_its_curvature_is_one_over_sigma_squared_a_landmark():
    term, on, velocity, affine, generators = scene()
    _, pull = pulled(term, on, velocity, affine, generators)
    sums = pull.curvature.flatten(1).sum(dim=1)
    np.testing.assert_allclose(sums, np.array([1, 0, 0, 1, 0, 1]) * 5 / 50**2, atol=1e-12)


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_a_sigma_is_a_length(sigma):
    points = np.full((2, 3), 500.0)
    with pytest.raises(InputError, match="positive length"):
        LandmarkTerm.of(pairs(points, points), FRAME, FRAME, sigma)


def test_a_landmark_outside_of_its_volume_is_named():
    inside, outside = [[500.0, 500, 500]], [[500.0, 500, 5000]]
    with pytest.raises(InputError, match=r"outside of the target, such as 'p0'"):
        LandmarkTerm.of(pairs(inside, outside), FRAME, FRAME)


def test_two_landmarks_move_what_is_featureless():
    """An even ball: nothing in it says where its inside belongs, but two pairs do."""
    grid = Grid((24, 24, 24), (100.0, 100.0, 100.0))
    away = np.linalg.norm(grid.centred().points(), axis=-1)
    noise = np.random.default_rng(2).normal(0, 0.02, away.shape)
    atlas = Image.of_array((1 / (1 + np.exp((away - 900) / 40))).astype(np.float32), grid.spacing, "LPS")
    target = Image.of_array((atlas.array + noise).astype(np.float32), grid.spacing, "LPS")
    begin = np.array([[1150.0, 950, 1150], [1150, 1350, 1150]])
    end = begin + np.array([[120.0, 0, 0], [-120, 0, 0]])
    term = LandmarkTerm.of(pairs(begin, end), atlas.frame, target.frame, sigma=5.0)
    options = RegisterOptions(resolution=100.0, threads=1)
    without = register(target, atlas, options).transform.to_target(begin)[0]
    found = register(target, atlas, options, landmarks=term).transform.to_target(begin)[0]
    assert np.linalg.norm(without - end, axis=1).min() > 80
    assert np.linalg.norm(found - end, axis=1).max() < 30


def test_landmarks_in_missing_tissue_improve_what_lies_between_them():
    rng = np.random.default_rng(5)
    grid = Grid((26, 20, 22), (100.0, 100.0, 100.0))
    inside = np.linalg.norm(grid.centred().points() / [1100, 800, 900], axis=-1) < 1
    texture = np.fft.irfftn(
        np.fft.rfftn(rng.normal(0, 1, grid.shape)) * _low_pass(grid.shape), s=grid.shape, axes=(0, 1, 2)
    )
    image = np.where(inside, 1 + texture / texture.std() * 0.3, 0.1).astype(np.float32)
    case = make_registration_case(image, inside.astype(np.uint32), (100.0, 100.0, 100.0), 7)
    slab = np.abs(case.target_grid.centred().points()[..., 0]) < 350
    target = Image.of_array(np.where(slab, 0, case.target).astype(np.float32), (100.0,) * 3, "PIR")
    atlas = Image.of_array(image, (100.0,) * 3, "PIR")
    missing = np.abs(case.landmarks_target[:, 0] - case.target_grid.centre[0]) < 300
    given, asked = np.flatnonzero(missing)[::2], np.flatnonzero(missing)[1::2]
    term = LandmarkTerm.of(
        pairs(case.landmarks_atlas[given], case.landmarks_target[given]), atlas.frame, target.frame
    )
    errors = []
    for landmarks in (None, term):
        found = register(
            target, atlas, RegisterOptions(resolution=100.0, threads=1), landmarks=landmarks
        ).transform
        moved = found.to_target(case.landmarks_atlas[asked])[0]
        errors.append(np.linalg.norm(moved - case.landmarks_target[asked], axis=1).mean())
    assert errors[1] < 0.7 * errors[0]


def _low_pass(shape):
    z, y = (np.fft.fftfreq(n) for n in shape[:2])
    square = z[:, None, None] ** 2 + y[:, None] ** 2 + np.fft.rfftfreq(shape[2]) ** 2
    return np.exp(-square / (2 * 0.08**2))
